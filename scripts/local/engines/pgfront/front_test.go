package pgfront_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stowage-dev/stowage/scripts/local/authority"
	"github.com/stowage-dev/stowage/scripts/local/engines/pgbouncer"
	"github.com/stowage-dev/stowage/scripts/local/engines/pgfront"
	"github.com/stowage-dev/stowage/scripts/local/engines/postgres"
)

// token is what the front of these tests takes.
const token = "a-token"

func database(t *testing.T) *postgres.Engine {
	t.Helper()
	db, err := postgres.Start(t.Context(), postgres.Config{
		Dir: t.TempDir(), Program: postgres.Program("../../../../node_modules"), Databases: []string{"stowage"}, Settings: map[string]string{"fsync": "off"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// direct is the backend of a cluster's endpoint.
func direct(db *postgres.Engine) pgfront.Backend {
	return pgfront.Backend{Socket: filepath.Join(db.Socket(), ".s.PGSQL."+strconv.Itoa(db.Port()))}
}

func serve(t *testing.T, kind pgfront.Kind, ca *authority.Authority, backend pgfront.Backend) *pgfront.Front {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	issued, err := ca.Issue("127.0.0.1")
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := issued.TLS()
	if err != nil {
		t.Fatal(err)
	}
	f := pgfront.Serve(pgfront.Config{
		Kind: kind, Listener: l, Certificate: certificate, Backend: func() pgfront.Backend { return backend },
		Authenticate: func(_ context.Context, a pgfront.Attempt) error {
			if a.Password != token || a.Database != "stowage" {
				return errors.New("not the token")
			}
			return nil
		},
	})
	t.Cleanup(func() {
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func config(t *testing.T, f *pgfront.Front, ca *authority.Authority) *pgx.ConnConfig {
	t.Helper()
	cfg, err := pgx.ParseConfig("postgres://postgres@" + f.Address() + "/stowage?sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Password = token
	cfg.TLSConfig = &tls.Config{RootCAs: ca.Pool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec
	return cfg
}

func connect(t *testing.T, cfg *pgx.ConnConfig) *pgx.Conn {
	t.Helper()
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

func code(err error) string {
	var refused *pgconn.PgError
	if errors.As(err, &refused) {
		return refused.Code + " " + refused.Message
	}
	return ""
}

func TestRefusalsAreWordedAsRDSWordsThem(t *testing.T) {
	t.Parallel()
	db := database(t)
	for kind, want := range map[pgfront.Kind][2]string{
		pgfront.Proxy: {"28P01 The IAM authentication failed for the role postgres. Check the IAM token for this role and try again.",
			"28000 This RDS Proxy requires TLS connections"},
		pgfront.Cluster: {`28P01 PAM authentication failed for user "postgres"`, `28000 no pg_hba.conf entry for host "127.0.0.1", no encryption`},
	} {
		f := serve(t, kind, db.Authority(), direct(db))
		wrong, plain := config(t, f, db.Authority()), config(t, f, db.Authority())
		wrong.Password, plain.TLSConfig = "forged", nil
		for i, cfg := range []*pgx.ConnConfig{wrong, plain} {
			if _, err := pgx.ConnectConfig(t.Context(), cfg); code(err) != want[i] {
				t.Errorf("refused with %q, want %q (%v)", code(err), want[i], err)
			}
		}
	}
}

func TestAWrongAuthorityIsNotTrusted(t *testing.T) {
	t.Parallel()
	db := database(t)
	f := serve(t, pgfront.Proxy, db.Authority(), direct(db))
	other, err := authority.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := pgx.ConnectConfig(t.Context(), config(t, f, other)); err == nil || !strings.Contains(err.Error(), "unknown authority") {
		t.Errorf("error = %v", err)
	}
}

func TestBytesPassUntouchedAndReadersDoNotWrite(t *testing.T) {
	t.Parallel()
	db := database(t)
	backend := direct(db)
	conn := connect(t, config(t, serve(t, pgfront.Cluster, db.Authority(), backend), db.Authority()))
	big := bytes.Repeat([]byte{0, 1, 0xff, '\n'}, 1<<20)
	var echoed []byte
	if err := conn.QueryRow(t.Context(), "SELECT $1::bytea", big).Scan(&echoed); err != nil || !bytes.Equal(echoed, big) {
		t.Errorf("%d of %d bytes came back: %v", len(echoed), len(big), err)
	}
	backend.Options = "-c default_transaction_read_only=on"
	_, err := connect(t, config(t, serve(t, pgfront.Cluster, db.Authority(), backend), db.Authority())).Exec(t.Context(), "CREATE TABLE t ()")
	if !strings.HasPrefix(code(err), "25006") {
		t.Errorf("a write by a reader: %v", err)
	}
}

func TestAStatementIsCancelled(t *testing.T) {
	t.Parallel()
	db := database(t)
	conn := connect(t, config(t, serve(t, pgfront.Cluster, db.Authority(), direct(db)), db.Authority()))
	finished := make(chan error, 1)
	go func() {
		_, err := conn.Exec(context.Background(), "SELECT pg_sleep(600)")
		finished <- err
	}()
	for { // the statement may not have begun when it is cancelled for the first time
		if err := conn.PgConn().CancelRequest(t.Context()); err != nil {
			t.Fatal(err)
		}
		select {
		case err := <-finished:
			if !strings.HasPrefix(code(err), "57014") {
				t.Errorf("error = %v", err)
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func TestThroughThePooler(t *testing.T) {
	t.Parallel()
	program, err := pgbouncer.Find()
	if errors.Is(err, pgbouncer.ErrMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	db := database(t)
	pooler, err := pgbouncer.Start(t.Context(), pgbouncer.Config{
		Dir: t.TempDir(), Program: program, Authority: db.Authority(), Databases: []string{"stowage"},
		Server: pgbouncer.Server{Socket: db.Socket(), Port: db.Port(), Superuser: postgres.Superuser},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = pooler.Close() })
	backend := pgfront.Backend{Socket: pooler.Socket(), Password: pooler.Password()}
	f := serve(t, pgfront.Proxy, db.Authority(), backend)
	conn := connect(t, config(t, f, db.Authority()))
	var user string
	if err := conn.QueryRow(t.Context(), "SELECT session_user").Scan(&user); err != nil || user != "postgres" {
		t.Errorf("user = %q, %v", user, err)
	}
	unknown := config(t, f, db.Authority())
	unknown.User = "stranger"
	if _, err := pgx.ConnectConfig(t.Context(), unknown); err == nil {
		t.Error("a role that does not exist was let in")
	}
	f.Drop()
	if err := conn.Ping(t.Context()); err == nil {
		t.Error("a dropped connection answers")
	}
	connect(t, config(t, f, db.Authority()))
}

func TestAnEngineThatIsDownIsToldOf(t *testing.T) {
	t.Parallel()
	ca, err := authority.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	f := serve(t, pgfront.Cluster, ca, pgfront.Backend{Socket: filepath.Join(t.TempDir(), "nobody")})
	if _, err := pgx.ConnectConfig(t.Context(), config(t, f, ca)); !strings.HasPrefix(code(err), "57P03") {
		t.Errorf("error = %v", err)
	}
}

func TestASleepingDatabaseWakesForWhoeverAsks(t *testing.T) {
	t.Parallel()
	db := database(t)
	f := serve(t, pgfront.Cluster, db.Authority(), direct(db))
	before := connect(t, config(t, f, db.Authority()))
	const wake = 500 * time.Millisecond
	f.Pause(wake)
	if err := before.Ping(t.Context()); err == nil {
		t.Error("a paused database answers")
	}
	for i, longest := range []time.Duration{wake, 0} { // the second finds it awake
		began := time.Now()
		connect(t, config(t, f, db.Authority()))
		if took := time.Since(began); took < longest {
			t.Errorf("client %d waited for %s, the database wakes in %s", i, took, wake)
		}
	}
}

// A front takes whatever a stranger sends before it is let in.
func FuzzStartup(f *testing.F) {
	ca, err := authority.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	issued, err := ca.Issue("127.0.0.1")
	if err != nil {
		f.Fatal(err)
	}
	certificate, err := issued.TLS()
	if err != nil {
		f.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		f.Fatal(err)
	}
	front := pgfront.Serve(pgfront.Config{
		Listener: l, Certificate: certificate, Backend: func() pgfront.Backend { return pgfront.Backend{Socket: "/nowhere"} },
		Authenticate: func(context.Context, pgfront.Attempt) error { return errors.New("nobody is let in") },
	})
	f.Cleanup(func() { _ = front.Close() })
	f.Add([]byte{0, 0, 0, 8, 4, 210, 22, 47})
	f.Add(binary.BigEndian.AppendUint32(nil, 0xffffffff))
	f.Add([]byte("\x00\x00\x00\x11\x00\x03\x00\x00user\x00a\x00\x00"))
	f.Fuzz(func(t *testing.T, sent []byte) {
		conn, err := net.Dial("tcp", front.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = conn.Write(sent)
		if tcp, ok := conn.(*net.TCPConn); ok {
			_ = tcp.CloseWrite()
		}
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		answer, _ := io.ReadAll(conn) // until the front closes
		if bytes.Contains(answer, []byte{'R', 0, 0, 0, 8, 0, 0, 0, 0}) {
			t.Errorf("%q was let in", sent)
		}
	})
}
