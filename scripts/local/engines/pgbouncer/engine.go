// Package pgbouncer runs the stand-in for RDS Proxy: pgbouncer in transaction mode,
// with TLS required.
//
// It is stricter than RDS Proxy. Where RDS Proxy pins a connection to its client for
// what it cannot multiplex (named prepared statements, session state), pgbouncer fails
// or mixes clients up, so that what passes here pins nothing there.
//
// It gets to PostgreSQL by the Unix socket, as the role that a client authenticated as.
// By TCP every role that may log in has one password, that of the Engine: the front that
// verifies IAM tokens knows it, and so do tests.
package pgbouncer

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/authority"
	"github.com/stowage-dev/stowage/scripts/local/child"
	"github.com/stowage-dev/stowage/scripts/local/unprivileged"
)

const (
	startTimeout = 30 * time.Second
	stopGrace    = 3 * time.Second
	// loginRetry is for how long a server that refused a connection is not asked again.
	// pgbouncer's own 15 s would be most of an outage's length.
	loginRetry = 100 * time.Millisecond
)

// Settings of the pool that stand for those of RDS Proxy.
const (
	// DefaultServerConnections is how many connections to PostgreSQL a database has for
	// each role.
	DefaultServerConnections = 20
	// DefaultClients is how many clients may be connected.
	DefaultClients = 1000
	// DefaultBorrowTimeout is what RDS Proxy waits for a free connection.
	// https://docs.aws.amazon.com/AmazonRDS/latest/APIReference/API_ConnectionPoolConfiguration.html
	DefaultBorrowTimeout = 120 * time.Second
	// ReaderSuffix makes the name of the read-only twin of a database.
	ReaderSuffix = "_reader"
	// Admin is the user that may connect to the database "pgbouncer" and ask what it does.
	Admin = "stowage_admin"
)

// Config says what to run. Dir, Program, Server and Databases are required.
type Config struct {
	Dir     string // keeps the configuration; made when it is missing
	Program string // path of pgbouncer: see Find
	// Server is where PostgreSQL is: the directory of its socket, and its port.
	Server Server
	// Databases are what clients may connect to; each has a read-only twin.
	Databases []string
	// ServerConnections is per database and role. Zero: DefaultServerConnections.
	ServerConnections int
	// Clients is how many may be connected. Zero: DefaultClients.
	Clients int
	// BorrowTimeout is how long a transaction waits for a connection. Zero: DefaultBorrowTimeout.
	BorrowTimeout time.Duration
	// Authority issues the certificate. Nil: one that is kept in Dir.
	Authority *authority.Authority
	Stderr    io.Writer // pgbouncer's log; nil: only its end is kept
}

// Server is where PostgreSQL listens, and whom it trusts to look at its roles.
type Server struct {
	Socket    string
	Port      int
	Superuser string
}

// Engine is a running pgbouncer. Its methods are safe for concurrent use, but calls of
// Restart and Kill must not overlap.
type Engine struct {
	cfg       Config
	authority *authority.Authority
	password  string
	port      int
	user      unprivileged.User
	process   *child.Kept
	closing   chan struct{}
	once      sync.Once
	tasks     sync.WaitGroup
}

// ErrMissing says that this machine has no pgbouncer.
var ErrMissing = errors.New("there is no pgbouncer: install it (Debian: apt-get install pgbouncer; macOS: brew install pgbouncer)")

// Find looks for pgbouncer on the PATH and where Debian puts it, which is not on
// everybody's PATH. Without one the error is ErrMissing.
func Find() (string, error) {
	for _, name := range []string{"pgbouncer", "/usr/sbin/pgbouncer"} {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path) //nolint:wrapcheck // it says what failed
		}
	}
	return "", ErrMissing
}

// Start runs pgbouncer and waits until it listens; PostgreSQL need not run yet. It
// stops on Close, or when ctx ends.
func Start(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.ServerConnections == 0 {
		cfg.ServerConnections = DefaultServerConnections
	}
	if cfg.Clients == 0 {
		cfg.Clients = DefaultClients
	}
	if cfg.BorrowTimeout == 0 {
		cfg.BorrowTimeout = DefaultBorrowTimeout
	}
	e := &Engine{cfg: cfg, authority: cfg.Authority, password: rand.Text(), process: child.NewKept("pgbouncer"), closing: make(chan struct{})}
	if err := e.start(ctx); err != nil {
		return nil, fmt.Errorf("start pgbouncer in %s: %w", cfg.Dir, err)
	}
	e.tasks.Go(func() {
		select {
		case <-ctx.Done():
			_ = e.stop() // Close reports what it cannot stop
		case <-e.closing:
		}
	})
	return e, nil
}

// Address is host:port of the listener.
func (e *Engine) Address() string { return "127.0.0.1:" + strconv.Itoa(e.port) }

// Socket is the path of the Unix socket, on which the password is asked for too.
func (e *Engine) Socket() string {
	return filepath.Join(e.cfg.Server.Socket, ".s.PGSQL."+strconv.Itoa(e.port))
}

// Password is that of every role, new with each Start.
func (e *Engine) Password() string { return e.password }

// Authority is what a client must trust.
func (e *Engine) Authority() *authority.Authority { return e.authority }

// PID is pgbouncer's process, or 0 when it was killed.
func (e *Engine) PID() int { return e.process.PID() }

// Wait receives an error if pgbouncer ends without having been asked to.
func (e *Engine) Wait() <-chan error { return e.process.Wait() }

// Close stops pgbouncer, breaking connections off, and returns when it is gone.
func (e *Engine) Close() error {
	e.once.Do(func() { close(e.closing) })
	err := e.stop()
	e.tasks.Wait()
	return err
}

// Kill ends pgbouncer as kill -9 does. It stays dead until Restart; Wait does not tell
// of it.
func (e *Engine) Kill() error {
	return e.process.Kill()
}

// Restart kills pgbouncer, if it runs, and starts it again at the same address. It
// returns when it listens.
func (e *Engine) Restart(ctx context.Context) error {
	err := e.Kill()
	if err == nil {
		err = e.launch(ctx)
	}
	if err != nil {
		return fmt.Errorf("restart pgbouncer: %w", err)
	}
	return nil
}

// stop sends SIGTERM, on which pgbouncer ends at once.
func (e *Engine) stop() error {
	return e.process.Shutdown(syscall.SIGTERM, stopGrace)
}

// start prepares the directory and runs pgbouncer on a free port. A port that was free
// can be taken before pgbouncer listens, so it tries again.
func (e *Engine) start(ctx context.Context) error {
	if err := e.prepare(ctx); err != nil {
		return err
	}
	const attempts = 3
	var err error
	for range attempts {
		if e.port, err = freePort(); err != nil {
			return err
		}
		if err = e.configure(); err != nil {
			return err
		}
		if err = e.launch(ctx); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}

func (e *Engine) prepare(ctx context.Context) error {
	for _, path := range []*string{&e.cfg.Dir, &e.cfg.Program, &e.cfg.Server.Socket} { // it runs in another directory
		var err error
		if *path, err = filepath.Abs(*path); err != nil {
			return err //nolint:wrapcheck // it says what failed
		}
	}
	if err := os.MkdirAll(e.cfg.Dir, 0o700); err != nil {
		return err //nolint:wrapcheck // it names the directory
	}
	var err error
	if e.authority == nil {
		if e.authority, err = authority.Open(filepath.Join(e.cfg.Dir, "authority")); err != nil {
			return err
		}
	}
	e.user, err = unprivileged.Choose(ctx, e.cfg.Program, "--version")
	return err
}

// launch starts the process and waits until it listens.
func (e *Engine) launch(ctx context.Context) error {
	cmd := exec.Command(e.cfg.Program, filepath.Join(e.cfg.Dir, configFile))
	cmd.Stdout, cmd.Stderr = e.cfg.Stderr, e.cfg.Stderr
	e.user.Apply(cmd)
	process, err := child.Start(cmd)
	if err != nil {
		return fmt.Errorf("run it: %w", err)
	}
	e.process.Run(process)
	if err := e.awaitReady(ctx, process); err != nil {
		return errors.Join(err, e.Kill())
	}
	return nil
}

// awaitReady polls until pgbouncer listens, or has died.
func (e *Engine) awaitReady(ctx context.Context, process *child.Process) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	var dialer net.Dialer
	for {
		conn, err := dialer.DialContext(ctx, "tcp", e.Address())
		if err == nil {
			return conn.Close() //nolint:wrapcheck // a socket that was just opened
		}
		select {
		case <-process.Done():
			if cause := process.Err(); cause != nil {
				return cause
			}
			return errors.New("it exited before it listened")
		case <-ctx.Done():
			return fmt.Errorf("it does not listen after %s: %w", startTimeout, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	addr, ok := l.Addr().(*net.TCPAddr)
	if !ok {
		return 0, fmt.Errorf("find a free port: %s is no TCP address", l.Addr())
	}
	return addr.Port, nil
}
