package patterns

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// Where dead letters lie in a DeadLetterBucket. Lambda chooses the second
// prefix itself: aws/lambda/<mapping>/<shard>/<yyyy>/<mm>/<dd>/…
const (
	handlerDeadLetters = "dead/"
	mappingDeadLetters = "aws/lambda/"
)

// DeadLetterBucketProps configures a DeadLetterBucket. Every field may be left nil.
type DeadLetterBucketProps struct {
	// Keep is how long a dead letter waits for somebody to look at it. Nil: 90 days.
	Keep awscdk.Duration
	// EncryptionKey encrypts the records. Nil: a key of the bucket's own, rotated yearly.
	EncryptionKey awskms.IKey
	// AccessLogs receives the server access logs. Nil: a bucket of the construct's own.
	AccessLogs awss3.IBucket
	// RemovalPolicy of the bucket and of its own key. Empty: RETAIN.
	RemovalPolicy awscdk.RemovalPolicy
}

// DeadLetterBucket keeps, with their payload, the records that could not be
// processed: those that a handler gave up for good, and the batches that a
// stream mapping gave up after its last retry. It is encrypted, private and
// TLS only.
type DeadLetterBucket struct {
	constructs.Construct
	bucket awss3.Bucket
	key    awskms.IKey
}

// NewDeadLetterBucket makes a DeadLetterBucket.
func NewDeadLetterBucket(scope constructs.Construct, id *string, props *DeadLetterBucketProps) *DeadLetterBucket {
	p := DeadLetterBucketProps{}
	if props != nil {
		p = *props
	}
	p.RemovalPolicy = orRetain(p.RemovalPolicy)
	d := &DeadLetterBucket{key: p.EncryptionKey}
	constructs.NewConstruct_Override(d, scope, id)
	if d.key == nil {
		d.key = newKey(d, "Encrypts dead letters", p.RemovalPolicy)
	}
	if p.AccessLogs == nil {
		p.AccessLogs = NewAccessLogsBucket(d, jsii.String("AccessLogs"), &AccessLogsBucketProps{RemovalPolicy: p.RemovalPolicy}).Bucket()
	}
	d.bucket = awss3.NewBucket(d, jsii.String("Default"), &awss3.BucketProps{
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		BucketKeyEnabled:  jsii.Bool(true),
		Encryption:        awss3.BucketEncryption_KMS,
		EncryptionKey:     d.key,
		EnforceSSL:        jsii.Bool(true),
		LifecycleRules: &[]*awss3.LifecycleRule{{
			Id:         jsii.String("old-dead-letters"),
			Expiration: orDuration(p.Keep, awscdk.Duration_Days(jsii.Number(90))),
		}},
		ObjectOwnership:        awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		RemovalPolicy:          p.RemovalPolicy,
		ServerAccessLogsBucket: p.AccessLogs,
		ServerAccessLogsPrefix: jsii.String("dead-letters/"),
	})
	return d
}

// Bucket gives the bucket itself.
func (d *DeadLetterBucket) Bucket() awss3.Bucket { return d.bucket }

// GrantWrite allows the grantee to write dead letters of its own, below "dead/".
func (d *DeadLetterBucket) GrantWrite(grantee awsiam.IGrantable) awsiam.Grant {
	return d.grantPut(grantee, handlerDeadLetters)
}

// grantFailureDestination allows a function's role what Lambda asks for when
// the bucket is the on-failure destination of one of its mappings: to put the
// records and to list the bucket, which Lambda does with the function's role.
// https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
func (d *DeadLetterBucket) grantFailureDestination(grantee awsiam.IGrantable) awsiam.Grant {
	list := awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("s3:ListBucket"),
		Grantee:      grantee,
		ResourceArns: &[]*string{d.bucket.BucketArn()},
	})
	return d.grantPut(grantee, mappingDeadLetters).Combine(list)
}

func (d *DeadLetterBucket) grantPut(grantee awsiam.IGrantable, prefix string) awsiam.Grant {
	put := awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("s3:PutObject"),
		Grantee:      grantee,
		ResourceArns: &[]*string{d.bucket.ArnForObjects(jsii.String(prefix + "*"))},
	})
	return put.Combine(awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("kms:GenerateDataKey"),
		Conditions:   viaService(d, "s3"),
		Grantee:      grantee,
		ResourceArns: &[]*string{d.key.KeyArn()},
	}))
}
