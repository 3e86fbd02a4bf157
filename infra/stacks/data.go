package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/patterns"
	"github.com/stowage-dev/stowage/shared/catalog"
)

// objectPrefix is where objects lie in the content bucket: c/<workspace>/<object>/<version>.
const objectPrefix = "c/"

// inventoryPrefix is where reports on the content bucket lie among the access logs.
const inventoryPrefix = "inventory"

// eventSource is the source of Stowage's events on the bus.
const eventSource = "stowage"

// ingestTimeout is the time-out of s3-ingest, which the queue's visibility
// time-out follows: ten objects of at most six calls each take well under a
// second, and what is left is room for a slow S3.
const ingestTimeout = 60

// Data holds state: the bytes, the catalog, the queue that tells of new
// bytes, the bus and the dead letters. It refers to no other stack.
type Data struct {
	Stack       awscdk.Stack
	Content     *patterns.UploadBucket
	Catalog     *patterns.CatalogTable
	Idempotency *patterns.CatalogTable
	Ingest      *patterns.IngestQueue
	Bus         *patterns.EventBus
	DeadLetters *patterns.DeadLetterBucket
	// Reports holds what S3 reports on Content, below Inventory, which is nil where it does not.
	Reports   *patterns.AccessLogsBucket
	Inventory *string
}

// NewData makes the Data stack.
func NewData(scope constructs.Construct, id string, settings Settings) *Data {
	stack := newStack(scope, id, settings, "Stowage: bytes, catalog, ingest queue, event bus and dead letters")
	removal := settings.Stage.RemovalPolicy()
	d := &Data{Stack: stack}

	d.Reports = patterns.NewAccessLogsBucket(stack, jsii.String("AccessLogs"), &patterns.AccessLogsBucketProps{RemovalPolicy: removal})
	// Two keys: who may read the catalog may not therefore read the bytes.
	catalogKey := newKey(stack, "CatalogKey", "Stowage: catalog, idempotency records and dead letters", removal)

	d.Content = patterns.NewUploadBucket(stack, jsii.String("Content"), &patterns.UploadBucketProps{
		AccessLogs:     d.Reports.Bucket(),
		EncryptionKey:  newKey(stack, "ContentKey", "Stowage: content", removal),
		KeepNoncurrent: awscdk.Duration_Days(jsii.Number(settings.KeepNoncurrent)),
		Origins:        jsii.Strings(settings.Origins...),
		RemovalPolicy:  removal,
	})
	d.DeadLetters = patterns.NewDeadLetterBucket(stack, jsii.String("DeadLetters"), &patterns.DeadLetterBucketProps{
		AccessLogs:    d.Reports.Bucket(),
		EncryptionKey: catalogKey,
		RemovalPolicy: removal,
	})
	d.Catalog = newTable(stack, "Catalog", catalog.MainTable(), catalogKey, removal)
	d.Idempotency = newTable(stack, "Idempotency", catalog.IdempotencyTable(), catalogKey, removal)

	d.Ingest = patterns.NewIngestQueue(stack, jsii.String("Ingest"), &patterns.IngestQueueProps{
		ConsumerTimeout: awscdk.Duration_Seconds(jsii.Number(ingestTimeout)),
		RemovalPolicy:   removal,
	})
	d.Content.Notify(d.Ingest.Queue(), objectPrefix)
	if settings.Stage == Prod {
		d.Inventory = d.Content.ReportInventory(d.Reports.Bucket(), inventoryPrefix, objectPrefix)
	}

	d.Bus = patterns.NewEventBus(stack, jsii.String("Events"), &patterns.EventBusProps{
		ArchiveRetention: awscdk.Duration_Days(jsii.Number(settings.ArchiveDays)),
		Description:      jsii.String("Stowage: what happens to objects, as CloudEvents"),
		RemovalPolicy:    removal,
		Source:           jsii.String(eventSource),
	})

	output(stack, "ContentBucket", "Bucket of the bytes", d.Content.Bucket().BucketName())
	output(stack, "DeadLetterBucket", "Bucket of the records that were given up", d.DeadLetters.Bucket().BucketName())
	output(stack, "CatalogTable", "Table of the catalog", d.Catalog.Table().TableName())
	output(stack, "EventBus", "Bus of the events", d.Bus.Bus().EventBusName())
	output(stack, "IngestDeadLetterQueue", "Queue of the notifications that were given up", d.Ingest.DeadLetters().QueueUrl())
	return d
}

// newTable makes the table that a declaration of the catalog describes.
func newTable(scope constructs.Construct, id string, table catalog.Table, key awskms.IKey, removal awscdk.RemovalPolicy) *patterns.CatalogTable {
	props := &patterns.CatalogTableProps{
		EncryptionKey: key,
		PartitionKey:  attribute(&table.PartitionKey),
		RemovalPolicy: removal,
		SortKey:       attribute(table.SortKey),
		Stream:        awsdynamodb.StreamViewType(table.Stream),
	}
	if table.TTL != "" {
		props.TimeToLive = jsii.String(table.TTL)
	}
	indexes := make([]*patterns.CatalogIndex, 0, len(table.Indexes))
	for _, index := range table.Indexes {
		indexes = append(indexes, &patterns.CatalogIndex{
			Name:         jsii.String(index.Name),
			PartitionKey: attribute(&index.PartitionKey),
			Projection:   awsdynamodb.ProjectionType(index.Projection),
			SortKey:      attribute(&index.SortKey),
		})
	}
	props.Indexes = &indexes
	return patterns.NewCatalogTable(scope, jsii.String(id), props)
}

func attribute(a *catalog.Attribute) *awsdynamodb.Attribute {
	if a == nil {
		return nil
	}
	kind := awsdynamodb.AttributeType_STRING
	if a.Type == catalog.Number {
		kind = awsdynamodb.AttributeType_NUMBER
	}
	return &awsdynamodb.Attribute{Name: jsii.String(a.Name), Type: kind}
}

func newKey(scope constructs.Construct, id, description string, removal awscdk.RemovalPolicy) awskms.Key {
	return awskms.NewKey(scope, jsii.String(id), &awskms.KeyProps{
		Description:       jsii.String(description),
		EnableKeyRotation: jsii.Bool(true),
		RemovalPolicy:     removal,
	})
}
