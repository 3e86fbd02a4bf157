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
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return false
	}
	return o.permanent(err)
}

func saysPermanent(err error) bool {
	var p interface{ Permanent() bool }
	return errors.As(err, &p) && p.Permanent()
}
