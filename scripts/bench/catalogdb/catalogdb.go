// Package catalogdb runs the DynamoDB engine with the catalog's tables, and with workspaces
// that have room for all that a benchmark does.
package catalogdb

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Names of the tables, as a function is told them.
const (
	Table            = "catalog"
	IdempotencyTable = "idempotency"
)

// Writer is who owns the workspaces.
const Writer = "writer"

// DB is a running engine. It is safe for concurrent use.
type DB struct {
	*dynamodb.Engine
	Store *ddbstore.Store
}

// Start runs the engine with its files in dir, or takes the one that STOWAGE_DYNAMODB_ENDPOINT
// names, and creates the tables and workspaces.
func Start(ctx context.Context, dir string, workspaces ...string) (*DB, error) {
	engine, err := dynamodb.Start(ctx, dynamodb.Config{
		Endpoint: os.Getenv(ddbtest.EndpointVariable), Program: dynamodb.Program("node_modules"),
		DBPath: filepath.Join(dir, "dynamodb.sqlite"),
	})
	if err != nil {
		return nil, fmt.Errorf("start the engine of DynamoDB: %w", err)
	}
	client := sdk.New(sdk.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(engine.Endpoint()), Credentials: credentials.NewStaticCredentialsProvider("bench", "bench", ""),
	})
	db := &DB{Engine: engine, Store: ddbstore.New(client, ddbstore.Config{Table: Table})}
	if err := db.furnish(ctx, client, workspaces); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return db, nil
}

func (db *DB) furnish(ctx context.Context, client *sdk.Client, workspaces []string) error {
	for name, declared := range map[string]catalog.Table{Table: catalog.MainTable(), IdempotencyTable: catalog.IdempotencyTable()} {
		if _, err := client.CreateTable(ctx, ddbtest.Input(name, declared)); err != nil {
			return fmt.Errorf("create table %s: %w", name, err)
		}
	}
	for _, id := range workspaces {
		owner := workspace.Member{Workspace: id, Sub: Writer, Role: workspace.Owner, CreatedAt: time.Now(), CreatedBy: Writer}
		if err := db.Store.CreateWorkspace(ctx, Workspace(id), owner); err != nil {
			return fmt.Errorf("create workspace %s: %w", id, err)
		}
	}
	return nil
}

// Workspace is one that Start creates.
func Workspace(id string) workspace.Workspace {
	return workspace.Workspace{
		ID: id, Name: id, CreatedAt: time.Now(), UpdatedAt: time.Now(), CreatedBy: Writer, Types: workspace.DefaultTypePolicy(), Shards: workspace.DefaultShards,
		Quota: workspace.Quota{
			Bytes: 1 << 50, Objects: 1 << 40, OpenUploads: 1 << 40, MaxObjectBytes: 1 << 40,
			Writes: workspace.Rate{PerSecond: 1_000_000, Burst: 1_000_000},
		},
	}
}
