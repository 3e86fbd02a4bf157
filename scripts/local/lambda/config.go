package lambda

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/google/uuid"
)

// Limits of the Lambda service.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
const (
	// MaxSyncPayload is the largest event of a synchronous invocation: 6 MB, as Lambda counts it.
	MaxSyncPayload = 6291456
	// MaxResponse is the largest buffered answer, with the room that Lambda leaves for its envelope.
	MaxResponse = 6291556
	// MaxAsyncPayload is the largest event of an asynchronous invocation: 1 MiB since October 2025.
	MaxAsyncPayload = 1 << 20
	// MaxTimeout is the longest time-out that a function may have.
	MaxTimeout = 15 * time.Minute
)

const (
	defaultTimeout            = 3 * time.Second
	defaultMemoryMB           = 128
	defaultAccountConcurrency = 1000
	defaultAsyncConcurrency   = 16
	defaultIdleTimeout        = 5 * time.Minute
	defaultInitTimeout        = 10 * time.Second
	defaultInstanceLifetime   = time.Hour
	defaultAsyncMaxAge        = 6 * time.Hour
	defaultAsyncMaxRetries    = 2
)

// Function is one function to host.
type Function struct {
	Name string
	ARN  string // unqualified
	// Handler is what _HANDLER says. Empty: bootstrap.
	Handler string
	// Command is the binary and its arguments.
	Command []string
	// Dir is the working directory and LAMBDA_TASK_ROOT. Empty: the folder of the binary.
	Dir string
	// Env is the function's environment as the template declares it. What Lambda reserves wins.
	Env map[string]string
	// Timeout of one invocation, without initialization. Zero: 3 s.
	Timeout time.Duration
	// MemoryMB is what the function is told that it has; it is not enforced. Zero: 128.
	MemoryMB int
	// MaxConcurrency is the reserved concurrency: at most that many invocations at a time, set
	// apart from the account's. Zero: none is reserved. Negative: the function is switched off
	// (a reserved concurrency of 0).
	MaxConcurrency int
	// BuildError says why there is no binary. Every invocation then fails with it.
	BuildError string
	Async      AsyncConfig
}

// AsyncConfig says what becomes of asynchronous invocations.
type AsyncConfig struct {
	MaxAge     time.Duration // zero: 6 h
	MaxRetries *int          // after function errors; nil: 2
	OnSuccess  string        // ARN of a destination; empty: none
	OnFailure  string        // ARN of a destination; empty: none
	// DeadLetterARN is a queue or topic that receives the event itself; empty: none.
	DeadLetterARN string
}

// Credentials are what a function's process calls AWS with.
type Credentials struct {
	AccessKeyID     string
	SecretAccessKey string
	SessionToken    string
}

// Config configures a Host. Every field but Functions may be left out.
type Config struct {
	Functions []Function
	Region    string // empty: us-east-1

	// Env is added to every function's environment: AWS_ENDPOINT_URL, AWS_XRAY_DAEMON_ADDRESS.
	Env map[string]string
	// Credentials of a new process of a function. Nil: the process has none.
	Credentials func(ctx context.Context, function string) (Credentials, error)

	// AccountConcurrency is the account's limit of concurrent invocations. Zero: 1000.
	AccountConcurrency int
	// AsyncConcurrency bounds the asynchronous invocations that run at a time. Zero: 16.
	AsyncConcurrency int
	// AsyncStatePath is the file that keeps accepted asynchronous events over a kill of the
	// runtime. Empty: they are kept in memory only.
	AsyncStatePath string
	// RetryDelay is the wait before retry n (from 1) of an asynchronous invocation that failed.
	// Nil: 1 minute, then 2, as on AWS.
	RetryDelay func(retry int) time.Duration

	// IdleTimeout is how long a process that has nothing to do is kept. Zero: 5 minutes.
	IdleTimeout time.Duration
	// InitTimeout bounds a process's way to its first request for work. Zero: 10 s, as on AWS.
	InitTimeout time.Duration
	// InstanceLifetime is the age at which a process is replaced, so that its credentials are
	// renewed. Zero: 1 h.
	InstanceLifetime time.Duration

	// Logs is where a function's output goes, with Lambda's START, END and REPORT lines. Whole
	// lines are written, one call at a time for each function. Nil: nowhere.
	Logs func(function string) io.Writer
	// Observe is told of every invocation that has ended. It must not block.
	Observe func(Report)
	// Faults makes invocations go wrong on purpose. Nil: none.
	Faults Faults
	// Permit says why a function's role may not send to the ARN of a destination or dead-letter queue.
	// Nil: it may.
	Permit func(ctx context.Context, functionARN, destinationARN string) error
	// Deliver sends a record to the destination of an asynchronous invocation.
	Deliver func(ctx context.Context, destinationARN string, payload []byte) error
	// DeadLetter sends an event that could not be processed to a dead-letter queue, with string
	// attributes.
	DeadLetter func(ctx context.Context, arn string, body []byte, attributes map[string]string) error

	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
	NewID  func() string    // nil: random UUIDs; request ids, and the start of other identifiers
}

// Report is what is known of an invocation once it has ended.
type Report struct {
	Function      string
	RequestID     string
	Trace         Trace
	Start         time.Time
	Duration      time.Duration
	InitDuration  time.Duration // zero: the process was warm
	MaxMemoryMB   int           // zero: not known
	FunctionError string        // as in Response
	ErrorType     string        // of a function error, as far as it has one
	ErrorMessage  string        // likewise; its first 2 KB
}

func (c *Config) setDefaults() {
	setDefault(&c.Region, "us-east-1")
	setDefault(&c.AccountConcurrency, defaultAccountConcurrency)
	setDefault(&c.AsyncConcurrency, defaultAsyncConcurrency)
	setDefault(&c.IdleTimeout, defaultIdleTimeout)
	setDefault(&c.InitTimeout, defaultInitTimeout)
	setDefault(&c.InstanceLifetime, defaultInstanceLifetime)
	if c.RetryDelay == nil {
		c.RetryDelay = func(retry int) time.Duration { return time.Duration(retry) * time.Minute }
	}
	if c.Logs == nil {
		c.Logs = func(string) io.Writer { return io.Discard }
	}
	if c.Observe == nil {
		c.Observe = func(Report) {}
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

func (f Function) withDefaults() Function {
	setDefault(&f.Handler, "bootstrap")
	setDefault(&f.Timeout, defaultTimeout)
	setDefault(&f.MemoryMB, defaultMemoryMB)
	setDefault(&f.Async.MaxAge, defaultAsyncMaxAge)
	if f.Async.MaxRetries == nil {
		retries := defaultAsyncMaxRetries
		f.Async.MaxRetries = &retries
	}
	f.Command = slices.Clone(f.Command)
	f.Env = maps.Clone(f.Env)
	return f
}

func (f Function) validate() error {
	var errs []error
	if f.Name == "" || f.ARN == "" {
		errs = append(errs, errors.New("name and ARN are required"))
	}
	if len(f.Command) == 0 && f.BuildError == "" {
		errs = append(errs, errors.New("neither a command nor a build error is given"))
	}
	if f.Timeout < 0 || f.Timeout > MaxTimeout {
		errs = append(errs, fmt.Errorf("time-out %s is not between 0 and %s", f.Timeout, MaxTimeout))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("function %q: %w", f.Name, err)
	}
	return nil
}

func setDefault[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
