package workspace_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/workspace"
)

var epoch = time.Date(2026, 11, 3, 15, 4, 5, 0, time.UTC)

// spend does to a bucket what the table does.
func spend(b workspace.Bucket, s workspace.Spending) (workspace.Bucket, time.Duration) {
	if wait := s.Wait(b); wait > 0 {
		return b, wait
	}
	return s.From(b), 0
}

func TestBucketBoundaries(t *testing.T) {
	t.Parallel()
	rate := workspace.Rate{PerSecond: 10, Burst: 5}
	var b workspace.Bucket
	var wait time.Duration
	for i := range 5 {
		if b, wait = spend(b, workspace.NewSpending(rate, 1, epoch)); wait != 0 {
			t.Fatalf("token %d of a full bucket: wait %s", i, wait)
		}
	}
	for _, tc := range []struct {
		after time.Duration
		cost  int64
		want  time.Duration
	}{
		{0, 1, 100 * time.Millisecond},
		{0, 5, 500 * time.Millisecond},
		{0, 500, 500 * time.Millisecond}, // more than ever fits
		{0, 0, 0},
		{99 * time.Millisecond, 1, time.Millisecond},
		{100*time.Millisecond - time.Microsecond, 1, time.Microsecond},
		{100 * time.Millisecond, 1, 0},
		{100 * time.Millisecond, 2, 100 * time.Millisecond},
		{500 * time.Millisecond, 5, 0},
		{-time.Second, 1, 1100 * time.Millisecond}, // a clock that is behind
	} {
		if _, wait := spend(b, workspace.NewSpending(rate, tc.cost, epoch.Add(tc.after))); wait != tc.want {
			t.Errorf("%d tokens after %s: wait %s, want %s", tc.cost, tc.after, wait, tc.want)
		}
	}
	// However long it rests, it holds no more than the burst.
	later := epoch.Add(time.Hour)
	b, _ = spend(b, workspace.NewSpending(rate, 5, later))
	if _, wait := spend(b, workspace.NewSpending(rate, 1, later)); wait != 100*time.Millisecond {
		t.Errorf("after an hour and a burst: wait %s", wait)
	}
}

// TestBucketHoldsItsRate: in any stretch of time, no more is spent than the burst and what
// drips in; and whoever waits as long as is said gets through.
func TestBucketHoldsItsRate(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		rate := workspace.Rate{PerSecond: rapid.Int64Range(1, 1000).Draw(t, "rate"), Burst: rapid.Int64Range(1, 2000).Draw(t, "burst")}
		type spent struct {
			at   time.Time
			cost int64
		}
		var b workspace.Bucket
		var all []spent
		now := epoch
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			now = now.Add(time.Duration(rapid.Int64Range(0, 2_000_000).Draw(t, "pause")) * time.Microsecond)
			cost := rapid.Int64Range(1, rate.Burst).Draw(t, "cost")
			next, wait := spend(b, workspace.NewSpending(rate, cost, now))
			if wait > 0 {
				if _, still := spend(b, workspace.NewSpending(rate, cost, now.Add(wait))); still != 0 {
					t.Fatalf("after the wait of %s another one of %s", wait, still)
				}
				continue
			}
			b = next
			all = append(all, spent{now, cost})
		}
		for i := range all {
			var sum int64
			for _, s := range all[i:] {
				sum += s.cost
				drip := s.at.Sub(all[i].at).Seconds() * float64(rate.PerSecond)
				if float64(sum) > float64(rate.Burst)+drip+0.001*float64(rate.PerSecond) {
					t.Fatalf("%d spent within %s, at %d a second and %d at once", sum, s.at.Sub(all[i].at), rate.PerSecond, rate.Burst)
				}
			}
		}
	})
}

func TestRateDefaults(t *testing.T) {
	t.Parallel()
	fallback := workspace.Rate{PerSecond: 50, Burst: 200}
	for _, tc := range []struct{ rate, want workspace.Rate }{
		{workspace.Rate{}, fallback},
		{workspace.Rate{PerSecond: 1}, workspace.Rate{PerSecond: 1, Burst: 200}},
		{workspace.Rate{Burst: 1}, workspace.Rate{PerSecond: 50, Burst: 1}},
		{workspace.Rate{PerSecond: -1, Burst: -1}, fallback},
		{workspace.Rate{PerSecond: 1, Burst: 1}, workspace.Rate{PerSecond: 1, Burst: 1}},
	} {
		if got := tc.rate.Or(fallback); got != tc.want {
			t.Errorf("%+v: got %+v, want %+v", tc.rate, got, tc.want)
		}
	}
}
