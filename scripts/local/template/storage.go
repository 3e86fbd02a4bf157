package template

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

// Bucket is an S3 bucket with what its policy and notification resources say.
type Bucket struct {
	Origin
	Name, ARN     string
	Versioned     bool
	CORS          []CORSRule
	EventBridge   bool
	Notifications []Notification
	Policies      []json.RawMessage
	Lifecycle     json.RawMessage
	KeyARN        string
	BucketKey     bool // objects are encrypted with a key of the bucket's own, which KeyARN encrypts
	Tags          map[string]string
}

// CORSRule is one rule of a bucket's CORS configuration.
type CORSRule struct {
	ID                                                            string
	AllowedHeaders, AllowedMethods, AllowedOrigins, ExposeHeaders []string
	MaxAge                                                        time.Duration
}

// Notification sends a bucket's events to a queue or a function.
type Notification struct {
	ID             string
	Events         []string // such as s3:ObjectCreated:*
	Prefix, Suffix string
	TargetARN      string
}

// Table is a DynamoDB table.
type Table struct {
	Origin
	Name, ARN, StreamARN string
	Attributes           map[string]string // name to S, N or B
	PartitionKey         string
	SortKey              string // empty: none
	GlobalIndexes        []Index
	LocalIndexes         []Index
	TTLAttribute         string // empty: items do not expire
	StreamView           string // empty: no stream
	KeyARN               string
}

// Index is a secondary index.
type Index struct {
	Name, PartitionKey, SortKey string
	Projection                  string // ALL, KEYS_ONLY or INCLUDE
	NonKeyAttributes            []string
}

type bucketProperties struct {
	AccessControl    NoLocalEffect // canned ACLs grant only log delivery in these templates
	BucketEncryption struct {
		ServerSideEncryptionConfiguration []struct {
			BucketKeyEnabled              boolean
			ServerSideEncryptionByDefault struct{ KMSMasterKeyID, SSEAlgorithm string }
			BlockedEncryptionTypes        NoLocalEffect // clients cannot bring keys to the local engine
		}
	}
	BucketName        string
	CorsConfiguration struct {
		CorsRules []struct {
			AllowedHeaders, AllowedMethods, AllowedOrigins, ExposedHeaders []string
			ID                                                             string
			MaxAge                                                         *integer
		}
	}
	IntelligentTieringConfigurations NoLocalEffect // there is one tier
	InventoryConfigurations          NoLocalEffect // reports are daily and for audits
	LifecycleConfiguration           document
	LoggingConfiguration             NoLocalEffect // the gateway logs every call
	MetricsConfigurations            NoLocalEffect // no metrics are kept
	NotificationConfiguration        notificationConfiguration
	OwnershipControls                NoLocalEffect // there is one account
	PublicAccessBlockConfiguration   NoLocalEffect // nothing listens beyond 127.0.0.1
	Tags                             tags
	VersioningConfiguration          struct{ Status string }
}

type notificationConfiguration struct {
	EventBridgeConfiguration     *struct{ EventBridgeEnabled *boolean }
	QueueConfigurations          []notificationTarget
	LambdaConfigurations         []notificationTarget // the bucket's own property
	LambdaFunctionConfigurations []notificationTarget // the custom resource's
}

type notificationTarget struct {
	ID     string
	Event  string   // the bucket's own property has one
	Events []string // the custom resource has several
	Filter struct {
		S3Key, Key struct {
			Rules, FilterRules []struct{ Name, Value string }
		}
	}
	Queue, QueueArn, Function, LambdaFunctionArn string
}

func decodeBucket(d *decoder, r assembly.Resource) error {
	p, err := properties[bucketProperties](r)
	if err != nil {
		return err
	}
	b := &Bucket{
		Origin: origin(r), Name: r.Ref, ARN: r.Attributes["Arn"], Versioned: p.VersioningConfiguration.Status == "Enabled",
		Lifecycle: p.LifecycleConfiguration.raw(), Tags: p.Tags.toMap(),
	}
	for _, e := range p.BucketEncryption.ServerSideEncryptionConfiguration {
		b.KeyARN, b.BucketKey = e.ServerSideEncryptionByDefault.KMSMasterKeyID, bool(e.BucketKeyEnabled)
	}
	for _, c := range p.CorsConfiguration.CorsRules {
		b.CORS = append(b.CORS, CORSRule{ID: c.ID, AllowedHeaders: c.AllowedHeaders, AllowedMethods: c.AllowedMethods,
			AllowedOrigins: c.AllowedOrigins, ExposeHeaders: c.ExposedHeaders, MaxAge: seconds(c.MaxAge, 0)})
	}
	if err := p.NotificationConfiguration.addTo(b); err != nil {
		return err
	}
	d.model.Buckets = append(d.model.Buckets, b)
	return nil
}

// addTo folds a notification configuration into its bucket.
func (n notificationConfiguration) addTo(b *Bucket) error {
	if e := n.EventBridgeConfiguration; e != nil && (e.EventBridgeEnabled == nil || bool(*e.EventBridgeEnabled)) {
		b.EventBridge = true
	}
	for _, t := range slices.Concat(n.QueueConfigurations, n.LambdaConfigurations, n.LambdaFunctionConfigurations) {
		out := Notification{ID: t.ID, Events: t.Events, TargetARN: t.Queue + t.QueueArn + t.Function + t.LambdaFunctionArn}
		if t.Event != "" {
			out.Events = []string{t.Event}
		}
		if out.ID == "" {
			out.ID = fmt.Sprintf("%s-%d", b.LogicalID, len(b.Notifications))
		}
		for _, rule := range slices.Concat(t.Filter.S3Key.Rules, t.Filter.Key.FilterRules) {
			switch strings.ToLower(rule.Name) {
			case "prefix":
				out.Prefix = rule.Value
			case "suffix":
				out.Suffix = rule.Value
			default:
				return oneOf("FilterRules' Name", rule.Name, "prefix", "suffix")
			}
		}
		b.Notifications = append(b.Notifications, out)
	}
	return nil
}

func decodeBucketPolicy(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		Bucket         string
		PolicyDocument document
	}](r)
	if err != nil {
		return err
	}
	d.later(r, func() error {
		b, err := d.model.bucket(p.Bucket)
		if err != nil {
			return err
		}
		b.Policies = append(b.Policies, p.PolicyDocument.raw())
		return nil
	})
	return nil
}

func decodeNotifications(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		ServiceToken              NoLocalEffect // the function that would write the configuration
		BucketName                string
		NotificationConfiguration notificationConfiguration
		Managed                   NoLocalEffect // it tells that function whether it owns the configuration
		SkipDestinationValidation NoLocalEffect // destinations are always checked
	}](r)
	if err != nil {
		return err
	}
	d.later(r, func() error {
		b, err := d.model.bucket(p.BucketName)
		if err != nil {
			return err
		}
		return p.NotificationConfiguration.addTo(b)
	})
	return nil
}

type keySchema []struct{ AttributeName, KeyType string }

// names gives the partition key and the sort key, which may be missing.
func (k keySchema) names() (partition, sort string) {
	for _, e := range k {
		if e.KeyType == "HASH" {
			partition = e.AttributeName
		} else {
			sort = e.AttributeName
		}
	}
	return partition, sort
}

type indexProperties struct {
	IndexName  string
	KeySchema  keySchema
	Projection struct {
		ProjectionType   string
		NonKeyAttributes []string
	}
	ContributorInsightsSpecification   NoLocalEffect // no metrics are kept
	ReadOnDemandThroughputSettings     NoLocalEffect // capacity is not modelled
	WriteOnDemandThroughputSettings    NoLocalEffect // capacity is not modelled
	WriteProvisionedThroughputSettings NoLocalEffect // capacity is not modelled
	WarmThroughput                     NoLocalEffect // capacity is not modelled
}

func (p indexProperties) model() Index {
	partition, sort := p.KeySchema.names()
	return Index{Name: p.IndexName, PartitionKey: partition, SortKey: sort, Projection: p.Projection.ProjectionType, NonKeyAttributes: p.Projection.NonKeyAttributes}
}

type tableProperties struct {
	AttributeDefinitions           []struct{ AttributeName, AttributeType string }
	BillingMode                    NoLocalEffect // capacity is not modelled
	GlobalSecondaryIndexes         []indexProperties
	KeySchema                      keySchema
	LocalSecondaryIndexes          []indexProperties
	ReadOnDemandThroughputSettings NoLocalEffect // capacity is not modelled
	Replicas                       []replicaProperties
	SSESpecification               NoLocalEffect // the engine's file is not encrypted
	StreamSpecification            struct{ StreamViewType string }
	TableName                      string
	TimeToLiveSpecification        struct {
		AttributeName string
		Enabled       boolean
	}
	WarmThroughput                     NoLocalEffect // capacity is not modelled
	WriteOnDemandThroughputSettings    NoLocalEffect // capacity is not modelled
	WriteProvisionedThroughputSettings NoLocalEffect // capacity is not modelled
}

// replicaProperties are per region; the runtime is the home region.
type replicaProperties struct {
	Region                            string
	ContributorInsightsSpecification  NoLocalEffect // no metrics are kept
	DeletionProtectionEnabled         NoLocalEffect // nothing deletes tables but RESET=1
	GlobalSecondaryIndexes            NoLocalEffect // capacity of each index
	PointInTimeRecoverySpecification  NoLocalEffect // the engine has no backups
	ReadOnDemandThroughputSettings    NoLocalEffect // capacity is not modelled
	ReadProvisionedThroughputSettings NoLocalEffect // capacity is not modelled
	ResourcePolicy                    struct{ PolicyDocument document }
	SSESpecification                  struct{ KMSMasterKeyID string }
	TableClass                        NoLocalEffect // there is one tier
	Tags                              NoLocalEffect // tables are not matched by tag
}

func decodeTable(d *decoder, r assembly.Resource) error {
	p, err := properties[tableProperties](r)
	if err != nil {
		return err
	}
	t := Table{Origin: origin(r), Name: r.Ref, ARN: r.Attributes["Arn"], Attributes: map[string]string{}}
	t.PartitionKey, t.SortKey = p.KeySchema.names()
	for _, a := range p.AttributeDefinitions {
		t.Attributes[a.AttributeName] = a.AttributeType
	}
	for _, g := range p.GlobalSecondaryIndexes {
		t.GlobalIndexes = append(t.GlobalIndexes, g.model())
	}
	for _, l := range p.LocalSecondaryIndexes {
		t.LocalIndexes = append(t.LocalIndexes, l.model())
	}
	if p.TimeToLiveSpecification.Enabled {
		t.TTLAttribute = p.TimeToLiveSpecification.AttributeName
	}
	if view := p.StreamSpecification.StreamViewType; view != "" {
		t.StreamView, t.StreamARN = view, r.Attributes["StreamArn"]
	}
	for _, replica := range p.Replicas {
		if replica.ResourcePolicy.PolicyDocument != nil {
			return fmt.Errorf("property ResourcePolicy of a replica: the local runtime does not know table policies")
		}
		t.KeyARN = replica.SSESpecification.KMSMasterKeyID
	}
	d.model.Tables = append(d.model.Tables, t)
	return nil
}

func (m *Model) bucket(name string) (*Bucket, error) {
	for _, b := range m.Buckets {
		if b.Name == name {
			return b, nil
		}
	}
	return nil, fmt.Errorf("no stack declares the bucket %s", name)
}
