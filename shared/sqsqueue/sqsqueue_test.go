package sqsqueue_test

import (
	"fmt"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/sqsqueue"
)

const url = "http://127.0.0.1:4566/000000000000/work"

// bench is a broker whose clock is moved by hand.
type bench struct {
	*sqsqueue.Queue
	client *sqs.Client
	server *httptest.Server
	ahead  atomic.Int64 // seconds
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{}
	began := time.Now()
	broker, err := queue.Open(queue.Config{
		Queues: []queue.Queue{{Name: "work", ARN: "arn:aws:sqs:us-east-1:000000000000:work", URL: url}},
		Now:    func() time.Time { return began.Add(time.Duration(b.ahead.Load()) * time.Second) },
	})
	if err != nil {
		t.Fatal(err)
	}
	b.server = httptest.NewServer(broker)
	t.Cleanup(b.server.Close)
	cfg := aws.Config{
		Region: "us-east-1", BaseEndpoint: &b.server.URL, RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}
	b.client, b.Queue = sqs.NewFromConfig(cfg), sqsqueue.New(cfg, url)
	return b
}

// received is what can be received now.
func (b *bench) received(t *testing.T) []string {
	t.Helper()
	out, err := b.client.ReceiveMessage(t.Context(), &sqs.ReceiveMessageInput{QueueUrl: aws.String(url), MaxNumberOfMessages: 10})
	if err != nil {
		t.Fatal(err)
	}
	var bodies []string
	for _, m := range out.Messages {
		bodies = append(bodies, *m.Body)
	}
	return bodies
}

func TestSendHoldsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, delay := range []time.Duration{0, 1400 * time.Millisecond, 15 * time.Minute} {
		if err := b.Send(t.Context(), []byte(delay.String()), delay); err != nil {
			t.Fatal(err)
		}
	}
	for _, tc := range []struct {
		at   int64
		want string
	}{{0, "[0s]"}, {1, "[]"}, {2, "[1.4s]"}, {899, "[0s 1.4s]"}, {900, "[15m0s]"}} {
		b.ahead.Store(tc.at)
		if got := fmt.Sprint(b.received(t)); got != tc.want {
			t.Errorf("after %d s: %s, want %s", tc.at, got, tc.want)
		}
	}
}

func TestSendFails(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	if err := b.Send(t.Context(), []byte("x"), 16*time.Minute); err == nil || !strings.Contains(err.Error(), url) {
		t.Errorf("held back for too long: %v, want an error that names the queue", err)
	}
	b.server.Close()
	if err := b.Send(t.Context(), []byte("x"), 0); !fault.Is(err, fault.Unavailable) {
		t.Errorf("without a queue: %v", err)
	}
}
