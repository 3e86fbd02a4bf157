// Package dynamodb runs the DynamoDB engine of the local runtime: dynoxide, a
// single binary that speaks the DynamoDB and DynamoDB Streams protocols over one
// SQLite file, or any other DynamoDB-compatible endpoint.
//
// What is acknowledged survives a kill of the runtime. The engine verifies no
// signatures and knows no policies: only the gateway may talk to it.
package dynamodb

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

const (
	// startTimeout is generous: the engine was seen to be ready in 10 ms.
	startTimeout = 15 * time.Second
	stopGrace    = 3 * time.Second
	// DefaultSweep is how often expired items are looked for. DynamoDB itself
	// promises days; a developer wants to see it happen.
	DefaultSweep = 10 * time.Second
)

// Config says what to run.
type Config struct {
	// Endpoint of an engine that already runs; empty: Program is started.
	Endpoint string
	Program  string // path of the dynoxide binary
	DBPath   string // the database file
	Tables   []Table
	Sweep    time.Duration // zero: DefaultSweep
	Logger   *slog.Logger
	Stderr   io.Writer // the engine's own output; nil: only its end is kept
}

// Engine is a running engine with its tables in place. It is safe for concurrent use.
type Engine struct {
	cfg      Config
	endpoint string
	ports    ports
	life     context.Context //nolint:containedctx // of the process, which Restart replaces
	died     chan error
	closing  chan struct{}
	once     sync.Once
	tasks    sync.WaitGroup // the sweeper and the watch over the process

	mu      sync.Mutex     // guards process
	process *child.Process // nil when the endpoint was given
}

// ports are what the engine listens on: for calls, and for the sweeper.
type ports struct{ serve, sweep int }

// Program is where npm puts the engine for this machine.
func Program(nodeModules string) string {
	arch := map[string]string{"amd64": "x64", "arm64": "arm64"}[runtime.GOARCH]
	return filepath.Join(nodeModules, "@dynoxide", runtime.GOOS+"-"+arch, "dynoxide")
}

// Start runs the engine, waits until it answers and brings its tables into the
// declared state. The engine stops on Close, or when ctx ends.
func Start(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Sweep == 0 {
		cfg.Sweep = DefaultSweep
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: cfg, endpoint: cfg.Endpoint, life: ctx, died: make(chan error, 1), closing: make(chan struct{})}
	if cfg.Endpoint == "" {
		if err := e.run(ctx); err != nil {
			return nil, err
		}
	}
	if err := e.provision(ctx); err != nil {
		return nil, errors.Join(err, e.Close())
	}
	return e, nil
}

// Endpoint is the engine's base URL.
func (e *Engine) Endpoint() string { return e.endpoint }

// PID is the engine's process, or 0 when the endpoint was given.
func (e *Engine) PID() int {
	if p := e.current(); p != nil {
		return p.PID()
	}
	return 0
}

func (e *Engine) current() *child.Process {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.process
}

// Wait receives an error if the engine ends without having been asked to.
func (e *Engine) Wait() <-chan error { return e.died }

// Close stops the engine and returns when it is gone.
func (e *Engine) Close() error {
	e.once.Do(func() {
		e.mu.Lock() // a restart begins before it or not at all
		defer e.mu.Unlock()
		close(e.closing)
	})
	var err error
	if p := e.current(); p != nil {
		err = p.Stop(stopGrace)
	}
	e.tasks.Wait()
	return err
}

// run starts the process on free ports. A port that was free can be taken
// before the engine listens, so it tries again.
func (e *Engine) run(ctx context.Context) error {
	if _, err := os.Stat(e.cfg.Program); err != nil {
		return fmt.Errorf("find the DynamoDB engine: %w; run `make setup`, or set STOWAGE_DYNAMODB_ENDPOINT to any DynamoDB-compatible endpoint", err)
	}
	if err := createDatabase(e.cfg.DBPath); err != nil {
		return fmt.Errorf("start the DynamoDB engine: %w", err)
	}
	const attempts = 3
	var err error
	for range attempts {
		if e.ports, err = freePorts(); err != nil {
			return err
		}
		if err = e.launch(ctx); err == nil {
			return nil
		}
	}
	return fmt.Errorf("start the DynamoDB engine: %w", err)
}

// launch starts the process on e.ports. It stops with ctx.
func (e *Engine) launch(ctx context.Context) error {
	token := rand.Text()
	cmd := exec.Command(e.cfg.Program, "serve", "--host", "127.0.0.1", "--port", strconv.Itoa(e.ports.serve), "--db-path", e.cfg.DBPath,
		"--mcp", "--mcp-host", "127.0.0.1", "--mcp-port", strconv.Itoa(e.ports.sweep))
	cmd.Env = append(os.Environ(), "DYNOXIDE_MCP_AUTH_TOKEN="+token)
	cmd.Stdout, cmd.Stderr = e.cfg.Stderr, e.cfg.Stderr
	if cmd.Stderr == nil {
		cmd.Stdout = io.Discard
	}
	process, err := child.Start(cmd)
	if err != nil {
		return err
	}
	endpoint := "http://127.0.0.1:" + strconv.Itoa(e.ports.serve)
	if err := awaitReady(ctx, endpoint, process); err != nil {
		return errors.Join(err, process.Stop(0))
	}
	e.mu.Lock()
	e.process, e.endpoint = process, endpoint
	e.mu.Unlock()
	sweeper := &sweeper{url: "http://127.0.0.1:" + strconv.Itoa(e.ports.sweep) + "/mcp", token: token, logger: e.cfg.Logger}
	life, end := context.WithCancel(ctx)
	e.tasks.Go(func() { sweeper.run(life, e.cfg.Sweep) })
	e.tasks.Go(func() {
		defer end()
		e.watch(ctx, process)
	})
	return nil
}

// watch reports the end of the process, unless it was asked for.
func (e *Engine) watch(ctx context.Context, process *child.Process) {
	select {
	case <-process.Done():
	case <-ctx.Done():
		_ = process.Stop(stopGrace) // Close reports what it cannot stop
		return
	case <-e.closing:
		return
	}
	if e.closed() || e.current() != process { // Restart has killed it
		return
	}
	err := process.Err()
	if err == nil {
		err = errors.New("it exited with status 0")
	}
	e.died <- fmt.Errorf("the DynamoDB engine ended: %w", err)
}

// freePorts finds ports that nothing listens on.
func freePorts() (ports, error) {
	var found ports
	for _, port := range []*int{&found.serve, &found.sweep} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return found, fmt.Errorf("find a free port: %w", err)
		}
		defer l.Close()
		addr, ok := l.Addr().(*net.TCPAddr)
		if !ok {
			return found, fmt.Errorf("find a free port: %s is no TCP address", l.Addr())
		}
		*port = addr.Port
	}
	return found, nil
}

// awaitReady polls until the engine answers, or has died.
func awaitReady(ctx context.Context, endpoint string, process *child.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	client := newClient(endpoint)
	for {
		err := ping(ctx, client)
		if err == nil {
			return nil
		}
		select {
		case <-process.Done():
			if cause := process.Err(); cause != nil {
				return cause
			}
			return errors.New("it exited before it was ready")
		case <-ctx.Done():
			return fmt.Errorf("no answer within %s: %w", startTimeout, err)
		case <-time.After(2 * time.Millisecond):
		}
	}
}
