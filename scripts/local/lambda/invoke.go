package lambda

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Response is the answer of a synchronous invocation.
type Response struct {
	RequestID string
	// Payload is what the handler returned, or the error's description.
	Payload []byte
	// FunctionError is empty, or "Unhandled" when the function failed.
	FunctionError string
	// ExecutedVersion is always $LATEST.
	ExecutedVersion string
}

// statusUnhandled is what Lambda puts into X-Amz-Function-Error.
const statusUnhandled = "Unhandled"

const latestVersion = "$LATEST"

// invocation is one run of a handler.
type invocation struct {
	requestID string
	trace     Trace
	payload   []byte
	timeout   time.Duration
	memoryMB  int

	taken  chan struct{} // closed when the process has fetched it
	result chan outcome  // buffered: the process's answer, if it gives one

	start        time.Time // of the run, once an instance has it
	initDuration time.Duration
	maxMemoryMB  int
}

// outcome is how a run ended.
type outcome struct {
	payload       []byte
	functionError string
	// reset says that the process cannot be used again.
	reset bool
}

// failure is the outcome of a run that Lambda itself ended.
func failure(errorType, message string) outcome {
	return outcome{payload: functionError(errorType, message), functionError: statusUnhandled, reset: true}
}

// Invoke runs a function, named by its name or ARN, and waits for its answer. A
// failure of the function is in the Response; an *Error says that it did not
// run. When ctx ends the function goes on running, as on AWS, and Invoke returns
// ctx's error.
func (h *Host) Invoke(ctx context.Context, function string, payload []byte) (Response, error) {
	fn, err := h.lookup(function)
	if err != nil {
		return Response{}, err
	}
	if len(payload) > MaxSyncPayload {
		return Response{}, &Error{Code: codeTooLarge, Message: fmt.Sprintf(
			"%d byte payload is too large for the RequestResponse invocation type (limit %d bytes)", len(payload), MaxSyncPayload)}
	}
	return h.invoke(ctx, fn, h.cfg.NewID(), payload)
}

func (h *Host) invoke(ctx context.Context, fn *function, requestID string, payload []byte) (Response, error) {
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if h.cfg.Faults != nil && h.cfg.Faults.Throttle(fn.name) {
		return Response{}, &Error{Code: codeThrottled, Reason: "ConcurrentInvocationLimitExceeded", Message: "Rate Exceeded."}
	}
	shared, err := h.reserve(fn)
	if err != nil {
		return Response{}, err
	}
	config := fn.config.Load()
	inv := &invocation{
		requestID: requestID,
		trace:     h.traceFor(ctx),
		payload:   payload,
		timeout:   config.Timeout,
		memoryMB:  config.MemoryMB,
		taken:     make(chan struct{}),
		result:    make(chan outcome, 1),
	}
	answered := make(chan outcome, 1)
	go func() { //nolint:contextcheck // the function goes on when its caller has left
		defer h.release(fn, shared)
		end, inst := h.run(fn, inv)
		duration := h.cfg.Now().Sub(inv.start)
		answered <- end
		h.report(fn, inst, inv, end, duration)
	}()
	select {
	case end := <-answered:
		return Response{RequestID: requestID, Payload: end.payload, FunctionError: end.functionError, ExecutedVersion: latestVersion}, nil
	case <-ctx.Done():
		return Response{}, fmt.Errorf("invoke %s: %w", fn.name, ctx.Err())
	}
}

// run finds or starts a process for inv and lets it serve it. A warm process
// that died before it took the work is replaced. The instance is nil when there
// never was one.
func (h *Host) run(fn *function, inv *invocation) (outcome, *instance) {
	inv.start = h.cfg.Now()
	for {
		inst := h.takeIdle(fn)
		if inst == nil {
			var failed outcome
			if inst, failed = h.coldStart(fn, inv); inst == nil {
				return failed, nil
			}
		}
		inst.log.printf("START RequestId: %s Version: %s", inv.requestID, latestVersion)
		undisturb := inst.disturb(inv)
		end, err := inst.serve(inv)
		undisturb()
		if errors.Is(err, errNotTaken) {
			continue
		}
		inv.maxMemoryMB = peakMemoryMB(inst.proc.PID())
		if end.reset {
			inst.shutdown(0)
		} else {
			h.park(inst)
		}
		return end, inst
	}
}

// coldStart starts a process and waits until it asks for work. As on AWS a
// failed initialization is tried once more, then within the function's time-out.
func (h *Host) coldStart(fn *function, inv *invocation) (*instance, outcome) {
	var failed outcome
	for _, limit := range []time.Duration{h.cfg.InitTimeout, inv.timeout} {
		if buildError := fn.config.Load().BuildError; buildError != "" {
			return nil, failure(errorBuild, fmt.Sprintf("function %s was not built: %s", fn.name, buildError))
		}
		began := h.cfg.Now()
		inst, err := h.startInstance(fn)
		if err != nil {
			return nil, h.startFailure(fn, inv, err)
		}
		timer := time.NewTimer(limit)
		select {
		case <-inst.ready:
			timer.Stop()
			inv.start = h.cfg.Now()
			inv.initDuration = inv.start.Sub(began)
			return inst, outcome{}
		case <-inst.proc.Done():
			timer.Stop()
			failed = inst.exitFailure(inv)
		case <-timer.C:
			inst.shutdown(0)
			failed = failure(errorTimeout, timeoutMessage(h.cfg.Now(), inv.requestID, limit))
		}
		inst.log.printf("INIT_REPORT Init Duration: %.2f ms\tPhase: init\tStatus: error\tError Type: %s",
			milliseconds(h.cfg.Now().Sub(began)), errorTypeOf(failed.payload))
		h.cfg.Logger.Warn("function failed to initialize", "function", fn.name, "error", string(failed.payload), "stderr", inst.proc.Stderr())
		if h.isClosed() {
			return nil, failure(errorStopping, "RequestId: "+inv.requestID+" Error: the local Lambda host is stopping")
		}
	}
	return nil, failed
}

func (h *Host) startFailure(fn *function, inv *invocation, err error) outcome {
	h.cfg.Logger.Error("function's process did not start", "function", fn.name, "error", err)
	errorType := errorEntrypoint
	var credentials *credentialsError
	if errors.As(err, &credentials) {
		errorType = errorCredentials
	}
	return failure(errorType, fmt.Sprintf("RequestId: %s Error: %v", inv.requestID, err))
}

func (h *Host) isClosed() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.closed
}

// report writes the last lines of an invocation's log, after its answer.
func (h *Host) report(fn *function, inst *instance, inv *invocation, end outcome, duration time.Duration) {
	log := fn.log.stream()
	if inst != nil {
		log = inst.log
	}
	errorType, errorMessage := "", ""
	if end.functionError != "" {
		errorType, errorMessage = describeError(end.payload)
	}
	if errorType == errorTimeout {
		log.printf("%s", timeoutMessage(h.cfg.Now(), inv.requestID, inv.timeout))
	}
	log.printf("END RequestId: %s", inv.requestID)
	line := fmt.Sprintf("REPORT RequestId: %s\tDuration: %.2f ms\tBilled Duration: %d ms\tMemory Size: %d MB",
		inv.requestID, milliseconds(duration), billed(duration+inv.initDuration), inv.memoryMB)
	if inv.maxMemoryMB > 0 {
		line += fmt.Sprintf("\tMax Memory Used: %d MB", inv.maxMemoryMB)
	}
	if inv.initDuration > 0 {
		line += fmt.Sprintf("\tInit Duration: %.2f ms", milliseconds(inv.initDuration))
	}
	if errorType != "" {
		line += "\tStatus: error\tError Type: " + errorType
	}
	log.printf("%s", line)
	h.cfg.Observe(Report{
		Function: fn.name, RequestID: inv.requestID, Trace: inv.trace, Start: inv.start,
		Duration: duration, InitDuration: inv.initDuration, MaxMemoryMB: inv.maxMemoryMB,
		FunctionError: end.functionError, ErrorType: errorType, ErrorMessage: errorMessage,
	})
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// billed is the duration in whole milliseconds, rounded up.
func billed(d time.Duration) int64 {
	return int64((d + time.Millisecond - 1) / time.Millisecond)
}
