package lambda

import "time"

// Faults makes invocations go wrong on purpose. Its methods are called
// concurrently and must not block.
type Faults interface {
	// Throttle refuses an invocation as if the function had no concurrency left.
	Throttle(function string) bool
	// Begin is told of each run of a handler before its process has the event, and
	// may shorten the run's time-out. Nil lets the run be.
	Begin(r *Run) Disturbance
}

// Run is one run of a handler by a process.
type Run struct {
	Function  string
	RequestID string
	// AccessKeyID is the one that the process calls AWS with: each has its own.
	AccessKeyID string
	Timeout     time.Duration
	// Kill ends the process as kill -9 does, and returns when it is gone.
	Kill func()
	// Freeze stops the process where it is. Only its time-out ends it then.
	Freeze func()
}

// Disturbance follows one run.
type Disturbance interface {
	// Answering is called with the handler's answer at hand and not yet taken. If it is
	// false the answer is lost: the process has been killed, or frozen.
	Answering() bool
	// End is called when the run has ended, in whatever way.
	End()
}

// disturb lets the faults have their say on a run. What it returns must be
// called when the run has ended.
func (inst *instance) disturb(inv *invocation) (end func()) {
	faults := inst.host.cfg.Faults
	if faults == nil {
		return func() {}
	}
	r := &Run{
		Function: inst.fn.name, RequestID: inv.requestID, AccessKeyID: inst.accessKeyID, Timeout: inv.timeout,
		Kill: func() { inst.shutdown(0) }, Freeze: inst.freeze,
	}
	d := faults.Begin(r)
	inv.timeout = min(inv.timeout, r.Timeout)
	if d == nil {
		return func() {}
	}
	inst.mu.Lock()
	inst.disturbance = d
	inst.mu.Unlock()
	return func() {
		inst.mu.Lock()
		inst.disturbance = nil
		inst.mu.Unlock()
		d.End()
	}
}

// takesAnswer says whether an answer that the process gives may be taken.
func (inst *instance) takesAnswer() bool {
	inst.mu.Lock()
	d := inst.disturbance
	inst.mu.Unlock()
	return d == nil || d.Answering()
}

func (inst *instance) freeze() {
	if err := inst.proc.Freeze(); err != nil {
		inst.host.cfg.Logger.Error("function's process was not frozen", "function", inst.fn.name, "pid", inst.proc.PID(), "error", err)
	}
}
