package pgbouncer_test

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stowage-dev/stowage/scripts/local/engines/pgbouncer"
	"github.com/stowage-dev/stowage/scripts/local/engines/postgres"
)

// program is the path of pgbouncer. Where there is none the test is skipped, in CI it
// fails: scripts/setup-ci installs it.
func program(t *testing.T) string {
	t.Helper()
	path, err := pgbouncer.Find()
	if errors.Is(err, pgbouncer.ErrMissing) && os.Getenv("CI") != "true" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func start(t *testing.T, change func(*pgbouncer.Config)) (*postgres.Engine, *pgbouncer.Engine) {
	t.Helper()
	path := program(t)
	db, err := postgres.Start(t.Context(), postgres.Config{
		Dir: t.TempDir(), Program: postgres.Program("../../../../node_modules"), Databases: []string{"stowage"}, Settings: map[string]string{"fsync": "off"},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	cfg := pgbouncer.Config{
		Dir: t.TempDir(), Program: path, Authority: db.Authority(), Databases: []string{"stowage"},
		Server: pgbouncer.Server{Socket: db.Socket(), Port: db.Port(), Superuser: postgres.Superuser},
	}
	if change != nil {
		change(&cfg)
	}
	e, err := pgbouncer.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := e.Close(); err != nil {
			t.Error(err)
		}
	})
	return db, e
}

func config(t *testing.T, e *pgbouncer.Engine) *pgx.ConnConfig {
	t.Helper()
	cfg, err := pgx.ParseConfig("postgres://postgres@" + e.Address() + "/stowage?sslmode=require")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Password = e.Password()
	cfg.TLSConfig = &tls.Config{RootCAs: e.Authority().Pool(), ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
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

func TestOnlyTLSWithThePasswordIsLetIn(t *testing.T) {
	t.Parallel()
	_, e := start(t, nil)
	var user string
	if err := connect(t, config(t, e)).QueryRow(t.Context(), "SELECT session_user").Scan(&user); err != nil || user != "postgres" {
		t.Fatalf("user = %q, %v", user, err)
	}
	for name, tt := range map[string]struct {
		change func(*pgx.ConnConfig)
		want   string
	}{
		"plaintext":      {func(c *pgx.ConnConfig) { c.TLSConfig = nil }, "SSL required"},
		"wrong password": {func(c *pgx.ConnConfig) { c.Password += "x" }, "password authentication failed"},
		"unknown role":   {func(c *pgx.ConnConfig) { c.User = "stranger" }, "no such user"},
		"no login":       {func(c *pgx.ConnConfig) { c.User = "rds_iam" }, "no such user"},
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

// Two clients share one connection, so what the one prepares by name stands in the
// other's way: RDS Proxy would have pinned the connection.
func TestNamedStatementsFailWhereRDSProxyPins(t *testing.T) {
	t.Parallel()
	_, e := start(t, func(c *pgbouncer.Config) { c.ServerConnections = 1 })
	failed := 0
	for _, mode := range []pgx.QueryExecMode{pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeExec} {
		cfg := config(t, e)
		cfg.DefaultQueryExecMode = mode
		first, second := connect(t, cfg), connect(t, cfg)
		for range 3 {
			for _, conn := range []*pgx.Conn{first, second} {
				var n int
				if err := conn.QueryRow(t.Context(), "SELECT $1::int", 7).Scan(&n); err != nil {
					if mode != pgx.QueryExecModeCacheStatement {
						t.Errorf("%v: %v", mode, err)
					}
					failed++
				}
			}
		}
	}
	if failed == 0 {
		t.Error("named statements passed: this is no transaction mode")
	}
}

func TestTheReaderRefusesWrites(t *testing.T) {
	t.Parallel()
	_, e := start(t, nil)
	cfg := config(t, e)
	cfg.Database += pgbouncer.ReaderSuffix
	_, err := connect(t, cfg).Exec(t.Context(), "CREATE TABLE t (id int)")
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != "25006" {
		t.Errorf("error = %v", err)
	}
}

func TestATransactionWaitsForAConnectionAndNotForEver(t *testing.T) {
	t.Parallel()
	_, e := start(t, func(c *pgbouncer.Config) { c.ServerConnections, c.BorrowTimeout = 1, time.Second })
	holder, waiting := connect(t, config(t, e)), connect(t, config(t, e))
	tx, err := holder.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	_, err = waiting.Exec(t.Context(), "SELECT 1")
	if err == nil || !strings.Contains(err.Error(), "query_wait_timeout") {
		t.Errorf("a transaction without a connection: %v", err)
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := connect(t, config(t, e)).Exec(t.Context(), "SELECT 1"); err != nil {
		t.Errorf("with the connection given back: %v", err)
	}
}

// Both are killed while clients write: each write that was acknowledged is there.
func TestKillsOfBothLoseNothingThatWasAcknowledged(t *testing.T) {
	t.Parallel()
	db, e := start(t, nil)
	if _, err := connect(t, config(t, e)).Exec(t.Context(), "CREATE TABLE t (id int PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	var clients sync.WaitGroup
	done := make(chan struct{})
	acknowledged := make([][]int, 4)
	for client := range acknowledged {
		clients.Go(func() { acknowledged[client] = write(t.Context(), config(t, e), client, done) })
	}
	for range 2 {
		if err := e.Restart(t.Context()); err != nil {
			t.Error(err)
		}
		if err := db.Restart(t.Context()); err != nil {
			t.Error(err)
		}
	}
	close(done)
	clients.Wait()
	conn := connect(t, config(t, e))
	for _, ids := range acknowledged {
		var found int
		if err := conn.QueryRow(t.Context(), "SELECT count(*) FROM t WHERE id = ANY($1)", ids).Scan(&found); err != nil || found != len(ids) {
			t.Errorf("%d of %d acknowledged rows are there: %v", found, len(ids), err)
		}
	}
}

// write inserts rows, connecting anew after each failure, and returns the ids that
// were acknowledged; after done it stops with the first that is.
func write(ctx context.Context, cfg *pgx.ConnConfig, client int, done <-chan struct{}) []int {
	var ids []int
	for id := client * 1_000_000; ctx.Err() == nil; {
		conn, err := pgx.ConnectConfig(ctx, cfg.Copy())
		for ; err == nil; id++ {
			if _, err = conn.Exec(ctx, "INSERT INTO t VALUES ($1)", id); err != nil {
				continue
			}
			ids = append(ids, id)
			select {
			case <-done:
				_ = conn.Close(ctx)
				return ids
			default:
			}
		}
		if conn != nil {
			_ = conn.Close(ctx)
		}
	}
	return ids
}
