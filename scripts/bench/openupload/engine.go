package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/workspace"
)

const (
	catalogTable = "catalog"
	region       = "eu-central-1"
	writer       = "writer"
)

// startEngine runs the DynamoDB engine with the catalog's table and a workspace for each of
// the two, with room for all that they open.
func startEngine(ctx context.Context, dir string) (*dynamodb.Engine, error) {
	engine, err := dynamodb.Start(ctx, dynamodb.Config{
		Endpoint: os.Getenv("STOWAGE_DYNAMODB_ENDPOINT"), Program: dynamodb.Program("node_modules"),
		DBPath: filepath.Join(dir, "dynamodb.sqlite"), Tables: []dynamodb.Table{declared(catalogTable, catalog.MainTable())},
	})
	if err != nil {
		return nil, fmt.Errorf("start the engine: %w", err)
	}
	if err := furnish(ctx, engine.Endpoint()); err != nil {
		return nil, errors.Join(err, engine.Close())
	}
	return engine, nil
}

func furnish(ctx context.Context, endpoint string) error {
	store := ddbstore.New(sdk.New(sdk.Options{
		Region: region, BaseEndpoint: &endpoint, Credentials: credentials.NewStaticCredentialsProvider("bench", "bench", ""),
	}), ddbstore.Config{Table: catalogTable})
	for _, id := range []string{"bench-go", "bench-ts"} {
		w := workspace.Workspace{
			ID: id, Name: id, CreatedAt: time.Now(), UpdatedAt: time.Now(), CreatedBy: writer, Types: workspace.DefaultTypePolicy(), Shards: workspace.DefaultShards,
			Quota: workspace.Quota{
				Bytes: 1 << 50, Objects: 1 << 40, OpenUploads: 1 << 40, MaxObjectBytes: 1 << 40,
				Writes: workspace.Rate{PerSecond: 1_000_000, Burst: 1_000_000},
			},
		}
		owner := workspace.Member{Workspace: id, Sub: writer, Role: workspace.Owner, CreatedAt: time.Now(), CreatedBy: writer}
		if err := store.CreateWorkspace(ctx, w, owner); err != nil {
			return fmt.Errorf("create workspace %s: %w", id, err)
		}
	}
	return nil
}

// declared is a table of the catalog as the engine takes it.
func declared(name string, t catalog.Table) dynamodb.Table {
	attributes := map[string]string{}
	define := func(a catalog.Attribute) string {
		attributes[a.Name] = string(a.Type)
		return a.Name
	}
	table := dynamodb.Table{Name: name, Attributes: attributes, PartitionKey: define(t.PartitionKey), StreamView: string(t.Stream)}
	if t.SortKey != nil {
		table.SortKey = define(*t.SortKey)
	}
	for _, index := range t.Indexes {
		table.Global = append(table.Global, dynamodb.Index{
			Name: index.Name, PartitionKey: define(index.PartitionKey), SortKey: define(index.SortKey), Projection: string(index.Projection),
		})
	}
	return table
}

// environment is what Lambda and the templates set. The session of the signer role is had
// from the subject's own server.
func environment(endpoint, server string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + os.Getenv("HOME"),
		"AWS_REGION=" + region,
		"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
		"AWS_SECRET_ACCESS_KEY=secret",
		"AWS_SESSION_TOKEN=token",
		"AWS_LAMBDA_FUNCTION_NAME=bench",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1769",
		"AWS_LAMBDA_RUNTIME_API=" + server,
		"AWS_ENDPOINT_URL_DYNAMODB=" + endpoint,
		"AWS_ENDPOINT_URL_STS=http://" + server,
		"NODE_ENV=production",
		"STOWAGE_STAGE=prod",
		"STOWAGE_TABLE=" + catalogTable,
		"STOWAGE_IDEMPOTENCY_TABLE=idempotency",
		"STOWAGE_BUCKET=content",
		"STOWAGE_SIGNER_ROLE_ARN=arn:aws:iam::123456789012:role/signer",
		"STOWAGE_CURSOR_SECRET_ARN=arn:aws:secretsmanager:eu-central-1:123456789012:secret:cursor",
		"STOWAGE_COMPLETION_QUEUE_URL=http://" + server + "/queue",
	}
}
