// Command ledger-api is the function behind the relational stack's routes: see package
// ledgerapi.
package main

import (
	"crypto/rand"
	_ "time/tzdata" // statements are of any time zone, and Lambda's system may have none

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stowage-dev/stowage/functions/internal/ledgerapi"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/pgstore"
)

func main() { boot.Start(build) }

func build(rt *boot.Runtime) (lambda.Handler, error) {
	cfg, err := ledgerapi.ParseConfig(rt.Settings)
	if err != nil {
		return nil, err
	}
	db, err := pgstore.Open(pgstore.Config{Settings: cfg.Database, Password: pgstore.IAM(rt.AWS), Tracer: rt.Tracer})
	if err != nil {
		return nil, err
	}
	handler := ledgerapi.New(ledgerapi.Deps{
		Ledger:  db,
		Catalog: ddbstore.New(dynamodb.NewFromConfig(rt.AWS), ddbstore.Config{Table: cfg.Table, Now: rt.Now}),
		Cursors: cursor.NewCodec(pgstore.NewCursorKeys(db, rt.Now), rand.Reader),
		NewID:   object.NewIDs(rt.Now, rand.Reader), Now: rt.Now, Log: rt.Log,
	})
	return boot.JSON(httpapi.NewGateway(handler).Handle), nil
}
