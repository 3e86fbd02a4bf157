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
	"time"
)

// Host runs functions.
type Host struct {
	cfg       Config
	functions map[string]*function // by name and by ARN
	api       *runtimeAPI
	async     *asyncInvoker

	mu         sync.Mutex
	instances  map[string]*instance // by token
	unreserved int                  // account concurrency that no function has reserved
	running    int                  // invocations that use it
	closed     bool

	work     sync.WaitGroup // invocations and watchers of processes
	stopReap context.CancelFunc
	closing  sync.Once
	closeErr error
}

// function is a hosted function. Host.mu guards what changes.
type function struct {
	Function
	log *lineLog

	generation int         // rises with each Swap
	idle       []*instance // most recently used last
	running    int         // invocations under way
}

// New prepares a Host. Nothing runs before Start.
func New(cfg Config) *Host {
	cfg.setDefaults()
	return &Host{cfg: cfg, instances: map[string]*instance{}}
}

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
		fn := &function{Function: declared.withDefaults(), log: &lineLog{out: h.logWriter(declared.Name)}}
		h.functions[fn.Name], h.functions[fn.ARN] = fn, fn
		h.unreserved -= max(fn.MaxConcurrency, 0)
	}
	if h.unreserved < 0 {
		errs = append(errs, fmt.Errorf("functions reserve %d more concurrent invocations than the account's %d",
			-h.unreserved, h.cfg.AccountConcurrency))
	}
	return errors.Join(errs...)
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

// Swap gives a function another binary. Invocations that begin from here on run
// the new one; those under way finish with the old one. A build error is cleared.
func (h *Host) Swap(name string, command []string) error {
	fn, err := h.lookup(name)
	if err != nil {
		return err
	}
	if len(command) == 0 {
		return fmt.Errorf("swap function %s: the command is empty", fn.Name)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fmt.Errorf("swap function %s: the local Lambda host is stopping", fn.Name)
	}
	fn.Command = append([]string(nil), command...)
	fn.BuildError = ""
	fn.generation++
	for _, inst := range fn.idle {
		h.work.Go(func() { inst.shutdown(shutdownGrace) })
	}
	fn.idle = nil
	return nil
}

func (h *Host) lookup(nameOrARN string) (*function, error) {
	if fn := h.functions[nameOrARN]; fn != nil {
		return fn, nil
	}
	if fn := h.functions[unqualified(nameOrARN)]; fn != nil {
		return fn, nil
	}
	return nil, &Error{Code: codeNotFound, Message: "Function not found: " + nameOrARN}
}

// reserve takes one of the concurrent invocations that fn may have.
func (h *Host) reserve(fn *function) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return &Error{Code: codeUnavailable, Message: "the local Lambda host is stopping"}
	case fn.MaxConcurrency != 0 && fn.running >= fn.MaxConcurrency:
		return &Error{Code: codeThrottled, Reason: "ReservedFunctionConcurrentInvocationLimitExceeded", Message: "Rate Exceeded."}
	case fn.MaxConcurrency == 0 && h.running >= h.unreserved:
		return &Error{Code: codeThrottled, Reason: "ConcurrentInvocationLimitExceeded", Message: "Rate Exceeded."}
	}
	fn.running++
	if fn.MaxConcurrency == 0 {
		h.running++
	}
	h.work.Add(1)
	return nil
}

// release ends what reserve began.
func (h *Host) release(fn *function) {
	h.mu.Lock()
	fn.running--
	if fn.MaxConcurrency == 0 {
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
