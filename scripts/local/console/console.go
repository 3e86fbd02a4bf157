// Package console is the page on which a developer sees the local runtime at
// work: functions with their durations and errors, queues and dead letters with
// a button to redrive them, the bus as it happens, traces as waterfalls, metrics,
// tables and buckets.
//
// What happens is told to a Console by the runtime's parts (Invoked, Requested,
// EventPut, Segment, Log). Those calls do not block and keep what they are told
// in rings of bounded size; the page is sent what changed a few times a second,
// and nothing is computed while nobody looks. So it stays live at a thousand
// events a second.
//
// The page is for this machine alone: it is served on 127.0.0.1, to requests
// whose Host says so (which stops DNS rebinding), under a content security policy
// without exceptions. What changes something also needs the token of this run,
// which only the page itself knows.
package console

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/emf"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// Queues looks into queues and redrives dead letters. *queue.Broker is one.
type Queues interface {
	Stats(queueARN string) (queue.Stats, error)
	Peek(queueARN string, n int) ([]queue.Received, error)
	Redrive(ctx context.Context, queueARN string) (moved int, err error)
}

// Queue is a queue to show.
type Queue struct {
	Name, ARN     string
	RedriveTarget string // ARN of its dead-letter queue; empty: none
}

// Resources are what the page lists.
type Resources struct {
	Functions []string // names
	Queues    []Queue
	Tables    []Table
	Buckets   []Bucket
}

// shown are the resources with what follows from them. It is never changed.
type shown struct {
	Resources
	labels labels
}

// Config configures a Console. Listener is required; what is left out is not shown.
type Config struct {
	Listener net.Listener

	Resources Resources // until Show says otherwise

	Broker  Queues      // needed to show queues
	Items   ItemScanner // needed to show tables
	Objects ObjectStore // needed to show buckets

	Chaos http.Handler // the test API of faults, below /chaos/; nil: there is none

	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
	Token  string           // of this run. Empty: a random one
}

// Console serves the page. It is safe for concurrent use.
type Console struct {
	cfg   Config
	run   string // tells pages of another run from those of this one
	shown atomic.Pointer[shown]

	functions *functionStats
	events    *eventRing
	traces    *xray.Store
	metrics   *emf.Store
	snapshot  *snapshot

	http   *http.Server
	life   context.Context //nolint:containedctx // ends the streams when the console closes
	end    context.CancelFunc
	served chan struct{}

	mu      sync.Mutex
	streams int
}

// New makes a console that takes notes from now on.
func New(cfg Config) (*Console, error) {
	if cfg.Listener == nil {
		return nil, errors.New("console: Listener is not set")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Token == "" {
		cfg.Token = rand.Text()
	}
	c := &Console{
		cfg: cfg, run: rand.Text(), functions: newFunctionStats(), events: newEventRing(),
		traces: xray.NewStore(0), metrics: emf.NewStore(), served: make(chan struct{}),
	}
	c.Show(cfg.Resources)
	c.snapshot = &snapshot{console: c}
	c.life, c.end = context.WithCancel(context.Background())
	return c, nil
}

// Show has the page list these resources from now on; pages that are open hear of
// it with the next tick. What is known of functions is kept.
func (c *Console) Show(r Resources) {
	c.functions.declare(r.Functions)
	c.shown.Store(&shown{Resources: r, labels: newLabels(r)})
}

// readHeaderTimeout bounds how long a client may take over a request's header.
const readHeaderTimeout = 10 * time.Second

// Start serves until Close.
func (c *Console) Start(context.Context) error {
	handler, err := c.handler()
	if err != nil {
		return err
	}
	c.http = &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderTimeout,
		ErrorLog: slog.NewLogLogger(c.cfg.Logger.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(c.served)
		if err := c.http.Serve(c.cfg.Listener); !errors.Is(err, http.ErrServerClosed) {
			c.cfg.Logger.Error("the console stopped", "error", err)
		}
	}()
	return nil
}

// Token is what every request that changes something carries in X-Console-Token.
func (c *Console) Token() string { return c.cfg.Token }

// URL is where the page is.
func (c *Console) URL() string { return "http://" + c.cfg.Listener.Addr().String() }

// Close ends the streams and stops serving.
func (c *Console) Close() error {
	c.end()
	if c.http == nil {
		return nil
	}
	err := c.http.Close()
	<-c.served
	if err != nil {
		return fmt.Errorf("close the console: %w", err)
	}
	return nil
}
