// Command image-derivatives is the Lambda function that makes small copies of pictures:
// see package derivatives.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/functions/internal/derivatives"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/deadletter"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/s3store"
)

func main() { boot.Start(build) }

func build(rt *boot.Runtime) (lambda.Handler, error) {
	cfg, err := derivatives.ParseConfig(rt.Settings)
	if err != nil {
		return nil, err
	}
	objects := s3.NewFromConfig(rt.AWS)
	h := derivatives.New(derivatives.Parts{
		Catalog:     ddbstore.New(dynamodb.NewFromConfig(rt.AWS), ddbstore.Config{Table: cfg.Table, Now: rt.Now}),
		Storage:     s3store.NewPictures(objects, cfg.Bucket),
		DeadLetters: deadletter.NewBox(objects, cfg.DeadLetterBucket, rt.Function, rt.Now),
		Observer:    observe.NewRecords(rt.Metrics, rt.Tracer, rt.Log, rt.Now),
		Metrics:     rt.Metrics,
		Log:         rt.Log,
		Now:         rt.Now,
	})
	return boot.JSON(h.Handle), nil
}
