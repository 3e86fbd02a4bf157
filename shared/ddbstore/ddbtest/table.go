package ddbtest

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/catalog"
)

// NewTable creates a table for one test and returns its name. It is deleted when
// the test ends.
func NewTable(tb testing.TB, db *dynamodb.Client, declared catalog.Table) string {
	tb.Helper()
	// The processes of a fuzzer share one engine.
	name := tableName(tb.Name()) + "-" + strconv.Itoa(os.Getpid())
	if _, err := db.CreateTable(tb.Context(), Input(name, declared)); err != nil {
		tb.Fatalf("create table %s: %v", name, err)
	}
	tb.Cleanup(func() {
		ctx, cancel := background()
		defer cancel()
		if err := deleteTable(ctx, db, name); err != nil {
			tb.Error(err)
		}
	})
	return name
}

func deleteTable(ctx context.Context, db *dynamodb.Client, name string) error {
	if _, err := db.DeleteTable(ctx, &dynamodb.DeleteTableInput{TableName: &name}); err != nil {
		return fmt.Errorf("delete table %s: %w", name, err)
	}
	return nil
}

// tableName makes a table's name of a test's.
func tableName(test string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '-', r == '_', r == '.':
			return r
		default:
			return '-'
		}
	}, test)
}

// Input returns the call that creates a declared table.
func Input(name string, declared catalog.Table) *dynamodb.CreateTableInput {
	in := &dynamodb.CreateTableInput{
		TableName:   &name,
		BillingMode: types.BillingModePayPerRequest,
	}
	define := func(a catalog.Attribute) {
		in.AttributeDefinitions = append(in.AttributeDefinitions, types.AttributeDefinition{
			AttributeName: aws.String(a.Name), AttributeType: types.ScalarAttributeType(a.Type),
		})
	}
	define(declared.PartitionKey)
	in.KeySchema = keySchema(declared.PartitionKey, declared.SortKey)
	if declared.SortKey != nil {
		define(*declared.SortKey)
	}
	for _, ix := range declared.Indexes {
		define(ix.PartitionKey)
		define(ix.SortKey)
		in.GlobalSecondaryIndexes = append(in.GlobalSecondaryIndexes, types.GlobalSecondaryIndex{
			IndexName:  aws.String(ix.Name),
			KeySchema:  keySchema(ix.PartitionKey, &ix.SortKey),
			Projection: &types.Projection{ProjectionType: types.ProjectionType(ix.Projection)},
		})
	}
	if declared.Stream != "" {
		in.StreamSpecification = &types.StreamSpecification{
			StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewType(declared.Stream),
		}
	}
	return in
}

func keySchema(partition catalog.Attribute, sort *catalog.Attribute) []types.KeySchemaElement {
	schema := []types.KeySchemaElement{{AttributeName: aws.String(partition.Name), KeyType: types.KeyTypeHash}}
	if sort != nil {
		schema = append(schema, types.KeySchemaElement{AttributeName: aws.String(sort.Name), KeyType: types.KeyTypeRange})
	}
	return schema
}
