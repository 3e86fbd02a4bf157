// Package limits holds the limits that AWS sets and the ones that Stowage sets
// for itself, each with its source, so that no figure is written twice.
package limits

import "time"

// Units, binary as S3 and DynamoDB count them.
const (
	KiB int64 = 1 << 10
	MiB int64 = 1 << 20
	GiB int64 = 1 << 30
	TiB int64 = 1 << 40
)

// Amazon S3.
const (
	// S3KeyBytes is the longest object key, in bytes of UTF-8.
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-keys.html
	S3KeyBytes = 1024
	// S3MinPartBytes and S3MaxPartBytes bound each part but the last one.
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/qfacts.html
	S3MinPartBytes = 5 * MiB
	S3MaxPartBytes = 5 * GiB
	// S3MaxParts is the highest part number of a multipart upload.
	S3MaxParts = 10_000
)

// Amazon DynamoDB.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
const (
	// TransactItems is the most actions of one transaction.
	TransactItems = 100
	// BatchGetItems is the most keys of one BatchGetItem call.
	BatchGetItems = 100
	// PartitionKeyBytes and SortKeyBytes are the longest key values.
	PartitionKeyBytes = 2048
	SortKeyBytes      = 1024
	// ItemBytes is the largest item, names and values together.
	ItemBytes = 400 * KiB
)

// Amazon EventBridge.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevents.html
const (
	// PutEventsEntries is the most entries of one PutEvents call.
	PutEventsEntries = 10
	// PutEventsBytes is the most that the entries of one PutEvents call may
	// weigh together, and so the largest event. It was 256 KiB until 29 January
	// 2026.
	// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
	PutEventsBytes = MiB
)

// AWS Lambda, Amazon API Gateway and Amazon SQS.
const (
	// LambdaAnswerBytes is the largest synchronous request or answer.
	// https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
	LambdaAnswerBytes = 6 * MiB
	// HTTPAPIIntegration is the longest that an HTTP API waits for a function.
	// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
	HTTPAPIIntegration = 30 * time.Second
	// SQSBatchMessages is the most messages of one batch call.
	// https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
	SQSBatchMessages = 10
)

// Names and labels that clients choose.
const (
	// PathBytes is the longest path of an object, in bytes of UTF-8: what S3
	// allows a key to be, so that any key fits as a path.
	PathBytes = S3KeyBytes
	// Tags is the most tags of an object, TagKeyBytes and TagValueBytes what
	// each may hold. They are wider than S3's 10 because they live in the
	// catalog only.
	Tags          = 50
	TagKeyBytes   = 128
	TagValueBytes = 256
	// MetadataBytes bounds the names and values of an object's metadata
	// together: S3's own limit for user-defined metadata.
	// https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingMetadata.html
	MetadataBytes = 2 * KiB
	// ContentTypeBytes is the longest media type, which leaves room for two
	// names of 127 characters (RFC 6838, section 4.2) and a parameter.
	ContentTypeBytes = 320
	// SubjectBytes is the longest subject of a token (OpenID Connect Core,
	// section 2: sub must not exceed 255 ASCII characters).
	SubjectBytes = 255
	// WorkspaceNameBytes is the longest display name of a workspace.
	WorkspaceNameBytes = 200
)

// Uploads and objects.
const (
	// SinglePutBytes is the largest object that one presigned PUT may carry.
	// A browser cannot hash a stream with SHA-256, so it must hold the whole
	// object to declare its checksum.
	SinglePutBytes = 100 * MiB
	// PartBytes is the smallest part size that is chosen for a client: fewer,
	// larger parts than S3's least, small enough to send again.
	PartBytes = 8 * MiB
	// SignedParts is the most parts that one call signs, FirstParts the most
	// that opening an upload signs.
	SignedParts = 1000
	FirstParts  = 100
	// MultipartLife is how long a multipart upload takes parts. The bucket's
	// lifecycle aborts what is older.
	MultipartLife = 7 * 24 * time.Hour
	// UnverifiedBytes is how long an upload whose bytes have arrived waits for their
	// verification before it expires: as long as a notification that was given up
	// waits in the dead-letter queue to be redriven.
	UnverifiedBytes = 14 * 24 * time.Hour
	// SealLife is how long a key stays sealed after the last URL for it has died: a
	// PUT that began in time is over by then.
	SealLife = 24 * time.Hour
	// UnknownBytes is how old bytes must be, of which the catalog knows no upload,
	// to be deleted: as old as the oldest state of a table that point-in-time
	// recovery can bring back, so that a restored catalog has not lost their owner
	// a moment ago.
	// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Point-in-time-recovery.html
	UnknownBytes = 35 * 24 * time.Hour
	// UploadRecord is how long an upload can be read after it has ended and
	// given its quota back.
	UploadRecord = 30 * 24 * time.Hour
	// RejectedRecord is how long a rejected object can be read. Its bytes are
	// gone from the start.
	RejectedRecord = 30 * 24 * time.Hour
	// PageItems is the most items of one page of a list.
	PageItems = 1000
)

// Pictures.
const (
	// PictureBytes is the largest picture that derivatives are made of: it is read
	// whole into memory. Photographs of 200 megapixels have about 80 MiB.
	PictureBytes = 128 * MiB
	// PicturePixels is the most pixels of a picture, and PictureMemory the most
	// bytes that it may take once it is decoded.
	PicturePixels int64 = 1 << 28
	PictureMemory       = 640 * MiB
	// PictureProfileBytes is the largest colour profile that a derivative keeps.
	// Those of displays have a few KiB; the largest in common use, for printing,
	// would be larger than the derivative.
	PictureProfileBytes = 256 * KiB
)
