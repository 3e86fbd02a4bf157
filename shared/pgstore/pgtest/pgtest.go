// Package pgtest gives tests a real PostgreSQL server and databases with the schema.
//
// A test binary calls Main from its TestMain; each test then takes a database of its own,
// so that all of them run in parallel against one server. Only tests import it.
package pgtest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/scripts/local/engines/pgbouncer"
	"github.com/stowage-dev/stowage/scripts/local/engines/postgres"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/migrate"
	"github.com/stowage-dev/stowage/shared/pgstore/migrations"
)

// The roles of the schema, and the master user.
const (
	Writer  = "ledger_writer"
	API     = "ledger_api"
	Checker = "ledger_check"
	Master  = postgres.DefaultMaster
)

// Server is a running PostgreSQL with the roles of the schema.
type Server struct {
	*postgres.Engine
	password string // of the schema's roles

	mu sync.Mutex // migrations of two databases would race to make the roles
}

// shared is the server of the test binary.
var shared *Server

// Main runs the tests of a package with a server, and returns what os.Exit wants.
func Main(m *testing.M) int { return Run(m.Run) }

// Run is Main for tests that want another engine besides.
func Run(tests func() int) int {
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	defer os.RemoveAll(dir)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	shared, err = Start(ctx, dir, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, "pgtest:", err)
		return 1
	}
	defer func() { _ = shared.Close() }()
	return tests()
}

// Shared is the server of the test binary.
func Shared() *Server { return shared }

// Start runs a server of its own, for a test that kills it, or a benchmark.
func Start(ctx context.Context, dir string, settings map[string]string) (*Server, error) {
	modules, err := nodeModules()
	if err != nil {
		return nil, err
	}
	if settings == nil {
		settings = map[string]string{"fsync": "off", "max_connections": "300"}
	}
	engine, err := postgres.Start(ctx, postgres.Config{Dir: dir, Program: postgres.Program(modules), Settings: settings})
	if err != nil {
		return nil, fmt.Errorf("start PostgreSQL: %w", err)
	}
	return &Server{Engine: engine, password: randomName()}, nil
}

// nodeModules finds where npm puts the engine: beside go.mod.
func nodeModules() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the working directory: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return filepath.Join(dir, "node_modules"), nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory: run tests within the repository")
		}
		dir = parent
	}
}

func randomName() string {
	b := make([]byte, 8)
	if _, err := io.ReadFull(rand.Reader, b); err != nil {
		panic(err)
	}
	return hex.EncodeToString(b)
}

// Database is a database of a server.
type Database struct {
	Server *Server
	Name   string
}

// New returns a database with the newest schema, dropped after the test.
func New(tb testing.TB) *Database {
	tb.Helper()
	return NewAt(tb, shared, migrations.Latest())
}

// NewAt returns a database of a server with one version of the schema; 0 is none.
func NewAt(tb testing.TB, s *Server, version int64) *Database {
	tb.Helper()
	d, err := s.Create(tb.Context(), version)
	if err != nil {
		tb.Fatal(err)
	}
	if s != shared { // it goes with its server
		return d
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := d.drop(ctx); err != nil {
			tb.Logf("drop database %s: %v", d.Name, err)
		}
	})
	return d
}

// Create makes a database with one version of the schema.
func (s *Server) Create(ctx context.Context, version int64) (*Database, error) {
	d := &Database{Server: s, Name: "t" + randomName()}
	admin, err := s.Admin(ctx, "postgres")
	if err != nil {
		return nil, err
	}
	defer func() { _ = admin.Close(ctx) }()
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+pgx.Identifier{d.Name}.Sanitize()+" OWNER "+Master); err != nil {
		return nil, fmt.Errorf("create database %s: %w", d.Name, err)
	}
	if version == 0 {
		return d, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, err := migrate.To(ctx, d.Config(Master), slog.New(slog.DiscardHandler), version); err != nil {
		return nil, err
	}
	for _, role := range []string{Writer, API, Checker} {
		if _, err := admin.Exec(ctx, "ALTER ROLE "+role+" PASSWORD '"+s.password+"'"); err != nil {
			return nil, fmt.Errorf("give %s a password: %w", role, err)
		}
	}
	return d, nil
}

// Admin connects as the superuser, whom row-level security does not bind.
func (s *Server) Admin(ctx context.Context, database string) (*pgx.Conn, error) {
	conn, err := pgx.Connect(ctx, "host="+s.Socket()+" port="+strconv.Itoa(s.Port())+" user="+postgres.Superuser+" dbname="+database)
	if err != nil {
		return nil, fmt.Errorf("connect to %s as the superuser: %w", database, err)
	}
	return conn, nil
}

func (d *Database) drop(ctx context.Context) error {
	admin, err := d.Server.Admin(ctx, "postgres")
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(ctx) }()
	_, err = admin.Exec(ctx, "DROP DATABASE "+pgx.Identifier{d.Name}.Sanitize()+" WITH (FORCE)")
	return err //nolint:wrapcheck // the caller says what it is about
}

// Admin connects to the database as the superuser until the test ends.
func (d *Database) Admin(tb testing.TB) *pgx.Conn {
	tb.Helper()
	conn, err := d.Server.Admin(tb.Context(), d.Name)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// Config is how a role connects straight to the server.
func (d *Database) Config(role string) pgstore.Config {
	password := d.Server.password
	if role == Master {
		password = d.Server.Password()
	}
	return d.configAt(d.Server.Address(), role, password)
}

func (d *Database) configAt(address, role, password string) pgstore.Config {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		panic(err)
	}
	return pgstore.Config{
		Settings: pgstore.Settings{Host: host, Port: port, Database: d.Name, User: role},
		Password: func(context.Context, string, string) (string, error) { return password, nil },
		Roots:    d.Server.Authority().Pool(),
	}
}

// Open opens the database as a role until the test ends.
func (d *Database) Open(tb testing.TB, role string) *pgstore.DB {
	tb.Helper()
	return Open(tb, d.Config(role))
}

// Open opens a database until the test ends. Tests share a machine, so it is patient.
func Open(tb testing.TB, cfg pgstore.Config) *pgstore.DB {
	tb.Helper()
	if cfg.MaxConns == 0 {
		cfg.MaxConns = 8
	}
	if cfg.Patience == 0 {
		cfg.Patience = time.Minute
	}
	if cfg.Forgetting == 0 {
		cfg.Forgetting = time.Minute
	}
	if cfg.ConnectTimeout == 0 {
		cfg.ConnectTimeout = 20 * time.Second
	}
	db, err := pgstore.Open(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(db.Close)
	return db
}

// Pooler is pgbouncer in front of a database: transaction mode, TLS alone.
type Pooler struct {
	*pgbouncer.Engine
	d *Database
}

// Pool runs a pooler until the test ends. Where pgbouncer is not installed the test is
// skipped; in CI it fails.
func (d *Database) Pool(tb testing.TB, serverConnections, clients int) *Pooler {
	tb.Helper()
	p, err := d.StartPooler(tb.Context(), tb.TempDir(), serverConnections, clients)
	if errors.Is(err, pgbouncer.ErrMissing) && os.Getenv("CI") != "true" {
		tb.Skip(err)
	}
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = p.Close() })
	return p
}

// StartPooler is Pool for a benchmark.
func (d *Database) StartPooler(ctx context.Context, dir string, serverConnections, clients int) (*Pooler, error) {
	program, err := pgbouncer.Find()
	if err != nil {
		return nil, err
	}
	e, err := pgbouncer.Start(ctx, pgbouncer.Config{
		Dir: dir, Program: program, Authority: d.Server.Authority(), Databases: []string{d.Name},
		Server:            pgbouncer.Server{Socket: d.Server.Socket(), Port: d.Server.Port(), Superuser: postgres.Superuser},
		ServerConnections: serverConnections, Clients: clients,
	})
	if err != nil {
		return nil, fmt.Errorf("start pgbouncer: %w", err)
	}
	return &Pooler{Engine: e, d: d}, nil
}

// Config is how a role connects through the pooler.
func (p *Pooler) Config(role string) pgstore.Config {
	return p.d.configAt(p.Address(), role, p.Password())
}
