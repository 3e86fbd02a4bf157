// Command upload-api is the function behind the HTTP API.
package main

import (
	"crypto/rand"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/secretsmanager"

	"github.com/stowage-dev/stowage/functions/internal/uploadapi"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/idempotency"
	"github.com/stowage-dev/stowage/shared/s3store"
	"github.com/stowage-dev/stowage/shared/smkeyring"
	"github.com/stowage-dev/stowage/shared/sqsqueue"
)

func main() { boot.Start(build) }

func build(rt *boot.Runtime) (lambda.Handler, error) {
	cfg, err := uploadapi.ParseConfig(rt.Settings)
	if err != nil {
		return nil, err
	}
	storage, err := s3store.NewSigner(rt.AWS, s3store.SignerConfig{Bucket: cfg.Bucket, RoleARN: cfg.SignerRoleARN, SessionName: rt.Function, Now: rt.Now})
	if err != nil {
		return nil, err
	}
	db := dynamodb.NewFromConfig(rt.AWS)
	return boot.JSON(httpapi.NewGateway(uploadapi.New(uploadapi.Deps{
		Catalog: ddbstore.New(db, ddbstore.Config{Table: cfg.Table, Now: rt.Now}), Signer: storage, Storage: storage,
		Completions: sqsqueue.New(rt.AWS, cfg.CompletionQueueURL), Idempotency: idempotency.New(db, idempotency.Config{Table: cfg.IdempotencyTable, Now: rt.Now}),
		Cursors: cursor.NewCodec(smkeyring.New(secretsmanager.NewFromConfig(rt.AWS), cfg.CursorSecretARN, rt.Now), rand.Reader),
		NewID:   uploadapi.NewIDs(rt.Now, rand.Reader), Now: rt.Now, Log: rt.Log,
	})).Handle), nil
}
