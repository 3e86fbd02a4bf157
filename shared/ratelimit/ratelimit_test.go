package ratelimit_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/ratelimit"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func TestMain(m *testing.M) { os.Exit(ddbtest.Main(m)) }

// clock stands still until it is moved.
type clock struct{ micros atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.micros.Store(time.Date(2026, 11, 3, 15, 4, 5, 0, time.UTC).UnixMicro())
	return c
}

func (c *clock) now() time.Time           { return time.UnixMicro(c.micros.Load()) }
func (c *clock) advance(by time.Duration) { c.micros.Add(by.Microseconds()) }

// never adds no jitter.
func never(int64) int64 { return 0 }

// world is a table with the workspace alpha, whose rate is 10 a second and 20 at once.
type world struct {
	*clock
	table  string
	writes atomic.Int64 // calls of UpdateItem
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{clock: newClock(), table: ddbtest.NewTable(t, ddbtest.Client(nil), catalog.MainTable())}
	alpha := workspace.Workspace{
		ID: "alpha", Name: "Alpha", Quota: workspace.DefaultQuota(), Shards: 1,
	}
	alpha.Quota.Writes = workspace.Rate{PerSecond: 10, Burst: 20}
	owner := workspace.Member{Workspace: "alpha", Sub: "owner", Role: workspace.Owner}
	if err := w.store().CreateWorkspace(t.Context(), alpha, owner); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) store() *ddbstore.Store {
	return ddbstore.New(ddbtest.Client(&ddbtest.Transport{Intercept: func(op string, _ []byte) *ddbtest.Answer {
		if op == "UpdateItem" {
			w.writes.Add(1)
		}
		return nil
	}}), ddbstore.Config{Table: w.table})
}

// process is a limiter of its own, as each process has one.
func (w *world) process() *ratelimit.Limiter { return ratelimit.New(w.store(), w.now, never) }

func allow(t *testing.T, l *ratelimit.Limiter, cost int64) time.Duration {
	t.Helper()
	wait, err := l.Allow(t.Context(), "alpha", cost)
	if err != nil {
		t.Fatal(err)
	}
	return wait
}

func TestBurstThenRate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l := w.process()
	for i := range 20 {
		if wait := allow(t, l, 1); wait != 0 {
			t.Fatalf("request %d of the burst waits %s", i, wait)
		}
	}
	if wait := allow(t, l, 1); wait != 100*time.Millisecond {
		t.Errorf("the next one waits %s, want 100ms", wait)
	}
	w.advance(99 * time.Millisecond)
	if wait := allow(t, l, 1); wait != time.Millisecond {
		t.Errorf("a millisecond too early: waits %s", wait)
	}
	w.advance(time.Millisecond)
	if wait := allow(t, l, 1); wait != 0 {
		t.Errorf("in time: waits %s", wait)
	}
	w.advance(time.Hour)
	got := 0
	for allow(t, l, 1) == 0 {
		got++
	}
	if got != 20 {
		t.Errorf("after an hour %d requests at once, want 20", got)
	}
	if n := w.writes.Load(); n != 20+3+21 {
		t.Errorf("%d writes for %d requests", n, 20+3+21)
	}
}

func TestCosts(t *testing.T) {
	t.Parallel()
	l := newWorld(t).process()
	if wait := allow(t, l, 15); wait != 0 {
		t.Errorf("15 of 20: waits %s", wait)
	}
	if wait := allow(t, l, 6); wait != 100*time.Millisecond {
		t.Errorf("6 of 5: waits %s", wait)
	}
	if wait := allow(t, l, 5); wait != 0 {
		t.Errorf("5 of 5: waits %s", wait)
	}
}

// TestManyProcesses: together they let through the burst, what drips in, and at most one
// request each that a wrong guess let through; and no request costs more than one write.
func TestManyProcesses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const processes, rounds, each = 6, 10, 8
	var limiters [processes]*ratelimit.Limiter
	for i := range limiters {
		limiters[i] = w.process()
	}
	var allowed, requests atomic.Int64
	for range rounds {
		var all sync.WaitGroup
		for _, l := range limiters {
			all.Go(func() {
				for range each {
					requests.Add(1)
					wait, err := l.Allow(t.Context(), "alpha", 1)
					if err != nil {
						t.Error(err)
					} else if wait == 0 {
						allowed.Add(1)
					}
				}
			})
		}
		all.Wait()
		w.advance(500 * time.Millisecond)
	}
	const most = 20 + (rounds-1)*5
	if n := allowed.Load(); n < most || n > most+processes {
		t.Errorf("%d requests were let through, want %d, and at most %d more", n, most, processes)
	}
	if w.writes.Load() > requests.Load() {
		t.Errorf("%d writes for %d requests", w.writes.Load(), requests.Load())
	}
}

// TestWrongGuessIsPaidNext: a process that comes late takes the bucket for full; what it lets
// through so is taken with its next request.
func TestWrongGuessIsPaidNext(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	first, late := w.process(), w.process()
	allow(t, first, 1)
	if wait := allow(t, late, 4); wait != 0 {
		t.Fatalf("waits %s", wait)
	}
	if wait := allow(t, late, 1); wait != 0 {
		t.Fatalf("waits %s", wait)
	}
	// 1 + 4 + 1 are spent now.
	if wait := allow(t, first, 14); wait != 0 {
		t.Errorf("the other 14 wait %s", wait)
	}
	if wait := allow(t, first, 1); wait != 100*time.Millisecond {
		t.Errorf("the 21st waits %s", wait)
	}
}

func TestJitter(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var asked int64
	l := ratelimit.New(w.store(), w.now, func(n int64) int64 { asked = n; return n - 1 })
	allow(t, l, 20)
	if wait := allow(t, l, 2); wait < 200*time.Millisecond || wait >= 300*time.Millisecond || asked != int64(100*time.Millisecond) {
		t.Errorf("waits %s, with jitter up to %s", wait, time.Duration(asked))
	}
}

func TestRateIsReadAgain(t *testing.T) {
	t.Parallel()
	c := &counting{rate: workspace.Rate{PerSecond: 1, Burst: 1}}
	clock := newClock()
	l := ratelimit.New(c, clock.now, never)
	for range 5 {
		allow(t, l, 1)
	}
	if c.reads != 1 {
		t.Errorf("the workspace was read %d times", c.reads)
	}
	c.rate = workspace.Rate{} // now the default
	clock.advance(time.Minute)
	for i := range 200 {
		if wait := allow(t, l, 1); wait != 0 {
			t.Fatalf("request %d waits %s", i, wait)
		}
	}
	if wait := allow(t, l, 1); wait != 20*time.Millisecond || c.reads != 2 {
		t.Errorf("beyond the burst: waits %s, after %d reads", wait, c.reads)
	}
}

// counting is a catalog in memory.
type counting struct {
	rate   workspace.Rate
	reads  int
	bucket workspace.Bucket
}

func (c *counting) Workspace(context.Context, string) (workspace.Workspace, error) {
	c.reads++
	return workspace.Workspace{Quota: workspace.Quota{Writes: c.rate}}, nil
}

func (c *counting) Spend(_ context.Context, _ string, s workspace.Spending, full bool) (workspace.Bucket, bool, error) {
	if s.Wait(c.bucket) > 0 || s.IsFull(c.bucket) != full {
		return c.bucket, false, nil
	}
	c.bucket = s.From(c.bucket)
	return c.bucket, true, nil
}

func TestErrorsOfTheCatalog(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, err := w.process().Allow(t.Context(), "ghost", 1); !fault.Is(err, fault.NotFound) {
		t.Errorf("of no workspace: %v", err)
	}
	var down atomic.Bool
	l := ratelimit.New(ddbstore.New(ddbtest.Client(&ddbtest.Transport{Intercept: func(op string, _ []byte) *ddbtest.Answer {
		if op == "UpdateItem" && down.Load() {
			return &ddbtest.Answer{Status: http.StatusServiceUnavailable, Body: map[string]string{"__type": "ServiceUnavailable"}}
		}
		return nil
	}}), ddbstore.Config{Table: w.table}), w.now, never)
	allow(t, l, 1)
	down.Store(true)
	if _, err := l.Allow(t.Context(), "alpha", 1); !fault.Is(err, fault.Unavailable) {
		t.Errorf("while the catalog is down: %v", err)
	}
	down.Store(false)
	if wait := allow(t, l, 19); wait != 0 {
		t.Errorf("afterwards: waits %s", wait)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Allow(ctx, "alpha", 1); !errors.Is(err, context.Canceled) {
		t.Errorf("of a request that was given up: %v", err)
	}
}
