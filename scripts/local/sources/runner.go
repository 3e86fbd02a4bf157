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
	"reflect"
	"slices"
	"sync"
	"time"
)

// Runner polls the sources of event source mappings. Its methods are safe for
// concurrent use.
type Runner struct {
	cfg         Config
	checkpoints *checkpoints

	mu   sync.Mutex
	jobs []*job
	// start runs a job; nil: the runner does not run.
	start func(j *job, after <-chan struct{})
}

// job is one mapping at work.
type job struct {
	id       string
	mapping  any // QueueMapping or StreamMapping
	disabled bool
	run      func(ctx, reading context.Context)
	stream   *streamPoller // nil: of a queue

	stop context.CancelFunc // ends its reading; nil: it does not run
	done chan struct{}      // closed when it has stopped
}

// New checks the mappings. Nothing is opened before Run.
func New(cfg Config) (*Runner, error) {
	cfg.setDefaults()
	r := &Runner{cfg: cfg}
	var err error
	if r.jobs, err = r.prepare(cfg.Queues, cfg.Streams); err != nil {
		return nil, err
	}
	return r, nil
}

// prepare checks mappings and makes their jobs.
func (r *Runner) prepare(queues []QueueMapping, streams []StreamMapping) ([]*job, error) {
	var jobs []*job
	var errs []error
	for _, m := range queues {
		m = m.withDefaults()
		p, err := newQueuePoller(&r.cfg, m)
		errs = append(errs, err)
		jobs = append(jobs, &job{id: m.ID, mapping: m, disabled: m.Disabled, run: p.run})
	}
	for _, m := range streams {
		m = m.withDefaults()
		p, err := newStreamPoller(r, m)
		errs = append(errs, err)
		jobs = append(jobs, &job{id: m.ID, mapping: m, disabled: m.Disabled, run: p.run, stream: p})
	}
	if len(streams) > 0 && r.cfg.StreamEndpoint == "" {
		errs = append(errs, errors.New("there are stream mappings and no endpoint of DynamoDB Streams"))
	}
	return jobs, errors.Join(errs...)
}

// Open reads the checkpoints. Run does so when nobody has; whoever calls it before
// hears at once what is wrong with them. Run closes them.
func (r *Runner) Open() error {
	if r.checkpoints != nil {
		return nil
	}
	var err error
	r.checkpoints, err = openCheckpoints(r.cfg.CheckpointPath)
	return err
}

// Run polls until ctx ends, and returns when every poller has stopped. Batches
// that are in a function then are given up: they come again with the next run.
func (r *Runner) Run(ctx context.Context) error {
	if err := r.Open(); err != nil {
		return err
	}
	var running sync.WaitGroup
	r.mu.Lock()
	r.start = func(j *job, after <-chan struct{}) {
		if j.disabled || ctx.Err() != nil {
			return
		}
		reading, stop := context.WithCancel(ctx)
		j.stop, j.done = stop, make(chan struct{})
		running.Go(func() {
			defer close(j.done)
			defer stop()
			<-after
			j.run(ctx, reading)
		})
	}
	for _, j := range r.jobs {
		r.start(j, atOnce())
	}
	r.mu.Unlock()
	<-ctx.Done()
	r.mu.Lock() // whoever configures now finds that it is over
	r.start = nil
	r.mu.Unlock()
	running.Wait()
	err := r.checkpoints.close()
	r.checkpoints = nil
	return err
}

// atOnce is for a job that has nothing to wait for.
func atOnce() <-chan struct{} {
	now := make(chan struct{})
	close(now)
	return now
}

// Configure replaces the mappings; those that are as before go on undisturbed.
// A mapping that changes, or is gone, stops reading; what it has in the function
// comes to its end first. A stream is read again from its checkpoint once that
// has happened, so that no item's records overtake each other.
func (r *Runner) Configure(queues []QueueMapping, streams []StreamMapping) error {
	next, err := r.prepare(queues, streams)
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	former := r.jobs
	for i, j := range next {
		at := slices.IndexFunc(former, func(f *job) bool { return f.id == j.id && (f.stream == nil) == (j.stream == nil) })
		after := atOnce()
		if at >= 0 {
			old := former[at]
			former = slices.Delete(slices.Clone(former), at, at+1)
			if reflect.DeepEqual(old.mapping, j.mapping) {
				next[i] = old
				continue
			}
			if stopped := old.halt(); j.stream != nil {
				after = stopped
			}
		}
		if r.start != nil {
			r.start(j, after)
		}
	}
	for _, gone := range former {
		gone.halt()
	}
	r.jobs = next
	return nil
}

// halt ends a job's reading and gives what closes when it has stopped.
func (j *job) halt() <-chan struct{} {
	if j.stop == nil {
		return atOnce()
	}
	j.stop()
	return j.done
}

// Wake makes the pollers of a table's stream look at once instead of at their
// next turn. Calling it after each write spares the first record after a quiet
// time the wait for that turn. An empty table wakes all. It does not block.
func (r *Runner) Wake(table string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, j := range r.jobs {
		if j.stream != nil && (table == "" || j.stream.mapping.Table == table) {
			j.stream.wakeShards()
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
