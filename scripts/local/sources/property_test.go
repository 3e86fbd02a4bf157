package sources_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/sources"
)

// erratic is a function that fails in every way there is, from a seed, and records
// what it has done with success: the records of a batch up to the one it stopped at.
type erratic struct {
	mu      sync.Mutex
	random  *rand.Rand
	reports bool
	calm    bool // fails no more
	applied map[string][]string
}

func (e *erratic) Invoke(_ context.Context, _ string, payload []byte) (lambda.Response, error) {
	var event struct {
		Records []record `json:"Records"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return lambda.Response{}, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	stop := len(event.Records)
	answer := lambda.Response{RequestID: "request", Payload: []byte("null")}
	kind := e.random.IntN(10)
	if e.calm {
		kind = 9
	}
	switch kind {
	case 0:
		return lambda.Response{}, lambda.ErrThrottled
	case 1: // fails after part of its work
		stop = e.random.IntN(stop + 1)
		answer.FunctionError = "Unhandled"
	case 2: // its answer is lost
		e.apply(event.Records)
		return lambda.Response{}, errors.New("connection reset")
	case 3, 4: // stops at a record and says so
		if e.reports {
			stop = e.random.IntN(stop)
			answer.Payload = []byte(failures(event.Records[stop].DynamoDB.Sequence))
		}
	}
	e.apply(event.Records[:stop])
	return answer, nil
}

func (e *erratic) apply(records []record) {
	for _, r := range records {
		item, version, _ := strings.Cut(r.name(), ".")
		e.applied[item] = append(e.applied[item], version)
	}
}

// TestNothingIsLostOrOutOfOrder runs mappings of every kind against the engine,
// with a function that fails at random and restarts in between. Every version of
// an item must be applied, and the first time that each is, those before it have
// been: duplicates may come, gaps may not.
func TestNothingIsLostOrOutOfOrder(t *testing.T) {
	dir := t.TempDir()
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		const items, versions = 4, 12
		e := &erratic{
			random: rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1)), reports: rapid.Bool().Draw(rt, "reports"), applied: map[string][]string{},
		}
		name := table(t)
		m := mapping(name)
		m.BatchSize = rapid.IntRange(1, 20).Draw(rt, "batch size")
		m.ParallelizationFactor = rapid.IntRange(1, 4).Draw(rt, "factor")
		m.BisectOnError = rapid.Bool().Draw(rt, "bisect")
		m.ReportBatchItemFailures = e.reports
		cfg := streamConfig(e, m)
		cfg.CheckpointPath = filepath.Join(dir, fmt.Sprint(run))
		_, stop := runnerFor(rt, cfg)
		for v := range versions {
			for i := range items {
				put(t, name, fmt.Sprint("i", i), v)
			}
			if v == versions/2 {
				stop()
				_, stop = runnerFor(rt, cfg)
			}
		}
		e.mu.Lock()
		e.calm = true
		e.mu.Unlock()
		defer func() { stop() }()
		deadline := time.Now().Add(10 * time.Second)
		for !e.complete(items, versions) {
			if time.Now().After(deadline) {
				rt.Fatalf("lost or out of order: %v", e.applied)
			}
			time.Sleep(2 * time.Millisecond)
		}
	})
}

// complete says whether every item has gone through all its versions in order,
// and is false for ever once one was ahead.
func (e *erratic) complete(items, versions int) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.applied) != items {
		return false
	}
	for _, applied := range e.applied {
		firsts := []string{}
		for _, version := range applied {
			if !slices.Contains(firsts, version) {
				firsts = append(firsts, version)
			}
		}
		for i, version := range firsts {
			if version != fmt.Sprint(i) {
				return false
			}
		}
		if len(firsts) != versions {
			return false
		}
	}
	return true
}

func runnerFor(t *rapid.T, cfg sources.Config) (*sources.Runner, func()) {
	r, err := sources.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	}
}
