// Package sources brings events to functions as AWS Lambda's event source
// mappings and S3's notifications do.
//
// Runner polls queues and the streams of tables. A queue's messages are deleted
// once the function has succeeded with them; what fails comes back when its
// visibility time-out ends. A stream's records come in order for each item;
// progress is a checkpoint in a file, so that a restart goes on after the last
// batch that was done with, and repeats at most what was under way. Batches,
// windows, filters, partial failures, bisecting, retries, ages and on-failure
// destinations follow Lambda's documentation:
// https://docs.aws.amazon.com/lambda/latest/dg/invocation-eventsourcemapping.html
//
// Notifier turns what an S3 engine reports into S3's notifications.
//
// All delivery is at least once. Delivery is the seam at which it can be made
// hostile on purpose.
//
// Records of a stream pass through as the engine gave them, except for the
// region and the stream's ARN, which are the template's, and for writes that
// changed nothing, which DynamoDB does not record.
package sources

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Runner polls the sources of event source mappings. Its methods are safe for
// concurrent use.
type Runner struct {
	cfg         Config
	queues      []*queuePoller
	streams     []*streamPoller
	checkpoints *checkpoints
}

// New checks the mappings. Nothing is opened before Run.
func New(cfg Config) (*Runner, error) {
	cfg.setDefaults()
	r := &Runner{cfg: cfg}
	var errs []error
	for _, m := range cfg.Queues {
		p, err := newQueuePoller(&r.cfg, m.withDefaults())
		r.queues, errs = append(r.queues, p), append(errs, err)
	}
	for _, m := range cfg.Streams {
		p, err := newStreamPoller(r, m.withDefaults())
		r.streams, errs = append(r.streams, p), append(errs, err)
	}
	if len(cfg.Streams) > 0 && cfg.StreamEndpoint == "" {
		errs = append(errs, errors.New("there are stream mappings and no endpoint of DynamoDB Streams"))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return r, nil
}

// Run polls until ctx ends, and returns when every poller has stopped. Batches
// that are in a function then are given up: they come again with the next run.
func (r *Runner) Run(ctx context.Context) error {
	var err error
	if r.checkpoints, err = openCheckpoints(r.cfg.CheckpointPath); err != nil {
		return err
	}
	var pollers sync.WaitGroup
	for _, p := range r.queues {
		if !p.mapping.Disabled {
			pollers.Go(func() { p.run(ctx) })
		}
	}
	for _, p := range r.streams {
		if !p.mapping.Disabled {
			pollers.Go(func() { p.run(ctx) })
		}
	}
	pollers.Wait()
	return r.checkpoints.close()
}

// Wake makes the pollers of a table's stream look at once instead of at their
// next turn. Calling it after each write spares the first record after a quiet
// time the wait for that turn. An empty table wakes all. It does not block.
func (r *Runner) Wake(table string) {
	for _, p := range r.streams {
		if table == "" || p.mapping.Table == table {
			p.wakeShards()
		}
	}
}

// sleep waits and says whether ctx is still going on.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}
