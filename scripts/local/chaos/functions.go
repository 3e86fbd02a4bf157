package chaos

import (
	"sync"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
)

var _ lambda.Faults = (*Chaos)(nil)

// runs are the runs of handlers under way, by the access key of their process.
type runs struct {
	mu    sync.Mutex
	byKey map[string]*run
	// calls is how many calls a run of each function makes, as far as is known: those of
	// the last that came to its end, or more, if one that did not made more.
	calls map[string]int
}

// run is one run of a handler, which may be ended at a point: 0 is before its
// first call, n after the n-th has taken effect and before it is answered. A run
// that ends before its point comes is ended over its answer.
type run struct {
	chaos    *Chaos
	of       *lambda.Run
	end      func() // nil: the run is left alone
	point    int
	mu       sync.Mutex
	calls    int
	answered bool
	ended    bool // on purpose
}

var _ lambda.Disturbance = (*run)(nil)

// Throttle implements lambda.Faults.
func (c *Chaos) Throttle(function string) bool {
	_, struck := c.strike(source{Functions, function}, Throttles)
	return struck
}

// Begin implements lambda.Faults.
func (c *Chaos) Begin(of *lambda.Run) lambda.Disturbance {
	if c.calm() {
		return nil
	}
	r := &run{chaos: c, of: of}
	at := source{Functions, of.Function}
	c.runs.mu.Lock()
	points := c.runs.calls[of.Function] + 2 // before the first call, after each, at the answer
	c.runs.mu.Unlock()
	if numbers, struck := c.strike(at, Kills); struck {
		r.point, r.end = numbers.IntN(points), of.Kill
	} else if numbers, struck := c.strike(at, Timeouts); struck {
		r.point, r.end = numbers.IntN(points), of.Freeze
		of.Timeout = min(of.Timeout, c.Settings().Stall)
	}
	if of.AccessKeyID != "" {
		c.runs.add(of.AccessKeyID, r)
	}
	return r
}

func (rs *runs) add(key string, r *run) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.byKey[key] = r
}

// of is the run that calls with an access key; nil: none.
func (rs *runs) of(key string) *run {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	return rs.byKey[key]
}

// call counts a call of the run, and says at which point the run is to end: before
// the call takes effect, or after. The call is then not to be answered.
func (r *run) call() (before, after bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.answered {
		return false, false // what goes on in the background is not the run's
	}
	r.calls++
	armed := r.end != nil && !r.ended
	before = armed && r.point == 0
	after = armed && r.point == r.calls
	return before, after
}

// finish ends the run on purpose, once.
func (r *run) finish() {
	r.mu.Lock()
	first := !r.ended
	r.ended = true
	r.mu.Unlock()
	if first {
		r.end()
	}
}

// Answering implements lambda.Disturbance.
func (r *run) Answering() bool {
	r.mu.Lock()
	r.answered = true
	r.mu.Unlock()
	if r.end == nil {
		return true
	}
	r.finish()
	return false
}

// End implements lambda.Disturbance.
func (r *run) End() {
	r.mu.Lock()
	calls, whole := r.calls, r.answered
	r.mu.Unlock()
	rs := &r.chaos.runs
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if !whole {
		calls = max(calls, rs.calls[r.of.Function])
	}
	rs.calls[r.of.Function] = calls
	if rs.byKey[r.of.AccessKeyID] == r {
		delete(rs.byKey, r.of.AccessKeyID)
	}
}
