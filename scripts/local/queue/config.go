package queue

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"
)

// Limits of Amazon SQS.
// Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/quotas-messages.html
const (
	// MaxMessageBytes is the largest message, body and attributes together: 1 MiB since August
	// 2025. A batch may not be larger in total either.
	MaxMessageBytes = 1 << 20
	// MaxBatch is the most messages of one call.
	MaxBatch = 10
	// MaxInFlight is the most messages that may be received and not yet deleted.
	MaxInFlight = 120_000

	maxDelay          = 15 * time.Minute
	maxVisibility     = 12 * time.Hour
	maxWait           = 20 * time.Second
	minRetention      = time.Minute
	maxRetention      = 14 * 24 * time.Hour
	maxAttributes     = 10
	maxIDLength       = 128 // of message groups and deduplication ids
	deduplicateFor    = 5 * time.Minute
	sweepEvery        = time.Minute // of deduplication ids
	defaultVisibility = 30 * time.Second
	defaultRetention  = 4 * 24 * time.Hour
)

// Queue is one queue.
type Queue struct {
	Name string // ends with .fifo when FIFO
	ARN  string
	URL  string

	VisibilityTimeout *time.Duration // nil: 30 s
	Retention         time.Duration  // zero: 4 days
	Delay             time.Duration  // before a message can be received
	ReceiveWait       time.Duration  // of receive calls that do not say
	MaxMessageBytes   int            // zero: 1 MiB

	FIFO                      bool
	ContentBasedDeduplication bool

	// RedriveTarget is the ARN of the queue for messages that were received MaxReceiveCount times
	// and not deleted. Empty: none.
	RedriveTarget   string
	MaxReceiveCount int
}

// Config configures a Broker.
type Config struct {
	Queues []Queue
	// Path is the file that keeps the messages. Empty: they are kept in memory only.
	Path   string
	Region string // empty: us-east-1
	// Account is the SenderId of messages from the runtime. Empty: 000000000000.
	Account string

	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
	NewID  func() string    // nil: random UUIDs
}

func (c *Config) setDefaults() {
	setDefault(&c.Region, "us-east-1")
	setDefault(&c.Account, "000000000000")
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

func (q Queue) withDefaults() Queue {
	if q.VisibilityTimeout == nil {
		timeout := defaultVisibility
		q.VisibilityTimeout = &timeout
	}
	setDefault(&q.Retention, defaultRetention)
	setDefault(&q.MaxMessageBytes, MaxMessageBytes)
	return q
}

func (q Queue) validate() error {
	var errs []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			errs = append(errs, fmt.Errorf(format, args...))
		}
	}
	check(q.Name != "" && q.ARN != "", "name and ARN are required")
	check(isFIFOName(q.Name) == q.FIFO, "the name of a FIFO queue, and only that, ends with .fifo")
	if v := q.VisibilityTimeout; v != nil {
		check(*v >= 0 && *v <= maxVisibility, "visibility time-out %s is not between 0 and %s", *v, maxVisibility)
	}
	check(q.Retention == 0 || q.Retention >= minRetention && q.Retention <= maxRetention,
		"retention %s is not between %s and %s", q.Retention, minRetention, maxRetention)
	check(q.Delay >= 0 && q.Delay <= maxDelay, "delay %s is not between 0 and %s", q.Delay, maxDelay)
	check(q.ReceiveWait >= 0 && q.ReceiveWait <= maxWait, "receive wait %s is not between 0 and %s", q.ReceiveWait, maxWait)
	check(q.MaxMessageBytes == 0 || q.MaxMessageBytes >= 1024 && q.MaxMessageBytes <= MaxMessageBytes,
		"maximum message size %d is not between 1024 and %d", q.MaxMessageBytes, MaxMessageBytes)
	check((q.RedriveTarget == "") == (q.MaxReceiveCount == 0), "a redrive target needs a maximum receive count and the other way round")
	check(q.MaxReceiveCount >= 0 && q.MaxReceiveCount <= 1000, "maximum receive count %d is not between 1 and 1000", q.MaxReceiveCount)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("queue %q: %w", q.Name, err)
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
