package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/dynamodb"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/workspace"
)

const (
	catalogTable     = "catalog"
	idempotencyTable = "idempotency"
	contentBucket    = "content"
	deadLetterBucket = "letters"
	region           = "eu-central-1"
	writer           = "writer"
)

// engines are those of S3 and DynamoDB, with the catalog and a workspace for each subject.
type engines struct {
	dynamodb *dynamodb.Engine
	s3       *s3.Engine
	session  identity.Credentials
	store    *ddbstore.Store
	objects  *awss3.Client
}

func startEngines(ctx context.Context, dir string, workspaces ...string) (_ *engines, err error) {
	e := &engines{}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.dynamodb, err = dynamodb.Start(ctx, dynamodb.Config{
		Endpoint: os.Getenv("STOWAGE_DYNAMODB_ENDPOINT"), Program: dynamodb.Program("node_modules"),
		DBPath: filepath.Join(dir, "dynamodb.sqlite"),
		Tables: []dynamodb.Table{declared(catalogTable, catalog.MainTable()), declared(idempotencyTable, catalog.IdempotencyTable())},
	}); err != nil {
		return nil, fmt.Errorf("start the engine of DynamoDB: %w", err)
	}
	master := make([]byte, identity.MasterKeySize)
	if _, err := rand.Read(master); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if e.s3, err = s3.Start(ctx, s3.Config{
		Dir: filepath.Join(dir, "s3"), Region: region, MasterKey: master,
		Buckets: []s3.Bucket{{Name: contentBucket, Versioned: true}, {Name: deadLetterBucket}},
		OnEvent: func(context.Context, s3.Event) error { return nil },
	}); err != nil {
		return nil, fmt.Errorf("start the engine of S3: %w", err)
	}
	issuer, err := identity.New(identity.Config{MasterKey: master})
	if err != nil {
		return nil, fmt.Errorf("make a session: %w", err)
	}
	if e.session, _, err = issuer.IssueSession(identity.Session{RoleARN: "arn:aws:iam::000000000000:role/Ingest", Name: "bench", Duration: time.Hour}); err != nil {
		return nil, fmt.Errorf("make a session: %w", err)
	}
	keys := credentials.NewStaticCredentialsProvider(e.session.AccessKeyID, e.session.SecretAccessKey, e.session.SessionToken)
	e.objects = awss3.New(awss3.Options{Region: region, BaseEndpoint: aws.String(e.s3.Endpoint()), UsePathStyle: true, Credentials: keys})
	e.store = ddbstore.New(sdk.New(sdk.Options{Region: region, BaseEndpoint: aws.String(e.dynamodb.Endpoint()), Credentials: keys}), ddbstore.Config{Table: catalogTable})
	for _, id := range workspaces {
		w := newWorkspace(id)
		owner := workspace.Member{Workspace: id, Sub: writer, Role: workspace.Owner, CreatedAt: time.Now(), CreatedBy: writer}
		if err := e.store.CreateWorkspace(ctx, w, owner); err != nil {
			return nil, fmt.Errorf("create workspace %s: %w", id, err)
		}
	}
	return e, nil
}

func newWorkspace(id string) workspace.Workspace {
	return workspace.Workspace{
		ID: id, Name: id, CreatedAt: time.Now(), UpdatedAt: time.Now(), CreatedBy: writer, Types: workspace.DefaultTypePolicy(), Shards: workspace.DefaultShards,
		Quota: workspace.Quota{
			Bytes: 1 << 50, Objects: 1 << 40, OpenUploads: 1 << 40, MaxObjectBytes: 1 << 40,
			Writes: workspace.Rate{PerSecond: 1_000_000, Burst: 1_000_000},
		},
	}
}

func (e *engines) close() error {
	var errs []error
	if e.s3 != nil {
		errs = append(errs, e.s3.Close())
	}
	if e.dynamodb != nil {
		errs = append(errs, e.dynamodb.Close())
	}
	return errors.Join(errs...)
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

// environment is what Lambda and the templates set.
func (e *engines) environment(server, dynamodbURL, s3URL string) []string {
	return []string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + os.Getenv("HOME"),
		"AWS_REGION=" + region,
		"AWS_ACCESS_KEY_ID=" + e.session.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + e.session.SecretAccessKey,
		"AWS_SESSION_TOKEN=" + e.session.SessionToken,
		"AWS_LAMBDA_FUNCTION_NAME=bench",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024",
		"AWS_LAMBDA_RUNTIME_API=" + server,
		"AWS_ENDPOINT_URL_DYNAMODB=" + dynamodbURL,
		"AWS_ENDPOINT_URL_S3=" + s3URL,
		"NODE_ENV=production",
		"STOWAGE_STAGE=prod",
		"STOWAGE_TABLE=" + catalogTable,
		"STOWAGE_IDEMPOTENCY_TABLE=" + idempotencyTable,
		"STOWAGE_BUCKET=" + contentBucket,
		"STOWAGE_DEAD_LETTER_BUCKET=" + deadLetterBucket,
	}
}
