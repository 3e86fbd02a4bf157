// Package postgres runs the PostgreSQL engine of the local runtime: real PostgreSQL
// 17 from npm, executed directly, with the roles that Aurora has.
//
// It listens in two places. TCP on 127.0.0.1 takes TLS alone and wants a password. The
// Unix socket lies in a directory that its owner alone may enter and asks for nothing:
// there the pooler and the front that verifies IAM tokens connect as whom they have
// authenticated.
//
// As on Aurora the master user is no superuser: it may create roles and databases, and
// it owns the databases that are declared. rdsadmin is the superuser.
//
// What is acknowledged survives a kill of the engine and of the runtime. All methods of
// Engine are safe for concurrent use, but calls of Restart and Kill must not overlap.
package postgres

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
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
	// startTimeout is generous: 60 ms were seen, and recovery after a kill takes longer.
	startTimeout = 60 * time.Second
	stopGrace    = 10 * time.Second
)

const (
	// Superuser is the role that RDS keeps for itself.
	Superuser = "rdsadmin"
	// DefaultMaster is the master user that Stowage's template names.
	DefaultMaster = "postgres"
)

// Config says what to run. Dir and Program are required.
type Config struct {
	// Dir keeps the data, the certificates and the socket. It is made when it is missing.
	Dir string
	// Program is the directory of the engine: see Program.
	Program string
	// Master is the user that owns the databases. Empty: DefaultMaster.
	Master string
	// Databases are created when they are missing.
	Databases []string
	// Settings are further lines of postgresql.conf, such as "fsync": "off".
	Settings map[string]string
	// Authority issues the server's certificate. Nil: one that is kept in Dir.
	Authority *authority.Authority
	Logger    *slog.Logger
	Stderr    io.Writer // the engine's log; nil: only its end is kept
}

// Engine is a running server with its databases in place.
type Engine struct {
	cfg       Config
	authority *authority.Authority
	password  string
	socket    string // directory of the Unix socket
	port      int
	user      unprivileged.User
	server    *child.Kept
	closing   chan struct{}
	once      sync.Once
	tasks     sync.WaitGroup
}

// Start runs the server, waits until it answers, and creates the roles and databases
// that are missing. It stops on Close, or when ctx ends.
func Start(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Master == "" {
		cfg.Master = DefaultMaster
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: cfg, authority: cfg.Authority, password: rand.Text(), server: child.NewKept("PostgreSQL"), closing: make(chan struct{})}
	if err := e.prepare(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL in %s: %w", cfg.Dir, err), e.removeSocket())
	}
	if err := e.run(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL in %s: %w", cfg.Dir, err), e.removeSocket())
	}
	if err := e.provision(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start PostgreSQL in %s: %w", cfg.Dir, err), e.Close())
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

// Address is host:port of the TCP listener, which takes TLS alone.
func (e *Engine) Address() string { return "127.0.0.1:" + strconv.Itoa(e.port) }

// Port is that of the TCP listener, and names the socket's file too.
func (e *Engine) Port() int { return e.port }

// Socket is the directory of the Unix socket, on which every role is trusted.
func (e *Engine) Socket() string { return e.socket }

// Password is that of the master user and of Superuser, new with each Start.
func (e *Engine) Password() string { return e.password }

// Authority is what a client must trust.
func (e *Engine) Authority() *authority.Authority { return e.authority }

// PID is the server's process, or 0 when it was killed.
func (e *Engine) PID() int { return e.server.PID() }

// Wait receives an error if the server ends without having been asked to.
func (e *Engine) Wait() <-chan error { return e.server.Wait() }

// Close stops the server, breaking connections off, and returns when it is gone.
func (e *Engine) Close() error {
	e.once.Do(func() { close(e.closing) })
	err := e.stop()
	e.tasks.Wait()
	return errors.Join(err, e.removeSocket())
}

// Kill ends the server as kill -9 of all its processes does. It stays dead until
// Restart; Wait does not tell of it.
func (e *Engine) Kill() error {
	return e.server.Kill()
}

// Restart kills the server, if it runs, and starts it again at the same address over
// the same data. It returns when the server answers.
func (e *Engine) Restart(ctx context.Context) error {
	err := e.Kill()
	if err == nil {
		err = e.launch()
	}
	if err == nil {
		err = e.awaitReady(ctx)
	}
	if err != nil {
		return fmt.Errorf("restart PostgreSQL: %w", err)
	}
	return nil
}

// stop shuts the server down as "fast" does: transactions are rolled back and clients
// are told.
func (e *Engine) stop() error {
	return e.server.Shutdown(syscall.SIGINT, stopGrace)
}

// removeSocket removes the socket's directory where it is a temporary one.
func (e *Engine) removeSocket() error {
	if e.socket == "" || filepath.Dir(e.socket) == filepath.Clean(e.cfg.Dir) {
		return nil
	}
	if err := os.RemoveAll(e.socket); err != nil {
		return fmt.Errorf("remove PostgreSQL's socket: %w", err)
	}
	return nil
}
