package pgstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/stowage-dev/stowage/shared/pgstore/internal/queries"
)

// DB is a database with the schema of the migrations.
type DB struct {
	cfg    Config
	writer *pgxpool.Pool
	reader *pgxpool.Pool // nil where the writer reads, too
}

// Open returns a database. It connects when it is first used.
func Open(cfg Config) (*DB, error) {
	cfg = cfg.withDefaults()
	db := &DB{cfg: cfg}
	var err error
	if db.writer, err = open(cfg, cfg.Host); err != nil {
		return nil, err
	}
	if cfg.ReaderHost != "" && cfg.ReaderHost != cfg.Host {
		if db.reader, err = open(cfg, cfg.ReaderHost); err != nil {
			db.writer.Close()
			return nil, err
		}
	}
	return db, nil
}

func open(cfg Config, host string) (*pgxpool.Pool, error) {
	pool, err := cfg.poolConfig(host)
	if err != nil {
		return nil, err
	}
	p, err := pgxpool.NewWithConfig(context.Background(), pool)
	if err != nil {
		return nil, fmt.Errorf("make a pool for %s: %w", host, err)
	}
	return p, nil
}

// Close closes all connections, once they are given back.
func (db *DB) Close() {
	db.writer.Close()
	if db.reader != nil {
		db.reader.Close()
	}
}

// Pool is how many connections there are, and are in use.
type Pool struct{ Open, InUse int32 }

// Pool returns the state of the writer's pool.
func (db *DB) Pool() Pool {
	s := db.writer.Stat()
	return Pool{Open: s.TotalConns(), InUse: s.AcquiredConns()}
}

// isolation is how a transaction begins.
type isolation string

const (
	readCommitted isolation = "begin"
	serializable  isolation = "begin isolation level serializable"
	readOnly      isolation = "begin read only"
	// snapshot lets several reads see one state of the books.
	snapshot isolation = "begin isolation level repeatable read read only"
)

// transaction is one unit of work.
type transaction struct {
	name  string // for traces and errors
	begin isolation
	// workspaces that it is about. None: of a role that sees them all.
	workspaces []string
	// do works with queries. Those that return nothing are only queued: they travel with
	// the next one that returns something, or with the commit.
	do func(ctx context.Context, q *queries.Queries) error
	// single tells that do reads with one query alone: one round trip serves it all.
	single bool
	// last is a query that returns something, after which do sends nothing: the commit
	// travels with it.
	last string
}

// write runs t on the writer. t.do may run several times, also after it has been
// committed: then it must find out and change nothing.
func (db *DB) write(ctx context.Context, t transaction) error {
	return db.repeat(ctx, t, func(int) *pgxpool.Pool { return db.writer })
}

// read runs t on the reader where there is one, and on the writer when the reader fails.
func (db *DB) read(ctx context.Context, t transaction) error {
	if t.begin == "" {
		t.begin = readOnly
	}
	return db.repeat(ctx, t, func(attempt int) *pgxpool.Pool {
		if db.reader != nil && attempt == 0 {
			return db.reader
		}
		return db.writer
	})
}

// once runs t in one transaction. committed is not known when err is a commitError.
func (db *DB) once(ctx context.Context, pool *pgxpool.Pool, t transaction) error {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return acquireError{err}
	}
	defer conn.Release() // destroys a connection that is closed, broken or within a transaction
	p := &pipeline{conn: conn.Conn(), cfg: &db.cfg, batch: &pgconn.Batch{}, single: t.single, last: t.last}
	err = p.queue("-- name: Begin\n" + string(t.begin))
	if err == nil && len(t.workspaces) > 0 {
		err = p.queue(enterSQL, t.workspaces)
	}
	if err == nil {
		err = t.do(ctx, queries.New(p))
	}
	if err == nil && !p.committed {
		err = p.queue(commitSQL)
	}
	if err != nil {
		p.abandon(ctx, err)
		return err
	}
	if p.committed {
		return nil
	}
	if err := p.flush(ctx); err != nil {
		p.abandon(ctx, err)
		return commitFailure(err)
	}
	return nil
}

// enterSQL is the query Enter of queries/ledger.sql, whose result nobody waits for.
const enterSQL = "-- name: Enter\nSELECT stowage.enter($1::text[])"

// commitSQL ends a transaction.
const commitSQL = "-- name: Commit\ncommit"
