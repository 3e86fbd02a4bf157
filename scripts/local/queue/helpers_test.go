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

func open(t testing.TB, cfg queue.Config) *queue.Broker {
	t.Helper()
	b, err := queue.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func openWith(t testing.TB, queues ...queue.Queue) *queue.Broker {
	t.Helper()
	return open(t, queue.Config{Queues: queues})
}

func send(t testing.TB, b *queue.Broker, name string, m queue.Message) queue.Sent {
	t.Helper()
	sent, err := b.Send(context.Background(), prefix+name, m)
	if err != nil {
		t.Fatal(err)
	}
	return sent
}

// receive takes what is there now, without waiting.
func receive(t testing.TB, b *queue.Broker, name string, n int) []queue.Received {
	t.Helper()
	got, err := b.Receive(context.Background(), prefix+name, queue.ReceiveInput{Max: n, Wait: new(time.Duration)})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func remove(t testing.TB, b *queue.Broker, name string, m queue.Received) {
	t.Helper()
	if err := b.Delete(context.Background(), prefix+name, m.ReceiptHandle); err != nil {
		t.Fatal(err)
	}
}

func bodies(messages []queue.Received) []string {
	got := []string{}
	for _, m := range messages {
		got = append(got, m.Body)
	}
	return got
}

func wantBodies(t testing.TB, got []queue.Received, want ...string) {
	t.Helper()
	if !slices.Equal(bodies(got), append([]string{}, want...)) {
		t.Fatalf("received %q, want %q", bodies(got), want)
	}
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	var known *queue.Error
	if !errors.As(err, &known) || known.Code != code {
		t.Errorf("error %v, want %s", err, code)
	}
}

func wantStats(t testing.TB, b *queue.Broker, name string, visible, inFlight, delayed int) {
	t.Helper()
	s, err := b.Stats(prefix + name)
	if err != nil {
		t.Fatal(err)
	}
	if s.Visible != visible || s.InFlight != inFlight || s.Delayed != delayed {
		t.Errorf("%s has %d visible, %d in flight, %d delayed; want %d, %d, %d", name, s.Visible, s.InFlight, s.Delayed, visible, inFlight, delayed)
	}
}

func ptr[T any](v T) *T { return &v }

func text(body string) queue.Message { return queue.Message{Body: body} }
