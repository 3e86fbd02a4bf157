package stack

import (
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/lambda"
)

// Config says what to run and where. Assembly and State are required; ports
// that are zero are any free ones.
type Config struct {
	Assembly    string // the directory that `cdk synth` wrote
	State       string // the directory that everything is kept in
	Source      string // the Go module of the functions; empty: the directory that Assembly is in
	NodeModules string // where npm put the engines; empty: below Source

	APIPort     int // of the first HTTP API; further ones take any free port
	GatewayPort int
	IssuerPort  int
	ConsolePort int // of the page that shows it all
	// ConsoleMayMove makes the page take any free port when its own is taken.
	ConsoleMayMove bool

	// DynamoDBEndpoint of an engine that runs already; empty: one is started.
	DynamoDBEndpoint string
	// S3Argv starts the S3 engine's process; nil: this binary with s3.Command.
	S3Argv []string
	// Usage is the file to which what functions use of their roles is appended. Empty: nobody keeps it.
	Usage string
	// Reset throws the state away first.
	Reset bool

	Progress io.Writer    // what takes long is told here; nil: nowhere
	Logger   *slog.Logger // nil: silent
	Now      func() time.Time

	// Seams of tests and of deeper runtimes.
	Intercept  []gateway.Interceptor // may refuse calls to services
	OnInvoke   func(lambda.Report)   // is told of every invocation; nil: nobody
	OnCall     func(c *gateway.Call, status int, took time.Duration)
	RetryDelay func(retry int) time.Duration // of asynchronous invocations; nil: as on AWS
	// QueueRetryDelay is when a message that a function has failed can be received again. Nil: when
	// its visibility time-out ends, as on AWS.
	QueueRetryDelay *time.Duration
	// StreamRetryDelay is the wait before retry n (from 1) of a batch of a stream. Nil: longer each time,
	// up to 10 seconds.
	StreamRetryDelay func(retry int) time.Duration
}

func (c Config) withDefaults() (Config, error) {
	if c.Source == "" {
		c.Source = filepath.Dir(c.Assembly)
	}
	for _, p := range []*string{&c.Assembly, &c.State, &c.Source} {
		abs, err := filepath.Abs(*p)
		if err != nil {
			return c, fmt.Errorf("make %s absolute: %w", *p, err)
		}
		*p = abs
	}
	if c.NodeModules == "" {
		c.NodeModules = filepath.Join(c.Source, "node_modules")
	}
	if c.Progress == nil {
		c.Progress = io.Discard
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.OnInvoke == nil {
		c.OnInvoke = func(lambda.Report) {}
	}
	if c.OnCall == nil {
		c.OnCall = func(*gateway.Call, int, time.Duration) {}
	}
	return c, nil
}
