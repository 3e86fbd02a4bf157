package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/scripts/bench/catalogdb"
	"github.com/stowage-dev/stowage/scripts/bench/subject"
	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
)

const (
	contentBucket    = "content"
	deadLetterBucket = "letters"
)

// engines are those of S3 and DynamoDB, with the catalog and a workspace for each subject.
type engines struct {
	catalog *catalogdb.DB
	s3      *s3.Engine
	session identity.Credentials
	objects *awss3.Client
}

func startEngines(ctx context.Context, dir string, workspaces ...string) (_ *engines, err error) {
	e := &engines{}
	defer func() {
		if err != nil {
			err = errors.Join(err, e.close())
		}
	}()
	if e.catalog, err = catalogdb.Start(ctx, dir, workspaces...); err != nil {
		return nil, err
	}
	master := make([]byte, identity.MasterKeySize)
	if _, err := rand.Read(master); err != nil {
		return nil, fmt.Errorf("make a key: %w", err)
	}
	if e.s3, err = s3.Start(ctx, s3.Config{
		Dir: filepath.Join(dir, "s3"), Region: subject.Region, MasterKey: master,
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
	e.objects = awss3.New(awss3.Options{Region: subject.Region, BaseEndpoint: aws.String(e.s3.Endpoint()), UsePathStyle: true, Credentials: keys})
	return e, nil
}

func (e *engines) close() error {
	var errs []error
	if e.s3 != nil {
		errs = append(errs, e.s3.Close())
	}
	if e.catalog != nil {
		errs = append(errs, e.catalog.Close())
	}
	return errors.Join(errs...)
}

// environment is what the templates set, with the engines at the given URLs.
func (e *engines) environment(dynamodbURL, s3URL string) []string {
	return []string{
		"AWS_ACCESS_KEY_ID=" + e.session.AccessKeyID,
		"AWS_SECRET_ACCESS_KEY=" + e.session.SecretAccessKey,
		"AWS_SESSION_TOKEN=" + e.session.SessionToken,
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=1024",
		"AWS_ENDPOINT_URL_DYNAMODB=" + dynamodbURL,
		"AWS_ENDPOINT_URL_S3=" + s3URL,
		"NODE_ENV=production",
		"STOWAGE_STAGE=prod",
		"STOWAGE_TABLE=" + catalogdb.Table,
		"STOWAGE_IDEMPOTENCY_TABLE=" + catalogdb.IdempotencyTable,
		"STOWAGE_BUCKET=" + contentBucket,
		"STOWAGE_DEAD_LETTER_BUCKET=" + deadLetterBucket,
	}
}
