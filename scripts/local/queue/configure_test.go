package queue_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/queue"
)

func TestConfigureChangesSettingsAndKeepsMessages(t *testing.T) {
	q := named("jobs")
	b := openWith(t, q, named("dead"))
	send(t, b, "jobs", queue.Message{Body: "one"})
	timeout := time.Duration(0)
	q.VisibilityTimeout, q.RedriveTarget, q.MaxReceiveCount = &timeout, prefix+"dead", 2
	if err := b.Configure([]queue.Queue{q}); err != nil {
		t.Fatal(err)
	}
	wantBodies(t, receive(t, b, "jobs", 1), "one")
	wantBodies(t, receive(t, b, "jobs", 1), "one") // the new visibility time-out is zero
	wantBodies(t, receive(t, b, "jobs", 1))
	wantBodies(t, receive(t, b, "dead", 1), "one")
}

func TestConfigureAddsQueuesThatOutliveARestart(t *testing.T) {
	path := filepath.Join(t.TempDir(), "queues.db")
	cfg := queue.Config{Queues: []queue.Queue{named("jobs")}, Path: path}
	b, err := queue.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	added := named("more")
	added.RedriveTarget, added.MaxReceiveCount = prefix+"dead", 1
	if err := b.Configure([]queue.Queue{added, named("dead")}); err != nil {
		t.Fatal(err)
	}
	send(t, b, "more", queue.Message{Body: "one"})
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	cfg.Queues = append(cfg.Queues, named("more"))
	wantBodies(t, receive(t, open(t, cfg), "more", 1), "one")
}

func TestConfigureWakesWhoWaits(t *testing.T) {
	q := named("jobs")
	b := openWith(t, q)
	got := make(chan []queue.Received, 1)
	wait := 10 * time.Second
	go func() {
		messages, err := b.Receive(context.Background(), prefix+"jobs", queue.ReceiveInput{Wait: &wait})
		if err != nil {
			t.Error(err)
		}
		got <- messages
	}()
	if err := b.Configure([]queue.Queue{q}); err != nil {
		t.Fatal(err)
	}
	send(t, b, "jobs", queue.Message{Body: "one"})
	wantBodies(t, <-got, "one")
}

func TestConfigureRefusesAsAWhole(t *testing.T) {
	q := named("jobs")
	b := openWith(t, q)
	timeout := 13 * time.Hour
	wrong := named("other")
	wrong.VisibilityTimeout = &timeout
	alone := named("alone")
	alone.RedriveTarget, alone.MaxReceiveCount = prefix+"nowhere", 1
	q.MaxMessageBytes = 1024
	for want, change := range map[string]queue.Queue{"visibility time-out 13h": wrong, "is not declared": alone} {
		err := b.Configure([]queue.Queue{q, change})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("err = %v, want %q", err, want)
		}
	}
	send(t, b, "jobs", queue.Message{Body: strings.Repeat("x", 2000)}) // the limit is as it was
	if _, err := b.Send(t.Context(), prefix+"other", queue.Message{Body: "x"}); err == nil {
		t.Error("a queue was added")
	}
}
