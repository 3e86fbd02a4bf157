package batch

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"
	"time"
)

// Source tells how to treat records of type R. Only ID is required.
type Source[R any] struct {
	// ID is what the event source knows the record by: a message id or a
	// sequence number.
	ID func(R) string
	// Key names what the record is about. Records with the same key are handled
	// in order; those with the key "" in any order. Nil: all keys are "".
	Key func(R) string
	// Checkpointed sources deliver everything from the first failure on again.
	Checkpointed bool
	// Origin is the ARN of where the record came from, for dead letters.
	Origin func(R) string
	// Time is when the record came to be, for dead letters.
	Time func(R) time.Time
	// Payload is the record as dead letters keep it: one JSON value.
	Payload func(R) ([]byte, error)
	// Deliveries is how many times the record was delivered, this time included; see
	// [GiveUpAfter]. Nil, or 0: that is not known.
	Deliveries func(R) int
}

// Outcome is what became of a record.
type Outcome int

// Outcomes of a record.
const (
	// NotTried records were left for a later delivery: the time was up, or an
	// earlier record failed.
	NotTried Outcome = iota
	// Done records were handled.
	Done
	// DeadLettered records failed for good, or too often, and were written to the dead
	// letters.
	DeadLettered
	// Failed records are delivered again.
	Failed
)

// String is the outcome's name in metrics and logs.
func (o Outcome) String() string {
	switch o {
	case Done:
		return "done"
	case DeadLettered:
		return "dead-lettered"
	case Failed:
		return "failed"
	default:
		return "not-tried"
	}
}

// Letter is a record that can never be handled.
type Letter struct {
	// ID is the same however often the record is delivered.
	ID string
	// Time is when the record came to be; zero where that is not known.
	Time time.Time
	// Err is why it cannot be handled.
	Err error
	// Payload is the record, as one JSON value.
	Payload []byte
}

// DeadLetters keeps what can never be handled. Putting a letter of the same ID
// again must leave one letter.
type DeadLetters interface {
	Put(ctx context.Context, l Letter) error
}

// Observer watches a batch. It must be safe for concurrent use.
type Observer interface {
	// Handling is called before the handler, with the ids of the records it is
	// given. The handler gets the returned context; done is called after it.
	Handling(ctx context.Context, ids []string) (_ context.Context, done func())
	// Settled is called once for every record, with the error of those that
	// were dead-lettered or failed.
	Settled(ctx context.Context, id string, o Outcome, err error)
}

// PanicError is the failure of a record whose handler panicked.
type PanicError struct {
	Value any
	Stack []byte
}

func (e *PanicError) Error() string { return fmt.Sprintf("handler panicked: %v", e.Value) }

// Group bounds the records that a handler is given at once.
type Group[R any] struct {
	// MaxRecords is at least 1.
	MaxRecords int
	// MaxBytes bounds the sum of Size. 0: no bound. A larger record comes alone.
	MaxBytes int
	Size     func(R) int
}

// Process gives each record to handle and returns the ids to hand back to the
// event source. It fails when a record that must be handed back has no id: the
// event source would refuse the answer.
func Process[R any](ctx context.Context, src Source[R], records []R, handle func(context.Context, R) error, opts ...Option) ([]string, error) {
	one := func(ctx context.Context, rs []R) []error { return []error{handle(ctx, rs[0])} }
	return ProcessGroups(ctx, src, records, Group[R]{MaxRecords: 1}, one, opts...)
}

// ProcessGroups is Process for a handler that takes several records at once, as
// many as group allows. No two of them have the same key other than "". The
// handler returns an error, or nil, for each.
func ProcessGroups[R any](ctx context.Context, src Source[R], records []R, group Group[R], handle func(context.Context, []R) []error, opts ...Option) ([]string, error) {
	o := newOptions(opts)
	work, cancel := withReserve(ctx, o.reserve)
	defer cancel()

	r := &run[R]{
		options: o, src: src, records: records, handle: handle,
		errs:  make([]error, len(records)),
		lanes: newLanes(len(records), src.Checkpointed, func(i int) string { return src.key(records[i]) }),
	}
	if group.MaxBytes > 0 && group.Size != nil {
		r.lanes.size = func(i int) int { return group.Size(records[i]) }
		r.lanes.maxSize = group.MaxBytes
	}
	r.lanes.maxGroup = max(group.MaxRecords, 1)

	stop := context.AfterFunc(work, r.lanes.close)
	defer stop()
	var wg sync.WaitGroup
	for range min(o.concurrency, len(records)) {
		wg.Go(func() { r.work(ctx, work) })
	}
	wg.Wait()
	return r.report(ctx)
}

// withReserve ends the handlers' context before the invocation ends. A reserve
// larger than a quarter of the time left is cut to that, so that a function with
// a short time-out still does some work.
func withReserve(ctx context.Context, reserve time.Duration) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	reserve = min(reserve, time.Until(deadline)/4)
	return context.WithDeadline(ctx, deadline.Add(-reserve))
}

// run is one batch being processed.
type run[R any] struct {
	options
	src     Source[R]
	records []R
	handle  func(context.Context, []R) []error
	lanes   *lanes
	errs    []error // by record; written by the worker that has it
}

func (s Source[R]) key(r R) string {
	if s.Key == nil {
		return ""
	}
	return s.Key(r)
}

// work takes records until none is left. Dead letters are written with ctx,
// which outlives the handlers' context by the reserve.
func (r *run[R]) work(ctx, work context.Context) {
	for {
		taken := r.lanes.take()
		if len(taken) == 0 {
			return
		}
		for n, err := range r.call(work, taken) {
			i := taken[n]
			outcome, err := r.judge(ctx, r.records[i], err)
			r.errs[i] = err
			r.lanes.settle(i, outcome)
		}
	}
}

// call runs the handler. Its panic fails the records that it was given.
func (r *run[R]) call(ctx context.Context, taken []int) (errs []error) {
	given := make([]R, len(taken))
	for n, i := range taken {
		given[n] = r.records[i]
	}
	if r.observer != nil {
		ids := make([]string, len(taken))
		for n := range given {
			ids[n] = r.src.ID(given[n])
		}
		var done func()
		ctx, done = r.observer.Handling(ctx, ids)
		defer done()
	}
	defer func() {
		if v := recover(); v != nil {
			errs = fill(len(taken), &PanicError{Value: v, Stack: debug.Stack()})
		}
	}()
	errs = r.handle(ctx, given)
	if len(errs) != len(taken) {
		return fill(len(taken), fmt.Errorf("handler returned %d errors for %d records", len(errs), len(taken)))
	}
	return errs
}

func fill(n int, err error) []error {
	errs := make([]error, n)
	for i := range errs {
		errs[i] = err
	}
	return errs
}

// judge decides what becomes of a record whose handler returned err.
func (r *run[R]) judge(ctx context.Context, rec R, err error) (Outcome, error) {
	if err == nil {
		return Done, nil
	}
	if r.deadLetters == nil || !r.isPermanent(err) && !r.isGivenUp(r.src.deliveries(rec), err) {
		return Failed, err
	}
	letter, lerr := r.src.letter(rec, err)
	if lerr == nil {
		lerr = r.deadLetters.Put(ctx, letter)
	}
	if lerr != nil {
		return Failed, errors.Join(err, fmt.Errorf("write dead letter: %w", lerr))
	}
	return DeadLettered, err
}

func (s Source[R]) deliveries(rec R) int {
	if s.Deliveries == nil {
		return 0
	}
	return s.Deliveries(rec)
}

func (s Source[R]) letter(rec R, err error) (Letter, error) {
	l := Letter{ID: s.ID(rec), Err: err}
	if s.Origin != nil {
		l.ID = s.Origin(rec) + "/" + l.ID
	}
	if s.Time != nil {
		l.Time = s.Time(rec)
	}
	if s.Payload == nil {
		return l, errors.New("the source does not say what a record's payload is")
	}
	payload, perr := s.Payload(rec)
	if perr != nil {
		return l, fmt.Errorf("encode payload of record %s: %w", l.ID, perr)
	}
	l.Payload = payload
	return l, nil
}

// report tells the observer of each record and lists what to hand back.
func (r *run[R]) report(ctx context.Context) ([]string, error) {
	var back []string
	for i, rec := range r.records {
		id, outcome := r.src.ID(rec), r.lanes.outcomes[i]
		if r.observer != nil {
			r.observer.Settled(ctx, id, outcome, r.errs[i])
		}
		if outcome == Done || outcome == DeadLettered || (r.src.Checkpointed && len(back) > 0) {
			continue
		}
		if id == "" {
			return nil, fmt.Errorf("record %d of %d has no id to hand it back by, so the whole batch is: %w",
				i, len(r.records), cause(outcome, r.errs[i]))
		}
		back = append(back, id)
	}
	return back, nil
}

func cause(o Outcome, err error) error {
	if err == nil {
		return fmt.Errorf("record was %s", o)
	}
	return err
}
