package sweeper

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/upload"
)

// run is one invocation. Its methods are given two contexts: that of the work, which ends
// some time before the invocation does, and that of the invocation, for what has to be
// done then.
type run struct {
	*Handler
	Report
	// now is when the invocation began, by which everything is judged.
	now time.Time
}

// stopped reports whether the time for work is up.
func stopped(work context.Context) bool { return work.Err() != nil }

// workers is how many items are dealt with at a time. Each waits for AWS most of its time.
const workers = 16

// each deals with items side by side and reports whether all of them were: false when
// one failed, or when the time was up before its turn.
func each[T any](work context.Context, r *run, items []T, about func(T) []slog.Attr, deal func(context.Context, T) error) bool {
	queue := make(chan T)
	var (
		wg             sync.WaitGroup
		mu             sync.Mutex
		looked, failed int
	)
	for range min(workers, len(items)) {
		wg.Go(func() {
			for item := range queue {
				ctx := observe.With(work, about(item)...)
				err := guard(ctx, item, deal)
				mu.Lock()
				looked++
				if err != nil {
					failed++
				}
				mu.Unlock()
				if err != nil && !stopped(work) {
					r.Log.LogAttrs(ctx, slog.LevelError, "cannot sweep", slog.Any("error", err))
				}
			}
		})
	}
	left := 0
	for _, item := range items {
		if stopped(work) {
			left++
			continue
		}
		queue <- item
	}
	close(queue)
	wg.Wait()
	r.Looked += looked
	if stopped(work) {
		return false // what failed, failed because the time was up
	}
	r.Failed += failed
	return failed == 0 && left == 0
}

// itemTime bounds what is done about one item, so that one which hangs holds up no pass.
const itemTime = time.Minute

// guard makes a panic, or taking too long, the failure of one item.
func guard[T any](ctx context.Context, item T, deal func(context.Context, T) error) (err error) {
	ctx, cancel := context.WithTimeout(ctx, itemTime)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return deal(ctx, item)
}

// load reads the place of a sweep into mark. A place that is not there, or that nobody
// can read any more, leaves mark as it is: a pass begins anew.
func (r *run) load(ctx context.Context, mark any) error {
	c, err := r.Checkpoints.Checkpoint(ctx, r.Sweep)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil
	case err != nil:
		return err
	}
	if err := json.Unmarshal([]byte(c.Mark), mark); err != nil {
		r.Log.LogAttrs(ctx, slog.LevelWarn, "checkpoint dropped", slog.String("sweep", r.Sweep), slog.Any("error", err))
	}
	return nil
}

// save writes the place of a sweep.
func (r *run) save(ctx context.Context, mark any) error {
	text, err := json.Marshal(mark)
	if err != nil {
		return fmt.Errorf("encode the place of the sweep: %w", err)
	}
	return r.Checkpoints.SaveCheckpoint(ctx, upload.Checkpoint{Sweep: r.Sweep, Mark: string(text), SavedAt: r.Now()})
}
