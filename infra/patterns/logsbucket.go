package patterns

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// AccessLogsBucketProps configures an AccessLogsBucket. Every field may be left nil.
type AccessLogsBucketProps struct {
	// Keep is how long a log is kept. Nil: 90 days.
	Keep awscdk.Duration
	// RemovalPolicy of the bucket. Empty: RETAIN.
	RemovalPolicy awscdk.RemovalPolicy
}

// AccessLogsBucket receives the server access logs of other buckets, and what else
// S3 itself reports on them. It is
// encrypted with S3's own keys, since S3 cannot deliver access logs to a
// bucket whose default encryption is SSE-KMS.
type AccessLogsBucket struct {
	constructs.Construct
	bucket awss3.Bucket
}

// NewAccessLogsBucket makes an AccessLogsBucket.
func NewAccessLogsBucket(scope constructs.Construct, id *string, props *AccessLogsBucketProps) *AccessLogsBucket {
	p := AccessLogsBucketProps{}
	if props != nil {
		p = *props
	}
	l := &AccessLogsBucket{}
	constructs.NewConstruct_Override(l, scope, id)
	// Logs are let in by the bucket's policy. The CDK's older way, an ACL, is
	// refused under bucket-owner-enforced ownership; an app may not have chosen.
	l.Node().SetContext(jsii.String("@aws-cdk/aws-s3:serverAccessLogsUseBucketPolicy"), true)
	l.bucket = awss3.NewBucket(l, jsii.String("Default"), &awss3.BucketProps{
		BlockPublicAccess: awss3.BlockPublicAccess_BLOCK_ALL(),
		Encryption:        awss3.BucketEncryption_S3_MANAGED,
		EnforceSSL:        jsii.Bool(true),
		LifecycleRules: &[]*awss3.LifecycleRule{{
			Id:         jsii.String("old-logs"),
			Expiration: orDuration(p.Keep, awscdk.Duration_Days(jsii.Number(90))),
		}},
		ObjectOwnership: awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		RemovalPolicy:   orRetain(p.RemovalPolicy),
	})
	return l
}

// GrantRead allows the grantee to list and to read what lies below prefix.
func (l *AccessLogsBucket) GrantRead(grantee awsiam.IGrantable, prefix string) awsiam.Grant {
	list := awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("s3:ListBucket"),
		Conditions:   &map[string]*map[string]interface{}{"StringLike": {"s3:prefix": prefix + "*"}},
		Grantee:      grantee,
		ResourceArns: &[]*string{l.bucket.BucketArn()},
	})
	return awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("s3:GetObject"),
		Grantee:      grantee,
		ResourceArns: &[]*string{l.bucket.ArnForObjects(jsii.String(prefix + "*"))},
	}).Combine(list)
}

// Bucket gives the bucket itself.
func (l *AccessLogsBucket) Bucket() awss3.Bucket { return l.bucket }
