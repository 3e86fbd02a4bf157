// Package bus is EventBridge on this machine: event buses with rules, schedules, archives and
// replay, for what a template declares.
package bus

import (
	"context"
	"net/http"
)

// Bus takes events and hands them to the targets of the rules that match.
// It is safe for concurrent use.
type Bus struct {
	cfg Config
}

// New checks the configuration: an event pattern, expression or input that AWS or this package does
// not know is an error that names the rule.
func New(cfg Config) (*Bus, error) { return &Bus{cfg: cfg}, nil }

// Start opens the durable state and begins to deliver; it stops when ctx ends.
func (b *Bus) Start(ctx context.Context) error { return nil }

// Close waits until every delivery under way has come to its end.
func (b *Bus) Close() error { return nil }

// Put puts one event of any source on its bus and returns its id once it is durable.
func (b *Bus) Put(ctx context.Context, e Entry) (string, error) { return "", nil }

// ServeHTTP answers EventBridge's JSON protocol.
func (b *Bus) ServeHTTP(w http.ResponseWriter, r *http.Request) {}
