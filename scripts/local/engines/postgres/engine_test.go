package postgres_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	osexec "os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stowage-dev/stowage/scripts/local/authority"
	"github.com/stowage-dev/stowage/scripts/local/engines/postgres"
)

const modules = "../../../../node_modules"

func start(t *testing.T, dir string) *postgres.Engine {
	t.Helper()
	e, err := postgres.Start(t.Context(), postgres.Config{
		Dir: dir, Program: postgres.Program(modules), Databases: []string{"stowage"}, Settings: map[string]string{"fsync": "off"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return e
}

// config is of a client that connects by TCP as the master user.
func config(t *testing.T, e *postgres.Engine) *pgx.ConnConfig {
	t.Helper()
	cfg, err := pgx.ParseConfig("postgres://postgres@" + e.Address() + "/stowage?sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Password = e.Password()
	cfg.TLSConfig = &tls.Config{RootCAs: e.Authority().Pool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
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

func exec(t *testing.T, conn *pgx.Conn, statements ...string) {
	t.Helper()
	for _, s := range statements {
		if _, err := conn.Exec(t.Context(), s); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

func TestOnlyTLSWithThePasswordIsLetIn(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	var tlsVersion string
	if err := connect(t, config(t, e)).QueryRow(t.Context(), "SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid()").Scan(&tlsVersion); err != nil {
		t.Fatal(err)
	}
	if tlsVersion != "TLSv1.3" {
		t.Errorf("TLS version = %s", tlsVersion)
	}
	other, err := authority.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		change func(*pgx.ConnConfig)
		want   string
	}{
		"plaintext":         {func(c *pgx.ConnConfig) { c.TLSConfig = nil }, "no encryption"},
		"wrong password":    {func(c *pgx.ConnConfig) { c.Password += "x" }, "password authentication failed"},
		"another authority": {func(c *pgx.ConnConfig) { c.TLSConfig.RootCAs = other.Pool() }, "unknown authority"},
	} {
		cfg := config(t, e)
		tt.change(cfg)
		conn, err := pgx.ConnectConfig(t.Context(), cfg)
		if err == nil {
			_ = conn.Close(t.Context())
			t.Errorf("%s: let in", name)
		} else if !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestTheMasterUserIsWhatItIsOnAurora(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	conn := connect(t, config(t, e))
	exec(t, conn, "CREATE EXTENSION pg_trgm", "CREATE EXTENSION unaccent", "CREATE EXTENSION pgcrypto",
		"CREATE TABLE public.t (id int)", "CREATE ROLE app LOGIN", "GRANT rds_iam TO app", "GRANT SELECT ON t TO app")
	for statement, code := range map[string]string{
		"COPY t FROM PROGRAM 'true'":                 "42501", // insufficient_privilege
		"CREATE ROLE root SUPERUSER":                 "42501",
		"ALTER SYSTEM SET log_statement = 'all'":     "42501",
		"SELECT pg_read_file('/etc/passwd')":         "42501",
		"SET session_replication_role = 'replica'":   "42501",
		"ALTER ROLE rdsadmin PASSWORD 'not allowed'": "42501",
	} {
		_, err := conn.Exec(t.Context(), statement)
		var refused *pgconn.PgError
		if !errors.As(err, &refused) || refused.Code != code {
			t.Errorf("%s: %v", statement, err)
		}
	}
}

func TestWhatIsCommittedSurvivesKillAndRestart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := start(t, dir)
	exec(t, connect(t, config(t, e)), "CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
	address := e.Address()
	if err := e.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if e.Address() != address {
		t.Errorf("restarted at %s, not at %s", e.Address(), address)
	}
	exec(t, connect(t, config(t, e)), "INSERT INTO t VALUES (2)")
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	if conn, err := pgx.ConnectConfig(t.Context(), config(t, e)); err == nil {
		_ = conn.Close(t.Context())
		t.Error("a killed server answers")
	}
	if err := e.Close(); err != nil {
		t.Fatal(err)
	}
	var n int
	if err := connect(t, config(t, start(t, dir))).QueryRow(t.Context(), "SELECT count(*) FROM t").Scan(&n); err != nil || n != 2 {
		t.Errorf("rows = %d, %v", n, err)
	}
}

// After a kill the process id in the lock file may be anybody's.
func TestTheLockOfAKilledServerIsNotTakenForAnothers(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	e := start(t, dir)
	lock := filepath.Join(dir, "data", "postmaster.pid")
	raw, err := os.ReadFile(lock)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Kill(); err != nil {
		t.Fatal(err)
	}
	stranger := osexec.CommandContext(t.Context(), "sleep", "600") // not this process: PostgreSQL knows its parent
	if err := stranger.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = stranger.Process.Kill()
		_ = stranger.Wait() // it was killed
	})
	_, rest, _ := strings.Cut(string(raw), "\n")
	if err := os.WriteFile(lock, []byte(strconv.Itoa(stranger.Process.Pid)+"\n"+rest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := e.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	exec(t, connect(t, config(t, e)), "SELECT 1")
}

func TestAnUnaskedEndIsReported(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	if err := syscall.Kill(e.PID(), syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-e.Wait():
		if !strings.Contains(err.Error(), "PostgreSQL ended") {
			t.Errorf("error = %v", err)
		}
	case <-time.After(time.Minute):
		t.Error("nothing was reported")
	}
}

func TestTheSocketIsForItsOwner(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), strings.Repeat("long-", 20))} {
		e := start(t, dir)
		info, err := os.Stat(e.Socket())
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o700 {
			t.Errorf("%s has mode %v", e.Socket(), info.Mode())
		}
		cfg := config(t, e)
		cfg.Host, cfg.TLSConfig, cfg.Password, cfg.User = e.Socket(), nil, "", postgres.Superuser
		exec(t, connect(t, cfg), "SELECT 1")
	}
}

func TestAMissingEngineIsNamed(t *testing.T) {
	t.Parallel()
	_, err := postgres.Start(t.Context(), postgres.Config{Dir: t.TempDir(), Program: "nowhere"})
	if err == nil || !strings.Contains(err.Error(), "make setup") {
		t.Errorf("error = %v", err)
	}
}
