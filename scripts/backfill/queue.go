package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
	"github.com/aws/aws-sdk-go-v2/service/sqs/types"
	"golang.org/x/time/rate"

	"github.com/stowage-dev/stowage/shared/limits"
)

const (
	// batchBytes is the most that the messages of one call may have together; since 2025 SQS
	// takes four times as much.
	batchBytes = 256 << 10
	// attempts is how often the messages of a call are sent that SQS did not take.
	attempts = 8
	// firstPause is how long it is waited before they are sent again; twice as long each
	// time after that.
	firstPause = 100 * time.Millisecond
)

// paced sends messages, no faster than it may.
type paced struct {
	client *sqs.Client
	url    string
	pace   *rate.Limiter
}

func newQueue(cfg aws.Config, url string, perSecond int) *paced {
	return &paced{sqs.NewFromConfig(cfg), url, rate.NewLimiter(rate.Limit(perSecond), limits.SQSBatchMessages)}
}

// send sends messages in batches. After an error any of them may have been sent.
func (q *paced) send(ctx context.Context, bodies []string) error {
	for len(bodies) > 0 {
		n := fitting(bodies)
		if err := q.pace.WaitN(ctx, n); err != nil {
			return fmt.Errorf("wait to send: %w", err)
		}
		if err := q.batch(ctx, bodies[:n]); err != nil {
			return err
		}
		bodies = bodies[n:]
	}
	return nil
}

// fitting is how many of the first messages go into one call: one at least.
func fitting(bodies []string) int {
	size := 0
	for i, body := range bodies[:min(len(bodies), limits.SQSBatchMessages)] {
		if size += len(body); size > batchBytes && i > 0 {
			return i
		}
	}
	return min(len(bodies), limits.SQSBatchMessages)
}

// batch sends the messages of one call until SQS has taken all of them.
func (q *paced) batch(ctx context.Context, bodies []string) error {
	entries := make([]types.SendMessageBatchRequestEntry, len(bodies))
	for i := range bodies {
		entries[i] = types.SendMessageBatchRequestEntry{Id: aws.String(strconv.Itoa(i)), MessageBody: &bodies[i]}
	}
	pause := firstPause
	for n := 1; ; n++ {
		out, err := q.client.SendMessageBatch(ctx, &sqs.SendMessageBatchInput{QueueUrl: &q.url, Entries: entries})
		if err != nil {
			return fmt.Errorf("send %d events to %s: %w", len(entries), q.url, err)
		}
		if entries, err = refused(entries, out.Failed); err != nil || len(entries) == 0 {
			return err
		}
		if n == attempts {
			return fmt.Errorf("send events to %s: after %d attempts it has not taken %d of them: %s", q.url, attempts, len(entries), aws.ToString(out.Failed[0].Message))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("send events: %w", ctx.Err())
		case <-time.After(pause):
			pause *= 2
		}
	}
}

// refused are the entries that are to be sent again. One that will never be taken is an
// error.
func refused(entries []types.SendMessageBatchRequestEntry, failed []types.BatchResultErrorEntry) ([]types.SendMessageBatchRequestEntry, error) {
	var again []types.SendMessageBatchRequestEntry
	var errs []error
	for _, f := range failed {
		if f.SenderFault {
			errs = append(errs, fmt.Errorf("SQS refuses an event: %s: %s", aws.ToString(f.Code), aws.ToString(f.Message)))
			continue
		}
		for _, e := range entries {
			if aws.ToString(e.Id) == aws.ToString(f.Id) {
				again = append(again, e)
			}
		}
	}
	return again, errors.Join(errs...)
}
