// Command ledger-check is the Lambda function that proves the storage ledger every night:
// see package ledgercheck.
package main

import (
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stowage-dev/stowage/functions/internal/ledgercheck"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/pgstore"
)

// patience bounds one of the check's transactions, which may read all of the ledger.
const patience = 12 * time.Minute

func main() { boot.Start(build) }

func build(rt *boot.Runtime) (lambda.Handler, error) {
	cfg, err := ledgercheck.ParseConfig(rt.Settings)
	if err != nil {
		return nil, err
	}
	db, err := pgstore.Open(pgstore.Config{Settings: cfg.Database, Password: pgstore.IAM(rt.AWS), Tracer: rt.Tracer, Patience: patience})
	if err != nil {
		return nil, err
	}
	h := ledgercheck.New(ledgercheck.Parts{
		Books:   db,
		Catalog: ddbstore.New(dynamodb.NewFromConfig(rt.AWS), ddbstore.Config{Table: cfg.Table, Now: rt.Now}),
		Metrics: rt.Metrics, Log: rt.Log, Now: rt.Now,
	})
	return boot.JSON(h.Handle), nil
}
