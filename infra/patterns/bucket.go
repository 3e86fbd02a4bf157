package patterns

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3"
	"github.com/aws/aws-cdk-go/awscdk/v2/awss3notifications"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssqs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// UploadBucketProps configures an UploadBucket. Every field may be left nil.
type UploadBucketProps struct {
	// Origins that may upload to and download from the bucket in a browser. Nil: none.
	Origins *[]*string
	// KeepNoncurrent is how long a version is kept after it was replaced or deleted. Nil: 30 days.
	KeepNoncurrent awscdk.Duration
	// AbortIncompleteAfter is when the parts of an upload that was never
	// completed are deleted. Nil: 7 days.
	AbortIncompleteAfter awscdk.Duration
	// EncryptionKey encrypts the objects. Nil: a key of the bucket's own, rotated yearly.
	EncryptionKey awskms.IKey
	// AccessLogs receives the server access logs. Nil: a bucket of the construct's own.
	AccessLogs awss3.IBucket
	// AccessLogsPrefix is put before the name of each access log. Nil: "content/".
	AccessLogsPrefix *string
	// RemovalPolicy of the bucket and of its own key. Empty: RETAIN.
	RemovalPolicy awscdk.RemovalPolicy
}

// UploadBucket is a bucket that clients write to with presigned requests and
// that shows nothing before it was verified: versioned, encrypted by KMS with
// a bucket key, private, TLS only, with access logs, with S3's events sent to
// EventBridge, and with the quarantine policy described at Quarantine.
type UploadBucket struct {
	constructs.Construct
	bucket awss3.Bucket
	key    awskms.IKey
}

// NewUploadBucket makes an UploadBucket.
func NewUploadBucket(scope constructs.Construct, id *string, props *UploadBucketProps) *UploadBucket {
	p := UploadBucketProps{}
	if props != nil {
		p = *props
	}
	p.KeepNoncurrent = orDuration(p.KeepNoncurrent, awscdk.Duration_Days(jsii.Number(30)))
	p.AbortIncompleteAfter = orDuration(p.AbortIncompleteAfter, awscdk.Duration_Days(jsii.Number(7)))
	p.AccessLogsPrefix = orDefault(p.AccessLogsPrefix, "content/")
	p.RemovalPolicy = orRetain(p.RemovalPolicy)

	b := &UploadBucket{key: p.EncryptionKey}
	constructs.NewConstruct_Override(b, scope, id)
	if b.key == nil {
		b.key = newKey(b, "Encrypts uploaded objects", p.RemovalPolicy)
	}
	if p.AccessLogs == nil {
		p.AccessLogs = NewAccessLogsBucket(b, jsii.String("AccessLogs"), &AccessLogsBucketProps{RemovalPolicy: p.RemovalPolicy}).Bucket()
	}
	b.bucket = awss3.NewBucket(b, jsii.String("Default"), &awss3.BucketProps{
		BlockPublicAccess:      awss3.BlockPublicAccess_BLOCK_ALL(),
		BucketKeyEnabled:       jsii.Bool(true),
		Cors:                   uploadCORS(p.Origins),
		Encryption:             awss3.BucketEncryption_KMS,
		EncryptionKey:          b.key,
		EnforceSSL:             jsii.Bool(true),
		EventBridgeEnabled:     jsii.Bool(true),
		LifecycleRules:         uploadLifecycle(p),
		ObjectOwnership:        awss3.ObjectOwnership_BUCKET_OWNER_ENFORCED,
		RemovalPolicy:          p.RemovalPolicy,
		ServerAccessLogsBucket: p.AccessLogs,
		ServerAccessLogsPrefix: p.AccessLogsPrefix,
		Versioned:              jsii.Bool(true),
	})
	for _, statement := range quarantineStatements(b.bucket) {
		b.bucket.AddToResourcePolicy(statement)
	}
	return b
}

// uploadLifecycle keeps the bucket from growing by what nobody asks for:
// abandoned parts, replaced versions and delete markers that hide nothing.
func uploadLifecycle(p UploadBucketProps) *[]*awss3.LifecycleRule {
	return &[]*awss3.LifecycleRule{
		{
			Id:                                  jsii.String("abandoned-parts"),
			AbortIncompleteMultipartUploadAfter: p.AbortIncompleteAfter,
		},
		{
			Id: jsii.String("intelligent-tiering"),
			Transitions: &[]*awss3.Transition{{
				StorageClass:    awss3.StorageClass_INTELLIGENT_TIERING(),
				TransitionAfter: awscdk.Duration_Days(jsii.Number(0)),
			}},
		},
		{
			Id:                          jsii.String("noncurrent-versions"),
			NoncurrentVersionExpiration: p.KeepNoncurrent,
			ExpiredObjectDeleteMarker:   jsii.Bool(true),
		},
	}
}

// uploadCORS allows what a browser needs to send a signed PUT and to read back
// the checksum and the version that S3 answers with. S3 takes wildcards in the
// headers that it allows, and not in those that it exposes.
func uploadCORS(origins *[]*string) *[]*awss3.CorsRule {
	if origins == nil || len(*origins) == 0 {
		return nil
	}
	return &[]*awss3.CorsRule{{
		AllowedOrigins: origins,
		AllowedMethods: &[]awss3.HttpMethods{awss3.HttpMethods_GET, awss3.HttpMethods_HEAD, awss3.HttpMethods_PUT},
		AllowedHeaders: jsii.Strings("content-type", "if-none-match", "range", "x-amz-checksum-*", "x-amz-sdk-checksum-algorithm"),
		ExposedHeaders: jsii.Strings("ETag", "x-amz-version-id", "x-amz-checksum-sha256", "x-amz-checksum-crc64nvme", "x-amz-checksum-type"),
		MaxAge:         jsii.Number(3600),
	}}
}

// Bucket gives the bucket itself.
func (b *UploadBucket) Bucket() awss3.Bucket { return b.bucket }

// Key gives the key that encrypts the objects.
func (b *UploadBucket) Key() awskms.IKey { return b.key }

// Notify sends an event to queue for each object below prefix that is created, removed,
// expired, moved to another storage class, or restored from an archive. Queue and bucket
// must stand in one stack, or the stacks would refer to each other.
func (b *UploadBucket) Notify(queue awssqs.IQueue, prefix string) {
	for _, event := range []awss3.EventType{
		awss3.EventType_OBJECT_CREATED, awss3.EventType_OBJECT_REMOVED,
		awss3.EventType_LIFECYCLE_EXPIRATION, awss3.EventType_LIFECYCLE_TRANSITION,
		awss3.EventType_OBJECT_RESTORE_POST, awss3.EventType_OBJECT_RESTORE_COMPLETED, awss3.EventType_OBJECT_RESTORE_DELETE,
	} {
		b.bucket.AddEventNotification(event,
			awss3notifications.NewSqsDestination(queue),
			&awss3.NotificationKeyFilter{Prefix: jsii.String(prefix)})
	}
}

// ReportInventory has S3 report daily to destination, as CSV below prefix, on all
// versions below objectPrefix: their sizes and ages, and nothing of their owners. It
// returns where the reports lie.
func (b *UploadBucket) ReportInventory(destination awss3.IBucket, prefix, objectPrefix string) *string {
	const id = "versions"
	b.bucket.AddInventory(&awss3.Inventory{
		Destination:           &awss3.InventoryDestination{Bucket: destination, Prefix: jsii.String(prefix)},
		Format:                awss3.InventoryFormat_CSV,
		Frequency:             awss3.InventoryFrequency_DAILY,
		IncludeObjectVersions: awss3.InventoryObjectVersion_ALL,
		InventoryId:           jsii.String(id),
		ObjectsPrefix:         jsii.String(objectPrefix),
		OptionalFields:        jsii.Strings("Size", "LastModifiedDate"),
	})
	return awscdk.Fn_Join(jsii.String("/"), &[]*string{jsii.String(prefix), b.bucket.BucketName(), jsii.String(id)})
}

// GrantSignUploads allows the grantee what a presigned request needs: to put
// objects below prefix, whole or in parts, and to get their versions; and to list
// and to abandon the parts. The quarantine policy stands above this grant: a
// version that was not verified stays unreadable.
func (b *UploadBucket) GrantSignUploads(grantee awsiam.IGrantable, prefix string) awsiam.Grant {
	return b.grant(grantee, prefix, "s3:PutObject", "s3:GetObjectVersion", "s3:ListMultipartUploadParts", "s3:AbortMultipartUpload").
		Combine(b.grantKey(grantee, "kms:Decrypt", "kms:GenerateDataKey"))
}

// GrantFinishUploads allows the grantee to complete multipart uploads below
// prefix (which S3 counts as putting an object), to list their parts, and to see
// which versions there are, but to read none.
func (b *UploadBucket) GrantFinishUploads(grantee awsiam.IGrantable, prefix string) awsiam.Grant {
	return b.grant(grantee, prefix, "s3:PutObject", "s3:ListMultipartUploadParts").
		Combine(b.grantList(grantee, prefix, "s3:ListBucketVersions")).
		Combine(b.grantKey(grantee, "kms:Decrypt"))
}

// GrantSignDownloads allows the grantee to get the versions below prefix, as a
// presigned request does.
func (b *UploadBucket) GrantSignDownloads(grantee awsiam.IGrantable, prefix string) awsiam.Grant {
	return b.grant(grantee, prefix, "s3:GetObjectVersion").Combine(b.grantKey(grantee, "kms:Decrypt"))
}

// GrantReadVerified allows the grantee to read the objects below prefix, in their newest
// version; the bucket's policy lets it read no more than what is verified. S3 answers 403
// for what is not there, as the grantee may not list.
func (b *UploadBucket) GrantReadVerified(grantee awsiam.IGrantable, prefix string) awsiam.Grant {
	return b.grant(grantee, prefix, "s3:GetObject").Combine(b.grantKey(grantee, "kms:Decrypt"))
}

// GrantDerive allows the grantee to read the versions below from and to keep what it
// makes of them below to: to put it with the tag that lets it out of the quarantine,
// for which its role must also carry the tag of QuarantineWriter, to look at it, and to
// delete it for good.
func (b *UploadBucket) GrantDerive(grantee awsiam.IGrantable, from, to string) awsiam.Grant {
	return b.grant(grantee, from, "s3:GetObjectVersion").
		Combine(b.grant(grantee, to, "s3:PutObject", "s3:PutObjectTagging", "s3:GetObject", "s3:DeleteObjectVersion")).
		Combine(b.grantKey(grantee, "kms:Decrypt", "kms:GenerateDataKey"))
}

// GrantScan allows the grantee to read the versions below prefix. To read what is in
// quarantine its role must also carry the tag of QuarantineReader. It includes
// s3:ListBucket as GrantVerify does.
func (b *UploadBucket) GrantScan(grantee awsiam.IGrantable, prefix string) awsiam.Grant {
	list := awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("s3:ListBucket"),
		Grantee:      grantee,
		ResourceArns: &[]*string{b.bucket.BucketArn()},
	})
	return b.grant(grantee, prefix, "s3:GetObjectVersion").Combine(list).Combine(b.grantKey(grantee, "kms:Decrypt"))
}

// GrantVerify allows the grantee to read, to tag and to delete for good the
// versions below prefix. To read what is in quarantine and to write tags its
// role must also carry the tag of QuarantineWriter.
//
// It includes s3:ListBucket, without which S3 answers 403 rather than 404 for
// a version that is gone, so that an object deleted in the meantime could not
// be told from a missing permission.
func (b *UploadBucket) GrantVerify(grantee awsiam.IGrantable, prefix string) awsiam.Grant {
	list := awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("s3:ListBucket"),
		Grantee:      grantee,
		ResourceArns: &[]*string{b.bucket.BucketArn()},
	})
	return b.grant(grantee, prefix, "s3:GetObjectVersion", "s3:PutObjectVersionTagging", "s3:DeleteObjectVersion").
		Combine(list).
		Combine(b.grantKey(grantee, "kms:Decrypt"))
}

// GrantSeal allows the grantee to close the keys below prefix of uploads that have
// ended: to delete for good what is stored there, of which it may see which versions
// there are and read none, and to put an empty object in its place.
func (b *UploadBucket) GrantSeal(grantee awsiam.IGrantable, prefix string) awsiam.Grant {
	return b.grant(grantee, prefix, "s3:PutObject", "s3:DeleteObjectVersion").
		Combine(b.grantList(grantee, prefix, "s3:ListBucketVersions")).
		Combine(b.grantKey(grantee, "kms:GenerateDataKey"))
}

// GrantSweep allows the grantee GrantSeal, and to find and abandon the parts of
// multipart uploads below prefix.
func (b *UploadBucket) GrantSweep(grantee awsiam.IGrantable, prefix string) awsiam.Grant {
	return b.GrantSeal(grantee, prefix).
		Combine(b.grant(grantee, prefix, "s3:AbortMultipartUpload", "s3:ListMultipartUploadParts")).
		Combine(b.grantList(grantee, prefix, "s3:ListBucketMultipartUploads"))
}

// grantList allows the grantee to list the bucket below prefix.
func (b *UploadBucket) grantList(grantee awsiam.IGrantable, prefix, action string) awsiam.Grant {
	return awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings(action),
		Conditions:   &map[string]*map[string]interface{}{"StringLike": {"s3:prefix": prefix + "*"}},
		Grantee:      grantee,
		ResourceArns: &[]*string{b.bucket.BucketArn()},
	})
}

func (b *UploadBucket) grant(grantee awsiam.IGrantable, prefix string, actions ...string) awsiam.Grant {
	return awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings(actions...),
		Grantee:      grantee,
		ResourceArns: &[]*string{b.bucket.ArnForObjects(jsii.String(prefix + "*"))},
	})
}

func (b *UploadBucket) grantKey(grantee awsiam.IGrantable, actions ...string) awsiam.Grant {
	return awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings(actions...),
		Conditions:   viaService(b, "s3"),
		Grantee:      grantee,
		ResourceArns: &[]*string{b.key.KeyArn()},
	})
}

// newKey makes a construct's own customer-managed key, which is rotated every year.
func newKey(scope constructs.Construct, description string, removal awscdk.RemovalPolicy) awskms.Key {
	return awskms.NewKey(scope, jsii.String("Key"), &awskms.KeyProps{
		Description:       jsii.String(description),
		EnableKeyRotation: jsii.Bool(true),
		RemovalPolicy:     removal,
	})
}
