package template

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

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

type secretProperties struct {
	Description          string
	GenerateSecretString *struct {
		ExcludeCharacters                                                      string
		ExcludeLowercase, ExcludeUppercase, ExcludeNumbers, ExcludePunctuation boolean
		IncludeSpace                                                           boolean
		RequireEachIncludedType                                                *boolean
		PasswordLength                                                         *integer
		SecretStringTemplate, GenerateStringKey                                string
	}
	KmsKeyID     string
	Name         string
	SecretString string
	Tags         tags
}

// defaultPasswordLength is Secrets Manager's, of a generated secret.
const defaultPasswordLength = 32

func decodeSecret(d *decoder, r assembly.Resource) error {
	p, err := properties[secretProperties](r)
	if err != nil {
		return err
	}
	s := &Secret{Origin: origin(r), Name: r.Name, ARN: r.Ref, Description: p.Description, Value: p.SecretString, KeyARN: p.KmsKeyID, Tags: p.Tags.toMap()}
	if g := p.GenerateSecretString; g != nil {
		s.Generate = &Generate{
			Length: number(g.PasswordLength, defaultPasswordLength), ExcludeCharacters: g.ExcludeCharacters,
			ExcludeLowercase: bool(g.ExcludeLowercase), ExcludeUppercase: bool(g.ExcludeUppercase),
			ExcludeNumbers: bool(g.ExcludeNumbers), ExcludePunctuation: bool(g.ExcludePunctuation),
			IncludeSpace: bool(g.IncludeSpace), RequireEachIncludedType: g.RequireEachIncludedType == nil || bool(*g.RequireEachIncludedType),
			Template: g.SecretStringTemplate, Key: g.GenerateStringKey,
		}
	}
	d.model.Secrets = append(d.model.Secrets, s)
	return nil
}

func decodeRotation(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		RotateImmediatelyOnUpdate NoLocalEffect // the first value was made a moment ago
		RotationLambdaARN         string
		RotationRules             struct {
			AutomaticallyAfterDays *integer
			Duration               NoLocalEffect // rotations start on time here
			ScheduleExpression     string
		}
		SecretID string
	}](r)
	if err != nil {
		return err
	}
	schedule := p.RotationRules.ScheduleExpression
	if days := p.RotationRules.AutomaticallyAfterDays; days != nil {
		schedule = fmt.Sprintf("rate(%d days)", *days)
	}
	d.onSecret(r, p.SecretID, func(s *Secret) {
		s.RotationARN, s.RotationSchedule = p.RotationLambdaARN, schedule
	})
	return nil
}

func decodeSecretPolicy(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		BlockPublicPolicy NoLocalEffect // nothing listens beyond 127.0.0.1
		ResourcePolicy    document
		SecretID          string
	}](r)
	if err != nil {
		return err
	}
	d.onSecret(r, p.SecretID, func(s *Secret) { s.Policies = append(s.Policies, p.ResourcePolicy.raw()) })
	return nil
}

func (d *decoder) onSecret(r assembly.Resource, arn string, f func(*Secret)) {
	d.later(r, func() error {
		i := slices.IndexFunc(d.model.Secrets, func(s *Secret) bool { return s.ARN == arn })
		if i < 0 {
			return fmt.Errorf("property SecretId: no stack declares the secret %s", arn)
		}
		f(d.model.Secrets[i])
		return nil
	})
}

func decodeParameter(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		AllowedPattern          NoLocalEffect // the value is the template's own
		Description, Tags, Tier NoLocalEffect // for people and for billing
		Name, Type, Value       string
	}](r)
	if err != nil {
		return err
	}
	d.model.Parameters = append(d.model.Parameters, Parameter{Origin: origin(r), Name: r.Ref, Type: p.Type, Value: p.Value})
	return nil
}

// day is the unit of the retention properties.
const day = 24 * time.Hour
