package sources

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/queue"
)

// Conditions under which a batch is given up.
const (
	conditionRetries = "RetryAttemptsExhausted"
	conditionAge     = "RecordAgeExceeded"
)

const (
	stamp             = "2006-01-02T15:04:05.000Z"
	objectStamp       = "2006-01-02T15.04.05" // in the key of an object
	destinationTries  = 5
	destinationPause  = 200 * time.Millisecond
	destinationLonger = 5 * time.Second
)

// failedBatch is what an on-failure destination learns. A bucket gets the payload
// too, as a string.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/kinesis-on-failure-destination.html
type failedBatch struct {
	RequestContext  failedRequest   `json:"requestContext"`
	ResponseContext *failedResponse `json:"responseContext,omitempty"`
	Version         string          `json:"version"`
	Timestamp       string          `json:"timestamp"`
	Info            batchInfo       `json:"DDBStreamBatchInfo"`
	Payload         string          `json:"payload,omitempty"`
}

type failedRequest struct {
	RequestID   string `json:"requestId"`
	FunctionARN string `json:"functionArn"`
	Condition   string `json:"condition"`
	Invokes     int    `json:"approximateInvokeCount"`
}

type failedResponse struct {
	StatusCode    int    `json:"statusCode"`
	Version       string `json:"executedVersion"`
	FunctionError string `json:"functionError,omitempty"`
}

type batchInfo struct {
	Shard     string `json:"shardId"`
	Start     string `json:"startSequenceNumber"`
	End       string `json:"endSequenceNumber"`
	FirstTime string `json:"approximateArrivalOfFirstRecord"`
	LastTime  string `json:"approximateArrivalOfLastRecord"`
	Size      int    `json:"batchSize"`
	StreamARN string `json:"streamArn"`
}

// giveUp hands records to the on-failure destination and settles them.
func (l *lane) giveUp(ctx context.Context, records []*streamRecord, condition string, outcome Outcome, invokes int) {
	m := &l.shard.mapping
	l.shard.cfg.Logger.Error("gave up records of a stream", "mapping", m.ID, "condition", condition, "records", len(records),
		"from", records[0].sequence, "to", records[len(records)-1].sequence, "destination", m.OnFailureARN)
	if m.OnFailureARN != "" {
		if err := l.sendFailed(ctx, records, l.describe(records, condition, outcome, invokes)); err != nil {
			if ctx.Err() != nil {
				return // they come again
			}
			l.shard.cfg.Logger.Error("on-failure destination did not take the batch, which is lost", "mapping", m.ID, "destination", m.OnFailureARN, "error", err)
		}
	}
	l.shard.settle(records)
}

func (l *lane) describe(records []*streamRecord, condition string, outcome Outcome, invokes int) failedBatch {
	first, last := records[0], records[len(records)-1]
	b := failedBatch{
		RequestContext: failedRequest{outcome.RequestID, l.shard.mapping.FunctionARN, condition, invokes},
		Version:        "1.0",
		Timestamp:      l.shard.cfg.Now().UTC().Format(stamp),
		Info: batchInfo{
			l.shard.shard, first.sequence, last.sequence, first.created.Format(time.RFC3339), last.created.Format(time.RFC3339),
			len(records), l.shard.mapping.StreamARN,
		},
	}
	if outcome.RequestID != "" {
		b.ResponseContext = &failedResponse{200, "$LATEST", outcome.FunctionError}
	}
	return b
}

// sendFailed tries for a while: what is not delivered is lost.
func (l *lane) sendFailed(ctx context.Context, records []*streamRecord, b failedBatch) error {
	send, err := l.destination(records, b)
	for n := 1; err == nil; n++ {
		if err = send(ctx); err == nil || n == destinationTries {
			return err
		}
		if !sleep(ctx, backoff(n, destinationPause, destinationLonger)) {
			return err
		}
		err = nil
	}
	return err
}

func (l *lane) destination(records []*streamRecord, b failedBatch) (func(context.Context) error, error) {
	cfg, arn := l.shard.cfg, l.shard.mapping.OnFailureARN
	switch service := arnService(arn); {
	case service == "sqs" && cfg.Sender != nil:
		body := string(mustEncode(b))
		return func(ctx context.Context) error {
			err := cfg.Permit(ctx, l.shard.mapping.FunctionARN, "sqs:SendMessage", arn)
			if err == nil {
				_, err = cfg.Sender.Send(ctx, arn, queue.Message{Body: body})
			}
			return err
		}, nil
	case service == "s3" && cfg.Objects != nil:
		var event struct {
			Records []json.RawMessage `json:"Records"`
		}
		for _, r := range records {
			event.Records = append(event.Records, r.raw)
		}
		b.Payload = string(mustEncode(event))
		now := cfg.Now().UTC()
		key := fmt.Sprintf("aws/lambda/%s/%s/%s/%s-%s", l.shard.mapping.ID, l.shard.shard, now.Format("2006/01/02"), now.Format(objectStamp), cfg.NewID())
		body := mustEncode(b)
		return func(ctx context.Context) error {
			return cfg.Objects.PutObject(ctx, l.shard.mapping.FunctionARN, arnResource(arn), key, body)
		}, nil
	}
	return nil, errors.New("it is neither a queue nor a bucket that the runtime serves")
}

// arnService is the service in an ARN: arn:partition:service:region:account:resource.
func arnService(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[2]
	}
	return ""
}

func arnResource(arn string) string {
	if parts := strings.SplitN(arn, ":", 6); len(parts) == 6 {
		return parts[5]
	}
	return arn
}
