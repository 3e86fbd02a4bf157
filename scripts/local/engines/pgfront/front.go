// Package pgfront is what clients of the local databases connect to: one endpoint of
// an RDS Proxy or of an Aurora cluster, in front of the engine that does the work.
//
// It ends TLS and refuses whoever comes without, asks for the password and has it
// verified as an IAM token, and then connects to the engine as that user and passes
// bytes both ways, untouched. What it refuses it refuses in PostgreSQL's protocol, as
// RDS does. A client that asks for a statement to be cancelled is let through, as the
// key that it must know has been given to it alone.
//
// A Front is safe for concurrent use.
package pgfront

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// handshakeTimeout is PostgreSQL's authentication_timeout.
const handshakeTimeout = time.Minute

// Kind is what the endpoint is one of: they word refusals differently.
type Kind int

// Kinds of endpoints.
const (
	Proxy Kind = iota
	Cluster
)

// Attempt is somebody who wants to be let in.
type Attempt struct {
	User     string
	Database string
	Password string // by IAM, a token
}

// Config says what to serve. Listener, Certificate, Authenticate and Backend are required.
type Config struct {
	Kind        Kind
	Listener    net.Listener // the Front closes it
	Certificate tls.Certificate
	// Authenticate says why somebody is not let in; nil lets them in. The client is not
	// told the reason, the log is.
	Authenticate func(context.Context, Attempt) error
	// Backend gives the engine that serves at this moment.
	Backend func() Backend
	Logger  *slog.Logger
}

// Backend is the engine behind a front, reached by a Unix socket.
type Backend struct {
	Socket string // path of the socket itself
	// Password is what the engine is given when it asks for one.
	Password string
	// DatabaseSuffix is added to the name of the database.
	DatabaseSuffix string
	// Options are the startup parameter of that name: "-c default_transaction_read_only=on".
	Options string
}

// Front serves one endpoint.
type Front struct {
	cfg  Config
	life context.Context //nolint:containedctx // ends with Close
	end  context.CancelFunc
	work sync.WaitGroup

	mu      sync.Mutex // guards the rest
	clients map[*session]struct{}
	closed  bool
	asleep  time.Duration // how long the next client waits for the database to wake
	wakes   time.Time     // when it is awake; zero while nobody has asked
}

// Serve starts serving the listener.
func Serve(cfg Config) *Front {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	f := &Front{cfg: cfg, clients: map[*session]struct{}{}}
	f.life, f.end = context.WithCancel(context.Background())
	f.work.Go(f.accept)
	return f
}

// Address is host:port of the endpoint.
func (f *Front) Address() string { return f.cfg.Listener.Addr().String() }

// Drop breaks every connection off, as an endpoint that fails over does.
func (f *Front) Drop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for s := range f.clients {
		s.close()
	}
}

// Pause breaks every connection off and has the endpoint sleep, as an Aurora database
// of 0 ACUs does when nobody is connected: whoever connects next wakes it, and waits, like
// all who come meanwhile, until wake has passed.
func (f *Front) Pause(wake time.Duration) {
	f.mu.Lock()
	f.asleep, f.wakes = wake, time.Time{}
	f.mu.Unlock()
	f.Drop()
}

// awake waits until the database is. False: the Front was closed.
func (f *Front) awake() bool {
	f.mu.Lock()
	if f.asleep > 0 && f.wakes.IsZero() {
		f.wakes = time.Now().Add(f.asleep)
	}
	left := time.Until(f.wakes)
	if left <= 0 {
		f.asleep = 0
	}
	f.mu.Unlock()
	if left <= 0 {
		return true
	}
	select {
	case <-f.life.Done():
		return false
	case <-time.After(left):
		return true
	}
}

// Close stops listening, breaks every connection off and returns when all is over.
func (f *Front) Close() error {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	f.end()
	err := f.cfg.Listener.Close()
	f.Drop()
	f.work.Wait()
	if err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("close %s: %w", f.Address(), err)
	}
	return nil
}

func (f *Front) accept() {
	for {
		conn, err := f.cfg.Listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // no more file descriptors: later there may be
			f.cfg.Logger.Warn("accept a database client", "error", err)
			select {
			case <-f.life.Done():
				return
			case <-time.After(50 * time.Millisecond):
			}
			continue
		}
		f.work.Go(func() { f.serve(conn) })
	}
}

// serve is the whole life of one connection.
func (f *Front) serve(conn net.Conn) {
	s := &session{cfg: &f.cfg, client: conn}
	defer s.close()
	if !f.enter(s) {
		return
	}
	defer f.leave(s)
	if !f.awake() {
		return
	}
	if err := conn.SetDeadline(time.Now().Add(handshakeTimeout)); err != nil {
		return
	}
	if err := s.handshake(f.life); err != nil {
		f.cfg.Logger.Warn("database client not let in", "endpoint", f.Address(), "user", s.user, "error", err)
		return
	}
	if s.server == nil { // it asked for a cancellation, or left
		return
	}
	if err := s.client.SetDeadline(time.Time{}); err != nil {
		return
	}
	s.relay()
}

func (f *Front) enter(s *session) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed {
		return false
	}
	f.clients[s] = struct{}{}
	return true
}

func (f *Front) leave(s *session) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.clients, s)
}
