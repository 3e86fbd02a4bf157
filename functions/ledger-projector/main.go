// Command ledger-projector is the Lambda function that keeps the storage ledger and the
// search index: see package ledgerprojector.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/functions/internal/ledgerprojector"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/deadletter"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/s3store"
)

func main() { boot.Start(build) }

func build(rt *boot.Runtime) (lambda.Handler, error) {
	cfg, err := ledgerprojector.ParseConfig(rt.Settings)
	if err != nil {
		return nil, err
	}
	db, err := pgstore.Open(pgstore.Config{Settings: cfg.Database, Password: pgstore.IAM(rt.AWS), Tracer: rt.Tracer,
		Patience: pgstore.WakePatience, ConnectTimeout: pgstore.WakeConnectTimeout})
	if err != nil {
		return nil, err
	}
	objects := s3.NewFromConfig(rt.AWS)
	h := ledgerprojector.New(ledgerprojector.Parts{
		Books: db, Texts: s3store.NewTexts(objects, cfg.Bucket),
		DeadLetters: deadletter.NewBox(objects, cfg.DeadLetterBucket, rt.Function, rt.Now),
		Observer:    observe.NewRecords(rt.Metrics, rt.Tracer, rt.Log, rt.Now),
		Metrics:     rt.Metrics, Log: rt.Log, Now: rt.Now,
	})
	return boot.JSON(h.Handle), nil
}
