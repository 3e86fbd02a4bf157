// Package bus is EventBridge on this machine: event buses with rules, schedules (also those of
// EventBridge Scheduler), archives and replay, for what a template declares.
//
// What it promises: once a put is acknowledged its deliveries are on disk, and each is attempted
// until it succeeds, goes to the dead-letter queue of its target, or exhausts the retry policy of a
// target without one. That holds over a kill of the process at any point, not over a power cut. As
// on AWS, delivery is at least once and in no order. Hostile delivery (duplicates, delays, failures)
// is made by wrapping Config.Deliver.
//
// Stricter than AWS: a put on a bus that does not exist fails, and so does a configuration with a
// pattern, path, template or expression that cannot work.
package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

var errNotRunning = errors.New("the bus is not running")

// Bus takes events and hands them to the targets of the rules that match.
// It is safe for concurrent use.
type Bus struct {
	cfg   Config
	plan  atomic.Pointer[plan] // replaced whole
	files *fileLocks

	mu      sync.Mutex // guards what follows
	running bool
	begin   func(t *timer) // runs a timer; nil: the bus does not run
	events  *os.File       // nil when no file is wanted
	replays map[string]*Replay

	outbox *outbox
	cancel context.CancelFunc
	done   sync.WaitGroup
}

// New checks the configuration: an event pattern, expression or input that AWS or this package does
// not know is an error that names the rule.
func New(cfg Config) (*Bus, error) {
	if cfg.Deliver == nil {
		return nil, errors.New("bus: Deliver is not set")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.NewID == nil {
		cfg.NewID = uuid.NewString
	}
	if cfg.Backoff == nil {
		cfg.Backoff = exponential
	}
	if cfg.Observe == nil {
		cfg.Observe = func(string, json.RawMessage, int) {}
	}
	if cfg.Concurrency == 0 {
		cfg.Concurrency = 64
	}
	b := &Bus{cfg: cfg, files: newFileLocks(), replays: map[string]*Replay{}}
	p, err := b.compile(Declared{Buses: cfg.Buses, Rules: cfg.Rules, Archives: cfg.Archives, Schedules: cfg.Schedules})
	if err != nil {
		return nil, err
	}
	b.plan.Store(p)
	return b, nil
}

// Start opens the durable state, takes up the deliveries that were pending, and runs the schedules.
// It stops when ctx ends.
func (b *Bus) Start(ctx context.Context) error {
	if err := os.MkdirAll(filepath.Join(b.cfg.StateDir, "archives"), 0o700); err != nil {
		return fmt.Errorf("start bus: %w", err)
	}
	if err := b.dropUnfinished(); err != nil {
		return fmt.Errorf("start bus: %w", err)
	}
	var events *os.File
	if b.cfg.EventsPath != "" {
		var err error
		if events, err = os.OpenFile(b.cfg.EventsPath, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600); err != nil {
			return fmt.Errorf("start bus: %w", err)
		}
	}
	out, err := openOutbox(filepath.Join(b.cfg.StateDir, "bus.db"))
	if err != nil {
		if events != nil {
			events.Close()
		}
		return fmt.Errorf("start bus: %w", err)
	}
	for _, a := range b.plan.Load().archives {
		if err := a.prune(b.cfg.Now()); err != nil {
			b.cfg.Logger.Warn("archive could not be pruned", "archive", a.name, "error", err)
		}
	}
	ctx, b.cancel = context.WithCancel(ctx)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.outbox, b.events, b.running = out, events, true
	b.done.Go(func() { b.dispatch(ctx) })
	b.begin = func(t *timer) {
		ctx, stop := context.WithCancel(ctx)
		t.stop = stop
		b.done.Go(func() {
			defer stop()
			b.runTimer(ctx, *t)
		})
	}
	for _, t := range b.plan.Load().timers {
		b.begin(t)
	}
	return nil
}

// Close stops the bus and waits until every delivery under way has come to its end; those that
// have not succeeded are taken up by the next Start.
func (b *Bus) Close() error {
	if b.cancel == nil {
		return nil
	}
	b.cancel()
	b.mu.Lock() // whoever configures now finds that it is over
	b.begin = nil
	b.mu.Unlock()
	b.done.Wait()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.running {
		return nil
	}
	b.running = false
	err := b.outbox.close()
	if b.events != nil {
		err = errors.Join(err, b.events.Close())
	}
	return err
}

// Put puts one event of any source on its bus, as AWS services do, and returns its id once it is
// durable. (The HTTP API refuses sources that begin with "aws.".)
func (b *Bus) Put(ctx context.Context, e Entry) (string, error) {
	if fault := b.check(e); fault != nil {
		return "", fmt.Errorf("put event on bus %q: %w", e.Bus, fault)
	}
	if trace, _ := xray.FromContext(ctx); e.Trace == "" {
		e.Trace = trace.String()
	}
	ev := b.newEvent(e)
	if err := b.publish([]event{ev}); err != nil {
		return "", fmt.Errorf("put event on bus %q: %w", e.Bus, err)
	}
	return ev.ID, nil
}

// publish archives events, appends them to the events file and makes their deliveries durable.
func (b *Bus) publish(events []event) error {
	p := b.plan.Load()
	var deliveries []delivery
	var lines []byte
	var put []func()
	for _, ev := range events {
		raw, err := ev.encode()
		if err != nil {
			return err
		}
		lines = append(append(lines, raw...), '\n')
		for _, a := range p.archives {
			if err := a.add(ev, raw); err != nil {
				return err
			}
		}
		routed := b.route(p, ev, raw, nil)
		deliveries = append(deliveries, routed...)
		put = append(put, func() { b.cfg.Observe(ev.bus, raw, len(routed)) })
	}
	if err := b.store(lines, deliveries); err != nil {
		return err
	}
	for _, observe := range put {
		observe()
	}
	return nil
}

// store appends to the events file and makes deliveries durable.
func (b *Bus) store(lines []byte, deliveries []delivery) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.running {
		return errNotRunning
	}
	if b.events == nil {
		return b.outbox.add(deliveries)
	}
	undo, err := appendWhole(b.events, lines)
	if err != nil {
		return fmt.Errorf("append to the events file: %w", err)
	}
	if err := b.outbox.add(deliveries); err != nil {
		return errors.Join(err, undo())
	}
	return nil
}

// route makes the deliveries of an event: one for each target of each rule that matches. With only
// set, no other rules are considered.
func (b *Bus) route(p *plan, ev event, raw json.RawMessage, only map[string]bool) []delivery {
	var all []delivery
	for _, r := range p.rules {
		if r.bus != ev.bus || r.pattern == nil || only != nil && !only[r.ARN] || !r.pattern.Match(raw) {
			continue
		}
		for _, t := range r.targets {
			all = append(all, b.newDelivery(r, t, ev, raw))
		}
	}
	return all
}

func exponential(retry int) time.Duration {
	ceiling := time.Hour
	if retry < 12 {
		ceiling = time.Second << (retry - 1)
	}
	return rand.N(ceiling) + time.Millisecond
}
