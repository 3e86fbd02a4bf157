package lambda

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"
)

// asyncEvent is an accepted asynchronous invocation.
type asyncEvent struct {
	ID       string          `json:"id"` // its request id, the same for every attempt
	Function string          `json:"function"`
	Payload  json.RawMessage `json:"payload"`
	Trace    string          `json:"trace,omitempty"`
	Accepted time.Time       `json:"accepted"`
	Due      time.Time       `json:"due"`
	Retries  int             `json:"retries"` // after errors of the function
	Invokes  int             `json:"invokes"` // approximateInvokeCount
}

// Conditions of the records that destinations receive.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html
const (
	conditionSuccess   = "Success"
	conditionExhausted = "RetriesExhausted"
	conditionAged      = "EventAgeExceeded"
)

const (
	throttleDelayMin = time.Second
	throttleDelayMax = 5 * time.Minute
	deliveryAttempts = 3
	deadLetterDetail = 1024 // bytes of the error that a dead letter's attribute holds
)

// asyncInvoker runs asynchronous invocations.
type asyncInvoker struct {
	host   *Host
	store  eventStore
	ctx    context.Context //nolint:containedctx // of what runs in the background; it ends with the host
	cancel context.CancelFunc
	slots  chan struct{}

	mu      sync.Mutex
	stopped bool
	events  sync.WaitGroup
}

// eventStore keeps accepted events until they are done with.
type eventStore interface {
	save(e asyncEvent) error
	remove(id string) error
	load() ([]asyncEvent, error)
	close() error
}

func startAsync(h *Host) (*asyncInvoker, error) {
	var store eventStore = memoryStore{}
	if h.cfg.AsyncStatePath != "" {
		var err error
		if store, err = openEventFile(h.cfg.AsyncStatePath); err != nil {
			return nil, err
		}
	}
	pending, err := store.load()
	if err != nil {
		return nil, errors.Join(err, store.close())
	}
	a := &asyncInvoker{host: h, store: store, slots: make(chan struct{}, h.cfg.AsyncConcurrency)}
	a.ctx, a.cancel = context.WithCancel(context.Background())
	for _, e := range pending {
		if _, err := h.lookup(e.Function); err != nil {
			h.cfg.Logger.Warn("dropped an asynchronous event of a function that is gone", "function", e.Function, "requestId", e.ID)
			if err := store.remove(e.ID); err != nil {
				return nil, errors.Join(err, store.close())
			}
			continue
		}
		a.schedule(e)
	}
	return a, nil
}

// InvokeAsync accepts an event for a function and returns; the function runs
// later, at least once.
func (h *Host) InvokeAsync(ctx context.Context, function string, payload []byte) error {
	fn, err := h.lookup(function)
	if err != nil {
		return err
	}
	if len(payload) > MaxAsyncPayload {
		return &Error{Code: codeTooLarge, Message: fmt.Sprintf(
			"%d byte payload is too large for the Event invocation type (limit %d bytes)", len(payload), MaxAsyncPayload)}
	}
	if len(payload) == 0 {
		payload = []byte("{}")
	}
	if !json.Valid(payload) {
		return &Error{Code: codeBadContent, Message: "Could not parse request body into json"}
	}
	now := h.cfg.Now()
	return h.async.accept(asyncEvent{ //nolint:contextcheck // what is accepted outlives the call
		ID: h.cfg.NewID(), Function: fn.name, Payload: payload, Trace: h.traceFor(ctx).Header.String(), Accepted: now, Due: now,
	})
}

func (a *asyncInvoker) accept(e asyncEvent) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.stopped {
		return &Error{Code: codeUnavailable, Message: "the local Lambda host is stopping"}
	}
	if err := a.store.save(e); err != nil {
		return fmt.Errorf("accept event %s of %s: %w", e.ID, e.Function, err)
	}
	a.schedule(e)
	return nil
}

// schedule follows an event until it is done with or the host stops.
func (a *asyncInvoker) schedule(e asyncEvent) {
	a.events.Go(func() {
		for throttles := 0; ; {
			if !a.sleepUntil(e.Due) {
				return
			}
			done, throttled := a.attempt(&e)
			if done {
				a.forget(e)
				return
			}
			if throttled {
				throttles++
				e.Due = a.host.cfg.Now().Add(throttleDelay(throttles))
			}
			if a.ctx.Err() != nil { // what is saved is tried again by the next run
				return
			}
			if err := a.store.save(e); err != nil {
				a.host.cfg.Logger.Error("asynchronous event was not saved", "function", e.Function, "requestId", e.ID, "error", err)
			}
		}
	})
}

func throttleDelay(n int) time.Duration {
	return min(throttleDelayMax, throttleDelayMin<<min(n-1, 16))
}

func (a *asyncInvoker) sleepUntil(due time.Time) bool {
	if wait := due.Sub(a.host.cfg.Now()); wait > 0 {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-a.ctx.Done():
			return false
		}
	}
	return a.ctx.Err() == nil
}

// attempt runs the function once and says whether the event is done with.
func (a *asyncInvoker) attempt(e *asyncEvent) (done, throttled bool) {
	fn, err := a.host.lookup(e.Function)
	if err != nil {
		return true, false
	}
	config := fn.async()
	if a.host.cfg.Now().Sub(e.Accepted) > config.MaxAge {
		return a.fail(fn, *e, conditionAged, nil), false
	}
	select {
	case a.slots <- struct{}{}:
	case <-a.ctx.Done():
		return false, false
	}
	response, err := a.host.invoke(WithTrace(a.ctx, e.Trace), fn, e.ID, e.Payload)
	<-a.slots
	switch {
	case a.ctx.Err() != nil:
		return false, false
	case err != nil: // throttled
		return false, true
	}
	e.Invokes++
	if response.FunctionError == "" {
		return a.succeed(fn, *e, &response), false
	}
	if e.Retries >= *config.MaxRetries {
		return a.fail(fn, *e, conditionExhausted, &response), false
	}
	e.Retries++
	e.Due = a.host.cfg.Now().Add(a.host.cfg.RetryDelay(e.Retries))
	if e.Due.Sub(e.Accepted) > config.MaxAge {
		return a.fail(fn, *e, conditionAged, &response), false
	}
	return false, false
}

func (a *asyncInvoker) succeed(fn *function, e asyncEvent, response *Response) bool {
	return fn.async().OnSuccess == "" || a.deliver(fn, fn.async().OnSuccess, e, conditionSuccess, response)
}

// fail hands an event that is given up to the function's destination and
// dead-letter queue, and says whether that is done.
func (a *asyncInvoker) fail(fn *function, e asyncEvent, condition string, response *Response) bool {
	a.host.cfg.Logger.Warn("gave up an asynchronous event", "function", fn.name, "requestId", e.ID, "condition", condition, "invocations", e.Invokes)
	done := true
	if fn.async().OnFailure != "" {
		done = a.deliver(fn, fn.async().OnFailure, e, condition, response)
	}
	if fn.async().DeadLetterARN != "" {
		done = a.deadLetter(fn, e, response) && done
	}
	return done
}

// destinationRecord is what a destination of an asynchronous invocation receives.
type destinationRecord struct {
	Version         string          `json:"version"`
	Timestamp       string          `json:"timestamp"`
	RequestContext  requestContext  `json:"requestContext"`
	RequestPayload  json.RawMessage `json:"requestPayload"`
	ResponseContext *responseInfo   `json:"responseContext,omitempty"`
	ResponsePayload json.RawMessage `json:"responsePayload,omitempty"`
}

type requestContext struct {
	RequestID   string `json:"requestId"`
	FunctionARN string `json:"functionArn"`
	Condition   string `json:"condition"`
	InvokeCount int    `json:"approximateInvokeCount"`
}

type responseInfo struct {
	StatusCode      int    `json:"statusCode"`
	ExecutedVersion string `json:"executedVersion"`
	FunctionError   string `json:"functionError,omitempty"`
}

func (a *asyncInvoker) deliver(fn *function, arn string, e asyncEvent, condition string, response *Response) bool {
	record := destinationRecord{
		Version:        "1.0",
		Timestamp:      a.host.cfg.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		RequestContext: requestContext{e.ID, fn.arn + ":" + latestVersion, condition, e.Invokes},
		RequestPayload: e.Payload,
	}
	if response != nil {
		record.ResponseContext = &responseInfo{200, latestVersion, response.FunctionError}
		if json.Valid(response.Payload) {
			record.ResponsePayload = response.Payload
		}
	}
	body, err := json.Marshal(record)
	if err != nil {
		a.host.cfg.Logger.Error("record for a destination was not built", "function", fn.name, "requestId", e.ID, "error", err)
		return true
	}
	return a.persist(fn, e, arn, func(ctx context.Context) error {
		if a.host.cfg.Deliver == nil {
			return errors.New("the host has no way to deliver to destinations")
		}
		return a.host.cfg.Deliver(ctx, arn, body)
	})
}

func (a *asyncInvoker) deadLetter(fn *function, e asyncEvent, response *Response) bool {
	attributes := map[string]string{"RequestID": e.ID, "ErrorCode": "200"}
	if response != nil {
		message := string(response.Payload)
		attributes["ErrorMessage"] = message[:min(len(message), deadLetterDetail)]
	}
	return a.persist(fn, e, fn.async().DeadLetterARN, func(ctx context.Context) error {
		if a.host.cfg.DeadLetter == nil {
			return errors.New("the host has no way to send dead letters")
		}
		return a.host.cfg.DeadLetter(ctx, fn.async().DeadLetterARN, e.Payload, attributes)
	})
}

// persist tries a delivery some times. Like Lambda it then lets the record go,
// with a log; it is false when the host stopped before it came that far.
func (a *asyncInvoker) persist(fn *function, e asyncEvent, arn string, deliver func(context.Context) error) bool {
	var err error
	for n := range deliveryAttempts {
		if err = a.permit(fn, arn); err == nil {
			err = deliver(a.ctx)
		}
		if err == nil {
			return true
		}
		if !a.sleepUntil(a.host.cfg.Now().Add(throttleDelay(n + 1))) {
			return false
		}
	}
	a.host.cfg.Logger.Error("record of an asynchronous invocation was not delivered", "function", fn.name, "destination", arn, "requestId", e.ID, "error", err)
	return true
}

func (a *asyncInvoker) permit(fn *function, arn string) error {
	if a.host.cfg.Permit == nil {
		return nil
	}
	return a.host.cfg.Permit(a.ctx, fn.arn, arn)
}

func (a *asyncInvoker) forget(e asyncEvent) {
	if err := a.store.remove(e.ID); err != nil {
		a.host.cfg.Logger.Error("finished asynchronous event was not removed", "function", e.Function, "requestId", e.ID, "error", err)
	}
}

// stop refuses new events and wakes those that wait.
func (a *asyncInvoker) stop() {
	a.mu.Lock()
	a.stopped = true
	a.mu.Unlock()
	a.cancel()
}

func (a *asyncInvoker) wait()        { a.events.Wait() }
func (a *asyncInvoker) close() error { return a.store.close() }
