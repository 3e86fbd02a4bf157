package stack_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	ebtypes "github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// traced has an SDK client send a tracing header, as X-Ray's instrumentation does.
func traced(h xray.Header) func(*middleware.Stack) error {
	return func(s *middleware.Stack) error {
		return s.Build.Add(middleware.BuildMiddlewareFunc("trace", func(ctx context.Context, in middleware.BuildInput, next middleware.BuildHandler) (middleware.BuildOutput, middleware.Metadata, error) {
			if r, ok := in.Request.(*smithyhttp.Request); ok {
				r.Header.Set(xray.HeaderName, h.String())
			}
			return next.HandleBuild(ctx, in)
		}), middleware.After)
	}
}

// TestTraceGoesOn: what a call of a trace leads to belongs to the trace, whatever
// carried it to the function.
func TestTraceGoesOn(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	s := start(t, config(a, t.TempDir()))
	dev := s.Dev(nil)
	keys := credentials.NewStaticCredentialsProvider(dev.AccessKeyID, dev.SecretAccessKey, "")
	items := dynamodb.New(dynamodb.Options{BaseEndpoint: &dev.S3Endpoint, Region: dev.Region, Credentials: keys})
	item := func(pk string) map[string]types.AttributeValue {
		return map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: pk}}
	}
	var queueURL string
	for _, q := range s.Model.Queues {
		if q.RedriveTargetARN != "" {
			queueURL = q.URL
		}
	}
	for name, call := range map[string]func(ctx context.Context, trace func(*middleware.Stack) error) error{
		"queue": func(ctx context.Context, trace func(*middleware.Stack) error) error {
			_, err := sqs.New(sqs.Options{BaseEndpoint: &dev.S3Endpoint, Region: dev.Region, Credentials: keys}).
				SendMessage(ctx, &sqs.SendMessageInput{QueueUrl: &queueURL, MessageBody: aws.String("hello")}, sqs.WithAPIOptions(trace))
			return err
		},
		"bus": func(ctx context.Context, trace func(*middleware.Stack) error) error {
			_, err := eventbridge.New(eventbridge.Options{BaseEndpoint: &dev.S3Endpoint, Region: dev.Region, Credentials: keys}).
				PutEvents(ctx, &eventbridge.PutEventsInput{Entries: []ebtypes.PutEventsRequestEntry{{EventBusName: aws.String("events"),
					Source: aws.String("test"), DetailType: aws.String("T"), Detail: aws.String("{}")}}}, eventbridge.WithAPIOptions(trace))
			return err
		},
		"object": func(ctx context.Context, trace func(*middleware.Stack) error) error {
			_, err := awss3.New(awss3.Options{BaseEndpoint: &dev.S3Endpoint, Region: dev.Region, Credentials: keys, UsePathStyle: true}).
				PutObject(ctx, &awss3.PutObjectInput{Bucket: &dev.Bucket, Key: aws.String("k")}, awss3.WithAPIOptions(trace))
			return err
		},
		"stream of an item": func(ctx context.Context, trace func(*middleware.Stack) error) error {
			_, err := items.PutItem(ctx, &dynamodb.PutItemInput{TableName: &dev.Table, Item: item("one")}, dynamodb.WithAPIOptions(trace))
			return err
		},
		"stream of a transaction": func(ctx context.Context, trace func(*middleware.Stack) error) error {
			_, err := items.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{
				{Put: &types.Put{TableName: &dev.Table, Item: item("two")}}}}, dynamodb.WithAPIOptions(trace))
			return err
		},
		"stream of a batch": func(ctx context.Context, trace func(*middleware.Stack) error) error {
			_, err := items.BatchWriteItem(ctx, &dynamodb.BatchWriteItemInput{RequestItems: map[string][]types.WriteRequest{
				dev.Table: {{PutRequest: &types.PutRequest{Item: item("three")}}}}}, dynamodb.WithAPIOptions(trace))
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := xray.NewTrace(time.Now()).Under(xray.NewSegmentID())
			if err := call(t.Context(), traced(h)); err != nil {
				t.Fatal(err)
			}
			awaitTrace(t, s, h.Root)
		})
	}
}

// awaitTrace waits until the console shows the recorder in a trace, with what it
// sent to the daemon.
func awaitTrace(t *testing.T, s *stack.Stack, root string) {
	t.Helper()
	deadline := time.Now().Add(15 * time.Second)
	last := ""
	for time.Now().Before(deadline) {
		resp, err := http.Get(s.ConsoleURL() + "/data/traces/" + root)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if err != nil {
			t.Fatal(err)
		}
		var w xray.Waterfall
		if err := json.Unmarshal(body, &w); err != nil {
			t.Fatal(err)
		}
		names := map[string]bool{}
		for _, r := range w.Rows {
			names[r.Name] = true
		}
		if names["Recorder"] && names["note the event"] {
			return
		}
		last = fmt.Sprint(resp.StatusCode, " ", string(body))
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("the function is not in the trace: %s", last)
}
