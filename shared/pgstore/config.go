package pgstore

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/pgstore/rdsroots"
)

// Settings is what a function is told of its database by its environment.
type Settings struct {
	Host       string // STOWAGE_DB_HOST: a name, with a port or without
	ReaderHost string // STOWAGE_DB_READER_HOST: of read-only transactions; may be empty
	Port       string // STOWAGE_DB_PORT, of hosts without one
	Database   string // STOWAGE_DB_NAME
	User       string // STOWAGE_DB_USER
}

// ParseSettings reads the settings; s.Err tells what is missing.
func ParseSettings(s *boot.Settings) Settings {
	return Settings{
		Host:       s.Required("STOWAGE_DB_HOST"),
		ReaderHost: s.Optional("STOWAGE_DB_READER_HOST", ""),
		Port:       s.Optional("STOWAGE_DB_PORT", "5432"),
		Database:   s.Required("STOWAGE_DB_NAME"),
		User:       s.Required("STOWAGE_DB_USER"),
	}
}

// address returns host:port of a host with a port or without.
func (s Settings) address(host string) string {
	if _, _, err := net.SplitHostPort(host); err == nil {
		return host
	}
	return net.JoinHostPort(host, s.Port)
}

// Passwords gives the password of one new connection to an address, host:port.
type Passwords func(ctx context.Context, address, user string) (string, error)

// Config says how to reach a database. Settings and Password are required.
type Config struct {
	Settings
	// Password is an IAM token's maker: see IAM.
	Password Passwords
	// Roots are the authorities that a server's certificate must come from. Nil: those of
	// its host, see rdsroots.For.
	Roots *x509.CertPool
	// Tracer is told of every query by its name. Nil: nobody is.
	Tracer observe.Tracer
	// Watch is told of every statement of a transaction with its arguments, which must not
	// be logged: for tests and benchmarks.
	Watch func(sql string, args []any)
	// MaxConns is how large the pool gets. 0: 2, since Lambda gives an instance one
	// request at a time.
	MaxConns int32
	// Patience bounds a transaction with all its repetitions where the context ends
	// later. 0: 10 s, in which a database does not wake up: see WakePatience.
	Patience time.Duration
	// Forgetting bounds what Book takes to look up words that objects have lost, once it has
	// booked. 0: 500 ms.
	Forgetting time.Duration
	// ConnectTimeout bounds one attempt to connect. 0: 5 s.
	ConnectTimeout time.Duration
}

// Ages of connections. RDS Proxy closes an idle client connection after 30 minutes
// (IdleClientTimeout) and any after 24 hours; a pooler that restarts is noticed sooner by
// connections that do not get old.
const (
	connAge     = 10 * time.Minute
	connJitter  = 2 * time.Minute
	connIdle    = 4 * time.Minute
	healthCheck = time.Minute
)

// pingTimeout bounds the look at a connection that was idle for a second before it is used.
// A flow that died silently, by a failover or while the function was frozen, answers
// nothing: without this bound the look would take the whole patience. Within a region an
// answer takes a millisecond.
const pingTimeout = time.Second

// For whoever may wait until a database has woken up from 0 ACU, which takes about 15 s, and
// 30 s or longer after a day of sleep: two attempts to connect, and time for the work.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/aurora-serverless-v2-auto-pause.html
const (
	WakePatience       = 45 * time.Second
	WakeConnectTimeout = 20 * time.Second
)

const (
	defaultConns          = 2
	defaultPatience       = 10 * time.Second
	defaultConnectTimeout = 5 * time.Second
	defaultForgetting     = 500 * time.Millisecond
)

func (c Config) withDefaults() Config {
	if c.Port == "" {
		c.Port = "5432"
	}
	if c.MaxConns == 0 {
		c.MaxConns = defaultConns
	}
	if c.Patience == 0 {
		c.Patience = defaultPatience
	}
	if c.Forgetting == 0 {
		c.Forgetting = defaultForgetting
	}
	if c.ConnectTimeout == 0 {
		c.ConnectTimeout = defaultConnectTimeout
	}
	if c.Tracer == nil {
		c.Tracer = observe.NoTracer()
	}
	return c
}

// poolConfig is the configuration of the pool for one host.
func (c Config) poolConfig(host string) (*pgxpool.Config, error) {
	address := c.address(host)
	conn, err := c.connConfig(address)
	if err != nil {
		return nil, err
	}
	// pgxpool takes only what its own parser has made.
	pool, err := pgxpool.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("prepare a pool for %s: %w", address, err)
	}
	pool.ConnConfig = conn
	pool.MaxConns = c.MaxConns
	pool.MaxConnLifetime, pool.MaxConnLifetimeJitter = connAge, connJitter
	pool.MaxConnIdleTime = connIdle
	pool.HealthCheckPeriod = healthCheck
	pool.PingTimeout = pingTimeout
	pool.BeforeConnect = func(ctx context.Context, conn *pgx.ConnConfig) error {
		password, err := c.Password(ctx, address, c.User)
		if err != nil {
			return fmt.Errorf("get a password for %s at %s: %w", c.User, address, err)
		}
		conn.Password = password
		return nil
	}
	return pool, nil
}

// connConfig is the configuration of one connection, without its password. Nothing of it
// comes from libpq's environment variables or files.
func (c Config) connConfig(address string) (*pgx.ConnConfig, error) {
	host, portText, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("database address %q: %w", address, err)
	}
	port, err := strconv.ParseUint(portText, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port of the database address %q: %w", address, err)
	}
	roots := c.Roots
	if roots == nil {
		if roots, err = rdsroots.For(host); err != nil {
			return nil, err
		}
	}
	conn, err := pgx.ParseConfig("")
	if err != nil {
		return nil, fmt.Errorf("prepare a connection to %s: %w", address, err)
	}
	conn.Host, conn.Port, conn.Database, conn.User, conn.Password = host, uint16(port), c.Database, c.User, ""
	conn.Fallbacks = nil // to plain text, for one
	conn.TLSConfig = &tls.Config{ServerName: host, RootCAs: roots, MinVersion: tls.VersionTLS12}
	conn.SSLNegotiation = ""
	conn.RuntimeParams = map[string]string{} // poolers refuse what they do not know
	conn.ConnectTimeout = c.ConnectTimeout
	conn.ValidateConnect = nil
	conn.DefaultQueryExecMode = pgx.QueryExecModeExec
	conn.StatementCacheCapacity, conn.DescriptionCacheCapacity = 0, 0
	conn.Tracer = &tracer{c.Tracer}
	return conn, nil
}

// Connector returns how to make single connections to the writer, outside of the pool: for
// migrations. before sets the password and is to be called before each connection.
func (c Config) Connector() (conn *pgx.ConnConfig, before func(context.Context, *pgx.ConnConfig) error, err error) {
	pool, err := c.withDefaults().poolConfig(c.Host)
	if err != nil {
		return nil, nil, err
	}
	return pool.ConnConfig, pool.BeforeConnect, nil
}
