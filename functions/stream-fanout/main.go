// Command stream-fanout is the Lambda function that publishes what happens to
// objects: see package fanout.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/functions/internal/fanout"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/deadletter"
	"github.com/stowage-dev/stowage/shared/ebbus"
	"github.com/stowage-dev/stowage/shared/observe"
)

func main() { boot.Start(build) }

func build(rt *boot.Runtime) (lambda.Handler, error) {
	cfg, err := fanout.ParseConfig(rt.Settings)
	if err != nil {
		return nil, err
	}
	h := fanout.New(cfg, fanout.Parts{
		Bus:         ebbus.New(eventbridge.NewFromConfig(rt.AWS), cfg.Bus),
		DeadLetters: deadletter.NewBox(s3.NewFromConfig(rt.AWS), cfg.DeadLetterBucket, rt.Function, rt.Now),
		Observer:    observe.NewRecords(rt.Metrics, rt.Tracer, rt.Log, rt.Now),
		Metrics:     rt.Metrics,
		Log:         rt.Log,
	})
	return boot.Raw(h.Handle), nil
}
