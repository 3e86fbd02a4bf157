package bus

import (
	"context"
	"encoding/json"
	"log/slog"
	"time"
)

// DefaultBus is the name of the bus that every account has; events of AWS services arrive there.
const DefaultBus = "default"

// Config configures a Bus. Deliver is required; every other function has a default.
type Config struct {
	Account string // 12 digits
	Region  string

	Buses     []EventBus // beside the default bus, which always exists
	Rules     []Rule
	Archives  []Archive
	Schedules []Schedule

	// StateDir holds deliveries under way and archives; both survive a kill of the process.
	StateDir string
	// EventsPath is the JSON-lines file to which every event put on any bus is appended,
	// as its targets see it, before the put is acknowledged. Empty: no such file.
	EventsPath string

	// Permit says why a rule or schedule, whose ARN is the source, may not send to a target or
	// dead-letter queue. Nil: it may.
	Permit func(ctx context.Context, source, targetARN string) error
	// Deliver sends one payload to a target by its ARN. An error is retried as the target's
	// policy says, except a *TargetError that is permanent. It may be called concurrently, and
	// it may be called again for a delivery that had succeeded when the process was killed.
	Deliver func(ctx context.Context, targetARN string, payload []byte) error
	// DeadLetter sends a message with string attributes to a dead-letter queue.
	// It must be set when a target names a dead-letter queue.
	DeadLetter func(ctx context.Context, queueARN string, body []byte, attributes map[string]string) error

	// Observe is told of every event once it is durable, with how many deliveries it makes. It
	// must not block and not change the event.
	Observe func(bus string, event json.RawMessage, deliveries int)
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
	NewID   func() string    // nil: a random UUID
	// Backoff is how long to wait before retry n, counted from 1. Nil: exponential from one
	// second to one hour, with full jitter.
	Backoff func(retry int) time.Duration
	// Concurrency bounds the deliveries under way at once. Zero: 64.
	Concurrency int
}

// EventBus is a custom event bus.
type EventBus struct {
	Name string
	ARN  string
}

// Rule selects events of one bus, or fires on a schedule, and sends them to its targets.
type Rule struct {
	Name    string
	ARN     string
	Bus     string          // name or ARN of its bus; empty: the default bus
	Pattern json.RawMessage // event pattern; empty for a rule that only has a schedule
	// Schedule is a rate(...) or cron(...) expression in UTC. AWS allows it on the default bus alone.
	Schedule string
	Disabled bool
	Targets  []Target
}

// Target is where a rule sends an event, and in which form. At most one of Input, InputPath and
// InputTransformer may be set; with none the target receives the event as it is.
type Target struct {
	ID               string
	ARN              string
	Input            string // constant JSON
	InputPath        string // JSON path such as $.detail
	InputTransformer *InputTransformer
	Retry            RetryPolicy
	DeadLetterARN    string // SQS queue; empty: an event that cannot be delivered is dropped, with a log
}

// InputTransformer builds a payload from a template whose <name> placeholders are filled from the event.
type InputTransformer struct {
	Paths    map[string]string // placeholder name to JSON path
	Template string
}

// RetryPolicy bounds how long a failing delivery is tried again.
type RetryPolicy struct {
	MaxAttempts *int          // retries after the first attempt, 0 to 185. Nil: 185
	MaxAge      time.Duration // 1 minute to 24 hours. Zero: 24 hours
}

// Archive keeps the events of one bus so that they can be replayed.
type Archive struct {
	Name      string
	ARN       string
	SourceARN string          // the bus
	Pattern   json.RawMessage // empty: every event
	Retention time.Duration   // zero: for ever
}

// Schedule is a schedule of EventBridge Scheduler.
type Schedule struct {
	Name       string
	ARN        string
	Expression string // rate(...), cron(...) or at(...)
	TimeZone   string // IANA name; empty: UTC
	Start, End time.Time
	Disabled   bool
	Target     Target // Input is its payload, in which <aws.scheduler.…> attributes are filled in
}

// Entry is an event to put on a bus.
type Entry struct {
	Bus        string // name or ARN; empty: the default bus
	Source     string
	DetailType string
	Detail     json.RawMessage // a JSON object
	Resources  []string
	Time       time.Time // zero: now
	Trace      string    // X-Ray header that targets are called with; empty: none
}

// TargetError is a delivery failure with the code that is shown in the dead-letter message.
type TargetError struct {
	Code      string // for example NO_PERMISSIONS or RESOURCE_NOT_FOUND
	Permanent bool   // retrying cannot help: the event goes to the dead-letter queue at once
	Err       error
}

func (e *TargetError) Error() string { return e.Code + ": " + e.Err.Error() }

func (e *TargetError) Unwrap() error { return e.Err }
