// Package lambda runs Lambda functions as AWS Lambda does: real binaries, each a
// process of its own for every concurrent invocation, which talk to one HTTP
// server that speaks the Lambda Runtime API.
//
// A process is started when no warm one is free, kept warm after its answer,
// and replaced when it has been idle for long, has become old, has crashed or
// was killed for a time-out. Errors have the shapes, types and messages that
// Lambda gives them; START, END and REPORT lines stand in the function's log.
//
// Synchronous invocations promise at most one run of the handler. Asynchronous
// ones are acknowledged once they are durable (see Config.AsyncStatePath) and
// run at least once, with Lambda's retries, maximum age, destinations and
// dead-letter queue.
//
// What differs from AWS: memory is not limited, /tmp is the machine's, a process
// is not frozen between invocations, and an idle one is ended by SIGKILL unless
// it registered as an extension (as lambda.WithEnableSIGTERM does), in which
// case SIGTERM comes first.
//
// All methods are safe for concurrent use.
package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// Host runs functions.
type Host struct {
	cfg   Config
	api   *runtimeAPI
	async *asyncInvoker

	mu         sync.Mutex
	functions  map[string]*function // by name and by ARN
	instances  map[string]*instance // by token
	unreserved int                  // account concurrency that no function has reserved
	running    int                  // invocations that use it
	closed     bool

	work     sync.WaitGroup // invocations and watchers of processes
	stopReap context.CancelFunc
	closing  sync.Once
	closeErr error
}

// function is a hosted function. Host.mu guards what changes, but for its
// configuration, which is replaced whole.
type function struct {
	name, arn string
	log       *lineLog
	config    atomic.Pointer[Function] // must not be changed

	generation int         // rises with each Swap and Put
	idle       []*instance // most recently used last
	running    int         // invocations under way
}

// New prepares a Host. Nothing runs before Start.
func New(cfg Config) *Host {
	cfg.setDefaults()
	return &Host{cfg: cfg, instances: map[string]*instance{}}
}

// async is what becomes of the function's asynchronous invocations.
func (fn *function) async() AsyncConfig { return fn.config.Load().Async }

// Start opens the Runtime API on a free port of 127.0.0.1 and takes up
// asynchronous events that a former run accepted. The host stops when ctx ends,
// or with Close.
func (h *Host) Start(ctx context.Context) error {
	if err := h.loadFunctions(); err != nil {
		return err
	}
	api, err := startRuntimeAPI(h)
	if err != nil {
		return err
	}
	h.api = api
	async, err := startAsync(h) //nolint:contextcheck // what was accepted ends with Close
	if err != nil {
		h.api = nil // Close has nothing to do
		return errors.Join(err, api.close())
	}
	h.async = async
	reapCtx, stop := context.WithCancel(ctx)
	h.stopReap = stop
	h.work.Go(func() { h.reap(reapCtx) })
	context.AfterFunc(ctx, func() {
		if err := h.Close(); err != nil {
			h.cfg.Logger.Error("lambda host did not stop cleanly", "error", err)
		}
	})
	return nil
}

func (h *Host) loadFunctions() error {
	h.functions = make(map[string]*function, 2*len(h.cfg.Functions))
	h.unreserved = h.cfg.AccountConcurrency
	var errs []error
	for _, declared := range h.cfg.Functions {
		if err := declared.validate(); err != nil {
			errs = append(errs, err)
			continue
		}
		if h.functions[declared.Name] != nil {
			errs = append(errs, fmt.Errorf("function %q is declared twice", declared.Name))
			continue
		}
		h.add(declared)
		h.unreserved -= max(declared.MaxConcurrency, 0)
	}
	if h.unreserved < 0 {
		errs = append(errs, fmt.Errorf("functions reserve %d more concurrent invocations than the account's %d",
			-h.unreserved, h.cfg.AccountConcurrency))
	}
	return errors.Join(errs...)
}

// add makes a declared function known.
func (h *Host) add(declared Function) {
	fn := &function{name: declared.Name, arn: declared.ARN, log: &lineLog{out: h.logWriter(declared.Name)}}
	config := declared.withDefaults()
	fn.config.Store(&config)
	h.functions[fn.name], h.functions[fn.arn] = fn, fn
}

func (h *Host) logWriter(name string) io.Writer {
	if w := h.cfg.Logs(name); w != nil {
		return w
	}
	return io.Discard
}

// Close stops taking invocations, kills every process and returns when all of
// them and all goroutines are gone. Invocations under way fail. It may be called
// more than once.
func (h *Host) Close() error {
	h.closing.Do(func() { h.closeErr = h.close() })
	return h.closeErr
}

func (h *Host) close() error {
	h.mu.Lock()
	h.closed = true
	instances := make([]*instance, 0, len(h.instances))
	for _, inst := range h.instances {
		instances = append(instances, inst)
	}
	h.mu.Unlock()
	if h.api == nil { // never started
		return nil
	}
	h.stopReap()
	h.async.stop()
	var stops sync.WaitGroup
	for _, inst := range instances {
		stops.Go(func() { inst.shutdown(shutdownGrace) })
	}
	stops.Wait()
	h.async.wait()
	h.work.Wait()
	return errors.Join(h.async.close(), h.api.close())
}

// lookup finds a function by its name or ARN.
func (h *Host) lookup(nameOrARN string) (*function, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.find(nameOrARN)
}

// find is lookup for who holds Host.mu.
func (h *Host) find(nameOrARN string) (*function, error) {
	if fn := h.functions[nameOrARN]; fn != nil {
		return fn, nil
	}
	if fn := h.functions[unqualified(nameOrARN)]; fn != nil {
		return fn, nil
	}
	return nil, &Error{Code: codeNotFound, Message: "Function not found: " + nameOrARN}
}

// reserve takes one of the concurrent invocations that fn may have, and says
// whether it is one of those that functions share.
func (h *Host) reserve(fn *function) (shared bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	limit := fn.config.Load().MaxConcurrency
	switch {
	case h.closed:
		return false, &Error{Code: codeUnavailable, Message: "the local Lambda host is stopping"}
	case limit != 0 && fn.running >= limit:
		return false, &Error{Code: codeThrottled, Reason: "ReservedFunctionConcurrentInvocationLimitExceeded", Message: "Rate Exceeded."}
	case limit == 0 && h.running >= h.unreserved:
		return false, &Error{Code: codeThrottled, Reason: "ConcurrentInvocationLimitExceeded", Message: "Rate Exceeded."}
	}
	fn.running++
	if limit == 0 {
		h.running++
	}
	h.work.Add(1)
	return limit == 0, nil
}

// release ends what reserve began.
func (h *Host) release(fn *function, shared bool) {
	h.mu.Lock()
	fn.running--
	if shared {
		h.running--
	}
	h.mu.Unlock()
	h.work.Done()
}

// takeIdle returns the warm instance of fn that was used last, or nil.
func (h *Host) takeIdle(fn *function) *instance {
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(fn.idle) == 0 {
		return nil
	}
	inst := fn.idle[len(fn.idle)-1]
	fn.idle = fn.idle[:len(fn.idle)-1]
	return inst
}

// park keeps an instance for the next invocation, unless it has served its time.
func (h *Host) park(inst *instance) {
	now := h.cfg.Now()
	h.mu.Lock()
	keep := !h.closed && inst.generation == inst.fn.generation &&
		now.Sub(inst.started) < h.cfg.InstanceLifetime && h.instances[inst.token] == inst
	if keep {
		inst.lastUsed = now
		inst.fn.idle = append(inst.fn.idle, inst)
	}
	h.mu.Unlock()
	if !keep {
		h.work.Go(func() { inst.shutdown(shutdownGrace) })
	}
}

// forget drops an instance whose process has ended.
func (h *Host) forget(inst *instance) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.instances, inst.token)
	for i, other := range inst.fn.idle {
		if other == inst {
			inst.fn.idle = append(inst.fn.idle[:i], inst.fn.idle[i+1:]...)
			break
		}
	}
}

// reap ends processes that have been idle for long.
func (h *Host) reap(ctx context.Context) {
	ticker := time.NewTicker(max(h.cfg.IdleTimeout/4, time.Millisecond))
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		for _, inst := range h.takeExpired() {
			inst.shutdown(shutdownGrace)
		}
	}
}

func (h *Host) takeExpired() []*instance {
	oldest := h.cfg.Now().Add(-h.cfg.IdleTimeout)
	h.mu.Lock()
	defer h.mu.Unlock()
	var expired []*instance
	for _, fn := range h.functions {
		for len(fn.idle) > 0 && fn.idle[0].lastUsed.Before(oldest) {
			expired = append(expired, fn.idle[0])
			fn.idle = fn.idle[1:]
		}
	}
	return expired
}
