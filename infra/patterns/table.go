package patterns

import (
	"slices"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsdynamodb"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsiam"
	"github.com/aws/aws-cdk-go/awscdk/v2/awskms"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// maxIndexes is DynamoDB's default quota of global secondary indexes,
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ServiceQuotas.html
const maxIndexes = 20

// CatalogIndex is one global secondary index. Name and PartitionKey are required.
type CatalogIndex struct {
	// Name of the index, by which queries ask for it.
	Name *string
	// PartitionKey is the attribute it is partitioned by.
	PartitionKey *awsdynamodb.Attribute
	// SortKey is the attribute it is sorted by. Nil: none.
	SortKey *awsdynamodb.Attribute
	// Projection says what the index holds of each item. Empty: everything.
	Projection awsdynamodb.ProjectionType
}

// CatalogTableProps configures a CatalogTable. PartitionKey is required.
type CatalogTableProps struct {
	// PartitionKey is the attribute the table is partitioned by.
	PartitionKey *awsdynamodb.Attribute
	// SortKey is the attribute that sorts a partition. Nil: none.
	SortKey *awsdynamodb.Attribute
	// Indexes are the global secondary indexes. Nil: none.
	Indexes *[]*CatalogIndex
	// TimeToLive is the name of the attribute that says when an item expires,
	// in seconds since 1970. Nil: items do not expire.
	TimeToLive *string
	// Stream says what of an item its changes show. Empty: there is no stream.
	Stream awsdynamodb.StreamViewType
	// EncryptionKey encrypts the table. Nil: a key of the table's own, rotated yearly.
	EncryptionKey awskms.IKey
	// DeletionProtection refuses to delete the table. Nil: true when it is retained.
	DeletionProtection *bool
	// RemovalPolicy of the table and of its own key. Empty: RETAIN.
	RemovalPolicy awscdk.RemovalPolicy
}

// CatalogTable is a single-table catalog: on demand, encrypted with a
// customer-managed key, restorable to any second of the last 35 days.
type CatalogTable struct {
	constructs.Construct
	table   awsdynamodb.TableV2
	key     awskms.IKey
	indexes []string
	streams bool
}

// NewCatalogTable makes a CatalogTable. Its stack needs a concrete region: a
// table with a customer-managed key names the region of its replica.
func NewCatalogTable(scope constructs.Construct, id *string, props *CatalogTableProps) *CatalogTable {
	p := *props
	p.RemovalPolicy = orRetain(p.RemovalPolicy)
	p.DeletionProtection = orDefault(p.DeletionProtection, p.RemovalPolicy == awscdk.RemovalPolicy_RETAIN)
	if p.PartitionKey == nil {
		refuse(scope, id, "PartitionKey", "nil", "name the attribute that the table is partitioned by")
	}
	if *awscdk.Token_IsUnresolved(awscdk.Stack_Of(scope).Region()) {
		refuse(scope, id, "scope", "a stack without a region", "give its stack an Env with a Region")
	}

	t := &CatalogTable{key: p.EncryptionKey, streams: p.Stream != ""}
	constructs.NewConstruct_Override(t, scope, id)
	if t.key == nil {
		t.key = newKey(t, "Encrypts a table", p.RemovalPolicy)
	}
	t.table = awsdynamodb.NewTableV2(t, jsii.String("Default"), &awsdynamodb.TablePropsV2{
		Billing:                awsdynamodb.Billing_OnDemand(nil),
		DeletionProtection:     p.DeletionProtection,
		DynamoStream:           p.Stream,
		Encryption:             awsdynamodb.TableEncryptionV2_CustomerManagedKey(t.key, nil),
		GlobalSecondaryIndexes: t.globalIndexes(scope, id, p.Indexes),
		PartitionKey:           p.PartitionKey,
		PointInTimeRecoverySpecification: &awsdynamodb.PointInTimeRecoverySpecification{
			PointInTimeRecoveryEnabled: jsii.Bool(true),
		},
		RemovalPolicy:       p.RemovalPolicy,
		SortKey:             p.SortKey,
		TimeToLiveAttribute: p.TimeToLive,
	})
	return t
}

func (t *CatalogTable) globalIndexes(scope constructs.Construct, id *string, indexes *[]*CatalogIndex) *[]*awsdynamodb.GlobalSecondaryIndexPropsV2 {
	if indexes == nil || len(*indexes) == 0 {
		return nil
	}
	if n := len(*indexes); n > maxIndexes {
		refuse(scope, id, "Indexes", n, "declare at most 20 indexes; let entities share them")
	}
	global := make([]*awsdynamodb.GlobalSecondaryIndexPropsV2, 0, len(*indexes))
	for _, index := range *indexes {
		t.indexes = append(t.indexes, *index.Name)
		global = append(global, &awsdynamodb.GlobalSecondaryIndexPropsV2{
			IndexName:      index.Name,
			PartitionKey:   index.PartitionKey,
			ProjectionType: index.Projection,
			SortKey:        index.SortKey,
		})
	}
	return &global
}

// Table gives the table itself.
func (t *CatalogTable) Table() awsdynamodb.TableV2 { return t.table }

// Key gives the key that encrypts the table.
func (t *CatalogTable) Key() awskms.IKey { return t.key }

// Grant allows the grantee the given actions on the table's items, such as
// "dynamodb:GetItem", and what they need of its key. A transaction is allowed
// by the actions that it is made of: PutItem, UpdateItem, DeleteItem and
// ConditionCheckItem.
//
// kms:Decrypt is all that calls need of the key: the key of the table is made
// with the table, and each call only has it decrypted.
func (t *CatalogTable) Grant(grantee awsiam.IGrantable, actions ...string) awsiam.Grant {
	return awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings(actions...),
		Grantee:      grantee,
		ResourceArns: &[]*string{t.table.TableArn()},
	}).Combine(t.grantDecrypt(grantee))
}

// GrantQueryIndex allows the grantee to query the named index. It panics with
// a *PropsError when the table has no such index.
func (t *CatalogTable) GrantQueryIndex(grantee awsiam.IGrantable, index string) awsiam.Grant {
	if !slices.Contains(t.indexes, index) {
		refuse(t.Construct.Node().Scope().(constructs.Construct), t.Construct.Node().Id(), "index", index, "name one of the indexes that the table declares")
	}
	return awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("dynamodb:Query"),
		Grantee:      grantee,
		ResourceArns: &[]*string{jsii.String(*t.table.TableArn() + "/index/" + index)},
	}).Combine(t.grantDecrypt(grantee))
}

// grantReadStream allows a function's role what Lambda does with it to read
// the stream of the table. ListStreams knows no narrower resource than the
// stream itself.
func (t *CatalogTable) grantReadStream(grantee awsiam.IGrantable) awsiam.Grant {
	return awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions: jsii.Strings("dynamodb:DescribeStream", "dynamodb:GetRecords",
			"dynamodb:GetShardIterator", "dynamodb:ListStreams"),
		Grantee:      grantee,
		ResourceArns: &[]*string{t.table.TableStreamArn()},
	}).Combine(t.grantDecrypt(grantee))
}

func (t *CatalogTable) grantDecrypt(grantee awsiam.IGrantable) awsiam.Grant {
	return awsiam.Grant_AddToPrincipal(&awsiam.GrantOnPrincipalOptions{
		Actions:      jsii.Strings("kms:Decrypt"),
		Conditions:   viaService(t, "dynamodb"),
		Grantee:      grantee,
		ResourceArns: &[]*string{t.key.KeyArn()},
	})
}

// MetricThrottledWrites counts writes that DynamoDB refused, over 5 minutes.
func (t *CatalogTable) MetricThrottledWrites() awscloudwatch.Metric {
	return t.metric("WriteThrottleEvents", "Sum")
}

// MetricThrottledReads counts reads that DynamoDB refused, over 5 minutes.
func (t *CatalogTable) MetricThrottledReads() awscloudwatch.Metric {
	return t.metric("ReadThrottleEvents", "Sum")
}

func (t *CatalogTable) metric(name, statistic string) awscloudwatch.Metric {
	return t.table.Metric(jsii.String(name), &awscloudwatch.MetricOptions{Statistic: jsii.String(statistic)})
}
