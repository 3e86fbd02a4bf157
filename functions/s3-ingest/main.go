// Command s3-ingest is the Lambda function that verifies and publishes what clients
// have uploaded: see package ingest.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/functions/internal/ingest"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/deadletter"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/s3store"
)

func main() { boot.Start(build) }

func build(rt *boot.Runtime) (lambda.Handler, error) {
	cfg, err := ingest.ParseConfig(rt.Settings)
	if err != nil {
		return nil, err
	}
	objects := s3.NewFromConfig(rt.AWS)
	store := ddbstore.New(dynamodb.NewFromConfig(rt.AWS), ddbstore.Config{Table: cfg.Table, Now: rt.Now})
	quarantine := s3store.NewQuarantine(objects, cfg.Bucket)
	h := ingest.New(ingest.Parts{
		Inspector: quarantine, Quarantine: quarantine,
		Sealer:  s3store.NewSealer(objects, cfg.Bucket),
		Catalog: store, Settler: store,
		Scanner: newScanner(rt, cfg), VerdictQueueARN: cfg.VerdictQueueARN,
		DeadLetters: deadletter.NewBox(objects, cfg.DeadLetterBucket, rt.Function, rt.Now),
		Observer:    observe.NewRecords(rt.Metrics, rt.Tracer, rt.Log, rt.Now),
		Metrics:     rt.Metrics,
		Log:         rt.Log,
	})
	return boot.JSON(h.Handle), nil
}
