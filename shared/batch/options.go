package batch

import (
	"context"
	"errors"
	"time"
)

// Option changes how a batch is processed.
type Option func(*options)

type options struct {
	concurrency int
	reserve     time.Duration
	permanent   func(error) bool
	transient   func(error) bool // nil: nothing is given up for coming too often
	deliveries  int
	deadLetters DeadLetters
	observer    Observer
}

// DefaultReserve is what [Reserve] is without being set.
const DefaultReserve = time.Second

func newOptions(opts []Option) options {
	o := options{concurrency: 1, reserve: DefaultReserve, permanent: saysPermanent}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

// Concurrency lets n handlers run at a time. Below 1 it is 1.
func Concurrency(n int) Option {
	return func(o *options) { o.concurrency = max(n, 1) }
}

// Reserve is the time kept before the invocation's deadline to settle what is
// under way: at most a quarter of the time that is left when processing begins.
func Reserve(d time.Duration) Option {
	return func(o *options) { o.reserve = max(d, 0) }
}

// PermanentIf says which errors no repetition can cure. By default those are the
// errors with a method Permanent() bool that returns true. The end of a context
// is never permanent.
func PermanentIf(permanent func(error) bool) Option {
	return func(o *options) { o.permanent = permanent }
}

// GiveUpAfter treats a failure as permanent at the record's n-th delivery and from then on,
// unless it is transient. It is for sources that deliver so often that they outlast an
// outage of days: what nobody foresaw is not to come back for as long. All deliveries
// count, those of an outage before included. The end of a context is always transient. A
// source that does not tell its [Source.Deliveries] gives nothing up.
func GiveUpAfter(n int, transient func(error) bool) Option {
	return func(o *options) { o.deliveries, o.transient = max(n, 1), transient }
}

// DeadLetter says where records go that fail for good. Without it they are handed
// back, and it is the event source's turn to give them up.
func DeadLetter(to DeadLetters) Option {
	return func(o *options) { o.deadLetters = to }
}

// Observe reports each record. Without it nobody learns why a record failed.
func Observe(by Observer) Option {
	return func(o *options) { o.observer = by }
}

func (o *options) isPermanent(err error) bool {
	return !ended(err) && o.permanent(err)
}

func (o *options) isGivenUp(deliveries int, err error) bool {
	return o.transient != nil && deliveries >= o.deliveries && !ended(err) && !o.transient(err)
}

func ended(err error) bool {
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func saysPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}
