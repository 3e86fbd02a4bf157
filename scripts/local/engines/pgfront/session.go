package pgfront

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"

	"github.com/jackc/pgx/v5/pgproto3"
)

// session is one client with its connection to the engine.
type session struct {
	cfg  *Config
	user string

	mu     sync.Mutex // guards the connections against close
	client net.Conn
	server net.Conn // nil until the client is let in
	closed bool
}

// close breaks both connections off. It may be called at any time, and more than once.
func (s *session) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	_ = s.client.Close()
	if s.server != nil {
		_ = s.server.Close()
	}
}

// connected takes the connection to the engine, unless the session is over.
func (s *session) connected(server net.Conn) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		_ = server.Close()
		return net.ErrClosed
	}
	s.server = server
	return nil
}

// handshake lets the client in and connects it to the engine. No server and no error:
// there is nothing to relay.
func (s *session) handshake(ctx context.Context) error {
	start, err := s.startup()
	if err != nil || start == nil {
		return err
	}
	s.user = start.Parameters["user"]
	password, err := s.askPassword()
	if err != nil {
		return err
	}
	database := start.Parameters["database"]
	if database == "" {
		database = s.user
	}
	if err := s.cfg.Authenticate(ctx, Attempt{User: s.user, Database: database, Password: password}); err != nil {
		return errors.Join(err, s.refuse("28P01", s.unauthenticated()))
	}
	backend := s.cfg.Backend()
	start.Parameters["database"] = database + backend.DatabaseSuffix
	if backend.Options != "" {
		start.Parameters["options"] = backend.Options + " " + start.Parameters["options"]
	}
	return s.connect(ctx, backend, start)
}

// unauthenticated are RDS's own words.
func (s *session) unauthenticated() string {
	if s.cfg.Kind == Proxy {
		return fmt.Sprintf("The IAM authentication failed for the role %s. Check the IAM token for this role and try again.", s.user)
	}
	return fmt.Sprintf("PAM authentication failed for user %q", s.user)
}

func (s *session) unencrypted() string {
	if s.cfg.Kind == Proxy {
		return "This RDS Proxy requires TLS connections"
	}
	return fmt.Sprintf("no pg_hba.conf entry for host %q, no encryption", hostOf(s.client.RemoteAddr()))
}

func hostOf(a net.Addr) string {
	host, _, err := net.SplitHostPort(a.String())
	if err != nil {
		return a.String()
	}
	return host
}

// startup reads until the client has said, within TLS, who it is. It gives nil when
// there is nothing more to do for it.
func (s *session) startup() (*pgproto3.StartupMessage, error) {
	encrypted := false
	for {
		message, err := readStartup(s.client)
		if err != nil {
			return nil, err
		}
		switch m := message.(type) {
		case *pgproto3.SSLRequest:
			if encrypted {
				return nil, errors.New("TLS was asked for twice")
			}
			if err := s.encrypt(); err != nil {
				return nil, err
			}
			encrypted = true
		case *pgproto3.GSSEncRequest:
			if _, err := s.client.Write([]byte{'N'}); err != nil {
				return nil, fmt.Errorf("refuse GSSAPI: %w", err)
			}
		case *pgproto3.CancelRequest:
			return nil, s.cancel(m)
		case *pgproto3.StartupMessage:
			if !encrypted {
				s.user = m.Parameters["user"]
				return nil, errors.Join(errors.New("the client asked for no TLS"), s.refuse("28000", s.unencrypted()))
			}
			return m, nil
		}
	}
}

func (s *session) encrypt() error {
	if _, err := s.client.Write([]byte{'S'}); err != nil {
		return fmt.Errorf("begin TLS: %w", err)
	}
	secure := tls.Server(s.client, &tls.Config{Certificates: []tls.Certificate{s.cfg.Certificate}, MinVersion: tls.VersionTLS12})
	if err := secure.Handshake(); err != nil {
		return fmt.Errorf("begin TLS: %w", err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.client = secure
	return nil
}

// cancel passes a request to cancel a statement on to the engine.
func (s *session) cancel(m *pgproto3.CancelRequest) error {
	server, err := net.Dial("unix", s.cfg.Backend().Socket)
	if err != nil {
		return fmt.Errorf("connect to the engine: %w", err)
	}
	defer server.Close()
	request, err := m.Encode(nil)
	if err == nil {
		_, err = server.Write(request)
	}
	if err != nil {
		return fmt.Errorf("pass a cancellation on: %w", err)
	}
	_, _ = io.Copy(io.Discard, server) // it closes when it has seen to it
	return nil
}

func (s *session) askPassword() (string, error) {
	if err := send(s.client, &pgproto3.AuthenticationCleartextPassword{}); err != nil {
		return "", err
	}
	kind, body, err := readMessage(s.client)
	if err != nil {
		return "", err
	}
	var m pgproto3.PasswordMessage
	if kind != 'p' {
		return "", fmt.Errorf("a message %q in the place of a password", kind)
	}
	if err := m.Decode(body); err != nil {
		return "", fmt.Errorf("read the password: %w", err)
	}
	return m.Password, nil
}

// refuse tells the client why it is not served.
func (s *session) refuse(code, message string) error {
	return send(s.client, &pgproto3.ErrorResponse{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: code, Message: message})
}

// connect logs in to the engine as the client's user. From the engine's answer on the
// two speak with each other.
func (s *session) connect(ctx context.Context, backend Backend, start *pgproto3.StartupMessage) error {
	var dialer net.Dialer
	server, err := dialer.DialContext(ctx, "unix", backend.Socket)
	if err != nil {
		return errors.Join(fmt.Errorf("connect to the engine: %w", err), s.refuse("57P03", "the database system is starting up"))
	}
	if err := s.connected(server); err != nil {
		return fmt.Errorf("connect to the engine: %w", err)
	}
	if err := send(server, start); err != nil {
		return err
	}
	for {
		kind, body, err := readMessage(server)
		if err != nil {
			return fmt.Errorf("log in to the engine: %w", err)
		}
		if kind == 'R' && len(body) >= 4 && body[3] == pgproto3.AuthTypeCleartextPassword {
			if err := send(server, &pgproto3.PasswordMessage{Password: backend.Password}); err != nil {
				return err
			}
			continue
		}
		if err := writeMessage(s.client, kind, body); err != nil {
			return err
		}
		return nil
	}
}

// relay passes bytes both ways until either side is done.
func (s *session) relay() {
	var answers sync.WaitGroup
	answers.Go(func() {
		_, _ = io.Copy(s.client, s.server)
		s.close()
	})
	_, _ = io.Copy(s.server, s.client)
	s.close()
	answers.Wait()
}
