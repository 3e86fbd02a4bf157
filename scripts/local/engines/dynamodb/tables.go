package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Table declares a table. All capacity is on demand.
type Table struct {
	Name         string
	Attributes   map[string]string // key attributes: name to S, N or B
	PartitionKey string
	SortKey      string // empty: none
	Global       []Index
	Local        []Index
	StreamView   string // empty: no stream
	TTLAttribute string // empty: items do not expire
}

// Index declares a secondary index.
type Index struct {
	Name             string
	PartitionKey     string
	SortKey          string
	Projection       string // ALL, KEYS_ONLY or INCLUDE
	NonKeyAttributes []string
}

func newClient(endpoint string) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		BaseEndpoint: aws.String(endpoint),
		Region:       "us-east-1",
		// The engine wants a signature and does not verify it.
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "local", SecretAccessKey: "local"}, nil
		}),
		RetryMaxAttempts: 1,
	})
}

func ping(ctx context.Context, client *dynamodb.Client) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	if _, err := client.ListTables(ctx, &dynamodb.ListTablesInput{Limit: aws.Int32(1)}); err != nil {
		return fmt.Errorf("list tables: %w", err)
	}
	return nil
}

// provision creates the tables that are missing and changes those that can be
// changed in place.
func (e *Engine) provision(ctx context.Context) error {
	client := newClient(e.endpoint)
	for _, t := range e.cfg.Tables {
		if err := provisionTable(ctx, client, t); err != nil {
			return fmt.Errorf("table %s: %w", t.Name, err)
		}
	}
	return nil
}

func provisionTable(ctx context.Context, client *dynamodb.Client, t Table) error {
	out, err := client.DescribeTable(ctx, &dynamodb.DescribeTableInput{TableName: &t.Name})
	if _, missing := errors.AsType[*types.ResourceNotFoundException](err); missing {
		if _, err := client.CreateTable(ctx, t.create()); err != nil {
			return fmt.Errorf("create: %w", err)
		}
	} else if err != nil {
		return fmt.Errorf("describe: %w", err)
	} else if err := t.update(ctx, client, out.Table); err != nil {
		return err
	}
	return t.setTTL(ctx, client)
}

func (t Table) create() *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{
		TableName:            &t.Name,
		BillingMode:          types.BillingModePayPerRequest,
		AttributeDefinitions: t.attributes(),
		KeySchema:            schema(t.PartitionKey, t.SortKey),
		StreamSpecification:  t.stream(),
	}
	for _, i := range t.Global {
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName: &i.Name, KeySchema: schema(i.PartitionKey, i.SortKey), Projection: i.projection()})
	}
	for _, i := range t.Local {
		in.LocalSecondaryIndexes = append(in.LocalSecondaryIndexes, types.LocalSecondaryIndex{
			IndexName: &i.Name, KeySchema: schema(i.PartitionKey, i.SortKey), Projection: i.projection()})
	}
	return in
}

func (t Table) attributes() []types.AttributeDefinition {
	var defs []types.AttributeDefinition
	for _, name := range slices.Sorted(maps.Keys(t.Attributes)) {
		defs = append(defs, types.AttributeDefinition{AttributeName: &name, AttributeType: types.ScalarAttributeType(t.Attributes[name])})
	}
	return defs
}

func (t Table) stream() *types.StreamSpecification {
	if t.StreamView == "" {
		return nil
	}
	return &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewType(t.StreamView)}
}

func (i Index) projection() *types.Projection {
	return &types.Projection{ProjectionType: types.ProjectionType(i.Projection), NonKeyAttributes: i.NonKeyAttributes}
}

func schema(partition, sort string) []types.KeySchemaElement {
	s := []types.KeySchemaElement{{AttributeName: &partition, KeyType: types.KeyTypeHash}}
	if sort != "" {
		s = append(s, types.KeySchemaElement{AttributeName: &sort, KeyType: types.KeyTypeRange})
	}
	return s
}

// shape is what cannot be changed in place, in a form that compares.
func shape(keys []types.KeySchemaElement) string {
	var partition, sort string
	for _, k := range keys {
		if k.KeyType == types.KeyTypeHash {
			partition = aws.ToString(k.AttributeName)
		} else {
			sort = aws.ToString(k.AttributeName)
		}
	}
	return partition + "/" + sort
}

// errReplace says what CloudFormation would do by replacing the table.
var errReplace = errors.New("this needs a new table; start from scratch with RESET=1")

// update brings an existing table to its declared state: global indexes come
// and go, and the stream can be switched; the rest needs a new table.
func (t Table) update(ctx context.Context, client *dynamodb.Client, have *types.TableDescription) error {
	if got, want := shape(have.KeySchema), shape(schema(t.PartitionKey, t.SortKey)); got != want {
		return fmt.Errorf("its keys are %s and should be %s: %w", got, want, errReplace)
	}
	if got, want := len(have.LocalSecondaryIndexes), len(t.Local); got != want {
		return fmt.Errorf("it has %d local indexes and should have %d: %w", got, want, errReplace)
	}
	declared := map[string]Index{}
	for _, i := range t.Global {
		declared[i.Name] = i
	}
	existing := map[string]bool{}
	for _, g := range have.GlobalSecondaryIndexes {
		name := aws.ToString(g.IndexName)
		want, ok := declared[name]
		if ok && shape(g.KeySchema) == shape(schema(want.PartitionKey, want.SortKey)) {
			existing[name] = true
			continue
		}
		drop := types.GlobalSecondaryIndexUpdate{Delete: &types.DeleteGlobalSecondaryIndexAction{IndexName: &name}}
		if err := t.updateIndex(ctx, client, drop); err != nil {
			return fmt.Errorf("drop index %s: %w", name, err)
		}
	}
	for _, i := range t.Global {
		if existing[i.Name] {
			continue
		}
		add := types.GlobalSecondaryIndexUpdate{Create: &types.CreateGlobalSecondaryIndexAction{
			IndexName: &i.Name, KeySchema: schema(i.PartitionKey, i.SortKey), Projection: i.projection()}}
		if err := t.updateIndex(ctx, client, add); err != nil {
			return fmt.Errorf("add index %s: %w", i.Name, err)
		}
	}
	return t.switchStream(ctx, client, have)
}

func (t Table) updateIndex(ctx context.Context, client *dynamodb.Client, u types.GlobalSecondaryIndexUpdate) error {
	_, err := client.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &t.Name, AttributeDefinitions: t.attributes(),
		GlobalSecondaryIndexUpdates: []types.GlobalSecondaryIndexUpdate{u}})
	if err != nil {
		return fmt.Errorf("update table: %w", err)
	}
	return nil
}

func (t Table) switchStream(ctx context.Context, client *dynamodb.Client, have *types.TableDescription) error {
	var view string
	if s := have.StreamSpecification; s != nil && aws.ToBool(s.StreamEnabled) {
		view = string(s.StreamViewType)
	}
	if view == t.StreamView {
		return nil
	}
	if view != "" {
		off := &types.StreamSpecification{StreamEnabled: aws.Bool(false)}
		if _, err := client.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &t.Name, StreamSpecification: off}); err != nil {
			return fmt.Errorf("switch the stream off: %w", err)
		}
	}
	if t.StreamView == "" {
		return nil
	}
	if _, err := client.UpdateTable(ctx, &dynamodb.UpdateTableInput{TableName: &t.Name, StreamSpecification: t.stream()}); err != nil {
		return fmt.Errorf("switch the stream on: %w", err)
	}
	return nil
}

// setTTL makes the table's expiry what is declared. Asking for what is so
// already is an error to DynamoDB, hence the look first.
func (t Table) setTTL(ctx context.Context, client *dynamodb.Client) error {
	out, err := client.DescribeTimeToLive(ctx, &dynamodb.DescribeTimeToLiveInput{TableName: &t.Name})
	if err != nil {
		return fmt.Errorf("describe its time to live: %w", err)
	}
	var have string
	if d := out.TimeToLiveDescription; d != nil && d.TimeToLiveStatus == types.TimeToLiveStatusEnabled {
		have = aws.ToString(d.AttributeName)
	}
	if have == t.TTLAttribute {
		return nil
	}
	set := func(attribute string, on bool) error {
		_, err := client.UpdateTimeToLive(ctx, &dynamodb.UpdateTimeToLiveInput{TableName: &t.Name,
			TimeToLiveSpecification: &types.TimeToLiveSpecification{AttributeName: &attribute, Enabled: &on}})
		if err != nil {
			return fmt.Errorf("set its time to live on %s to %t: %w", attribute, on, err)
		}
		return nil
	}
	if have != "" {
		if err := set(have, false); err != nil {
			return err
		}
	}
	if t.TTLAttribute == "" {
		return nil
	}
	return set(t.TTLAttribute, true)
}
