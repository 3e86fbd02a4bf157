package queue_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/queue"
)

const prefix = "arn:aws:sqs:us-east-1:000000000000:"

// named makes a queue's declaration.
func named(name string) queue.Queue {
	return queue.Queue{Name: name, ARN: prefix + name, URL: "http://127.0.0.1:4566/000000000000/" + name, FIFO: filepath.Ext(name) == ".fifo"}
}

func open(tb testing.TB, cfg queue.Config) *queue.Broker {
	tb.Helper()
	b, err := queue.Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Error(err)
		}
	})
	return b
}

func openWith(tb testing.TB, queues ...queue.Queue) *queue.Broker {
	tb.Helper()
	return open(tb, queue.Config{Queues: queues})
}

func send(tb testing.TB, b *queue.Broker, name string, m queue.Message) queue.Sent {
	tb.Helper()
	sent, err := b.Send(context.Background(), prefix+name, m)
	if err != nil {
		tb.Fatal(err)
	}
	return sent
}

// receive takes what is there now, without waiting.
func receive(tb testing.TB, b *queue.Broker, name string, n int) []queue.Received {
	tb.Helper()
	got, err := b.Receive(context.Background(), prefix+name, queue.ReceiveInput{Max: n, Wait: new(time.Duration)})
	if err != nil {
		tb.Fatal(err)
	}
	return got
}

func remove(tb testing.TB, b *queue.Broker, name string, m queue.Received) {
	tb.Helper()
	if err := b.Delete(context.Background(), prefix+name, m.ReceiptHandle); err != nil {
		tb.Fatal(err)
	}
}

func bodies(messages []queue.Received) []string {
	got := []string{}
	for _, m := range messages {
		got = append(got, m.Body)
	}
	return got
}

func wantBodies(tb testing.TB, got []queue.Received, want ...string) {
	tb.Helper()
	if !slices.Equal(bodies(got), append([]string{}, want...)) {
		tb.Fatalf("received %q, want %q", bodies(got), want)
	}
}

func wantCode(tb testing.TB, err error, code string) {
	tb.Helper()
	var known *queue.Error
	if !errors.As(err, &known) || known.Code != code {
		tb.Errorf("error %v, want %s", err, code)
	}
}

func wantStats(tb testing.TB, b *queue.Broker, name string, visible, inFlight, delayed int) {
	tb.Helper()
	s, err := b.Stats(prefix + name)
	if err != nil {
		tb.Fatal(err)
	}
	if s.Visible != visible || s.InFlight != inFlight || s.Delayed != delayed {
		tb.Errorf("%s has %d visible, %d in flight, %d delayed; want %d, %d, %d", name, s.Visible, s.InFlight, s.Delayed, visible, inFlight, delayed)
	}
}

func ptr[T any](v T) *T { return &v }

func text(body string) queue.Message { return queue.Message{Body: body} }
