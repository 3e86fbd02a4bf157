package sources

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/google/uuid"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// Invoker runs a function and waits for its answer. *lambda.Host is one.
type Invoker interface {
	Invoke(ctx context.Context, function string, payload []byte) (lambda.Response, error)
}

// Queues is what the pollers of queue mappings need. *queue.Broker is one.
type Queues interface {
	Receive(ctx context.Context, queueARN string, in queue.ReceiveInput) ([]queue.Received, error)
	Delete(ctx context.Context, queueARN, receiptHandle string) error
	ChangeVisibility(ctx context.Context, queueARN, receiptHandle string, timeout time.Duration) error
}

// Sender puts a message on a queue. *queue.Broker is one.
type Sender interface {
	Send(ctx context.Context, queueARN string, m queue.Message) (queue.Sent, error)
}

// ObjectPutter writes an object, for on-failure destinations that are buckets.
type ObjectPutter interface {
	// PutObject writes with the rights of a function's role.
	PutObject(ctx context.Context, functionARN, bucket, key string, body []byte) error
}

// Limits of event source mappings.
// Source: https://docs.aws.amazon.com/lambda/latest/api/API_CreateEventSourceMapping.html
const (
	maxPayload          = lambda.MaxSyncPayload
	maxStandardBatch    = 10_000
	maxFIFOBatch        = 10
	maxStreamBatch      = 10_000
	maxWindow           = 5 * time.Minute
	maxParallelization  = 10
	minQueueConcurrency = 2
	maxQueueConcurrency = 1000

	defaultQueueBatch       = 10
	defaultStreamBatch      = 100
	defaultQueueConcurrency = 10
)

// QueueMapping connects a queue with a function.
type QueueMapping struct {
	ID          string
	QueueARN    string
	FunctionARN string
	Disabled    bool

	BatchSize int           // zero: 10. Over 10 needs a window and a standard queue
	Window    time.Duration // how long to gather a batch
	Filters   []string      // event patterns, one of which must match; none: everything
	// MaxConcurrency bounds the batches in the function at a time. Zero: 10 (AWS: as many as
	// the account allows).
	MaxConcurrency          int
	ReportBatchItemFailures bool
}

// StreamMapping connects a table's stream with a function.
type StreamMapping struct {
	ID          string
	Table       string // whose stream the engine knows under an ARN of its own
	StreamARN   string // as the template says; it stands in the events
	FunctionARN string
	Disabled    bool

	FromLatest bool          // where to begin, the first time: after the newest record; else at the oldest
	BatchSize  int           // zero: 100
	Window     time.Duration // how long to gather a batch
	Filters    []string      // event patterns, one of which must match; none: everything
	// ParallelizationFactor is how many batches of a shard may be in the function at a time,
	// never two with records of the same item. Zero: 1.
	ParallelizationFactor   int
	ReportBatchItemFailures bool
	BisectOnError           bool
	MaxRetries              int           // negative: until the record expires
	MaxRecordAge            time.Duration // zero: for ever
	OnFailureARN            string        // bucket (gets the payload) or queue (metadata only)
}

// Config configures a Runner.
type Config struct {
	Queues  []QueueMapping
	Streams []StreamMapping

	Invoker Invoker
	Broker  Queues // needed for Queues

	// StreamEndpoint is the URL of the engine that serves DynamoDB Streams; needed for Streams.
	StreamEndpoint string
	// StreamCredentials sign the calls to it. Empty: ones that no engine checks.
	StreamCredentials aws.Credentials
	// CheckpointPath is the file that keeps how far each shard has been read. Empty: memory.
	CheckpointPath string
	Sender         Sender       // for on-failure destinations that are queues
	Objects        ObjectPutter // for on-failure destinations that are buckets

	// Permit says why a function's role, with which Lambda reads its sources, may not do something.
	// Nil: it may.
	Permit func(ctx context.Context, functionARN, action, resource string) error
	// Delivery may make delivery hostile. Nil: PlainDelivery.
	Delivery Delivery
	// QueueRetryDelay is when a failed message can be received again. Nil: when its visibility
	// time-out ends, as on AWS.
	QueueRetryDelay *time.Duration
	// StreamRetryDelay is the wait before retry n (from 1) of a failed batch. Nil: exponential
	// from 100 ms to 10 s.
	StreamRetryDelay func(retry int) time.Duration

	// Origin is the trace that an item was last written in, by the table and the item's keys as
	// ItemKey gives them; streams carry no trace of their own. Nil: none is known.
	Origin func(table, item string) xray.Header

	Region string // empty: us-east-1
	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
	NewID  func() string    // nil: random UUIDs
}

func (c *Config) setDefaults() {
	setDefault(&c.Region, "us-east-1")
	if c.Delivery == nil {
		c.Delivery = PlainDelivery{}
	}
	if c.Permit == nil {
		c.Permit = func(context.Context, string, string, string) error { return nil }
	}
	if c.StreamRetryDelay == nil {
		c.StreamRetryDelay = func(retry int) time.Duration { return backoff(retry, 100*time.Millisecond, 10*time.Second) }
	}
	if c.StreamCredentials.AccessKeyID == "" {
		c.StreamCredentials = aws.Credentials{AccessKeyID: "runtime", SecretAccessKey: "runtime"}
	}
	if c.Origin == nil {
		c.Origin = func(string, string) xray.Header { return xray.Header{} }
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.NewID == nil {
		c.NewID = uuid.NewString
	}
}

func (m QueueMapping) withDefaults() QueueMapping {
	setDefault(&m.BatchSize, defaultQueueBatch)
	setDefault(&m.MaxConcurrency, defaultQueueConcurrency)
	return m
}

func (m StreamMapping) withDefaults() StreamMapping {
	setDefault(&m.BatchSize, defaultStreamBatch)
	setDefault(&m.ParallelizationFactor, 1)
	return m
}

func (m QueueMapping) validate() error {
	limit := maxStandardBatch
	if strings.HasSuffix(m.QueueARN, ".fifo") {
		limit = maxFIFOBatch
	}
	errs := []error{
		within("batch size", m.BatchSize, 1, limit),
		within("batching window", m.Window, 0, maxWindow),
		within("maximum concurrency", m.MaxConcurrency, minQueueConcurrency, maxQueueConcurrency),
	}
	if m.BatchSize > defaultQueueBatch && m.Window < time.Second {
		errs = append(errs, fmt.Errorf("batch size %d needs a batching window of at least 1 s", m.BatchSize))
	}
	return m.wrap(errors.Join(errs...))
}

func (m QueueMapping) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("event source mapping %s (%s to %s): %w", m.ID, m.QueueARN, m.FunctionARN, err)
}

func (m StreamMapping) validate() error {
	errs := []error{
		within("batch size", m.BatchSize, 1, maxStreamBatch),
		within("batching window", m.Window, 0, maxWindow),
		within("parallelization factor", m.ParallelizationFactor, 1, maxParallelization),
		within("maximum retry attempts", m.MaxRetries, -1, 10_000),
		within("maximum record age", m.MaxRecordAge, 0, 7*24*time.Hour),
	}
	if m.ID == "" || m.Table == "" || m.StreamARN == "" {
		errs = append(errs, errors.New("id, table and stream ARN are required"))
	}
	return m.wrap(errors.Join(errs...))
}

func (m StreamMapping) wrap(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("event source mapping %s (stream of %s to %s): %w", m.ID, m.Table, m.FunctionARN, err)
}

func within[T int | time.Duration](what string, value, low, high T) error {
	if value < low || value > high {
		return fmt.Errorf("%s %v is not between %v and %v", what, value, low, high)
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}

// backoff doubles from low to high.
func backoff(retry int, low, high time.Duration) time.Duration {
	return min(high, low<<min(max(retry-1, 0), 20))
}
