package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/pgstore/internal/queries"
)

// pipeline sends the queries of a transaction in as few round trips as their results
// allow: what returns nothing is queued, what returns something is sent with all that is
// queued before it.
//
// Queries are unnamed statements whose parameters travel as text, typed by their Go types,
// so that nothing has to be asked of the server first, which may be another one every time.
// Results travel in binary, which costs the server and this side less than text. pgx's own
// batches do the one or the other.
type pipeline struct {
	conn  *pgx.Conn
	cfg   *Config
	build pgx.ExtendedQueryBuilder
	batch *pgconn.Batch
	names []string // of what is queued
	sent  bool     // something was, so that there may be a transaction to end
	// single lets the commit travel with the first query that returns something: there is
	// no other, and it changes nothing.
	single bool
	// last names the query with which the commit travels otherwise.
	last      string
	committed bool
}

var _ queries.DBTX = (*pipeline)(nil)

// binary is the format of all columns of a result.
var binary = []int16{pgx.BinaryFormatCode}

func (p *pipeline) queue(sql string, args ...any) error {
	if p.cfg.Watch != nil {
		p.cfg.Watch(sql, args)
	}
	name := queryName(sql)
	if err := p.build.Build(p.conn.TypeMap(), nil, args); err != nil {
		return fmt.Errorf("encode the arguments of %s: %w", name, err)
	}
	p.names = append(p.names, name)
	p.batch.ExecParams(sql, p.build.ParamValues, nil, p.build.ParamFormats, binary)
	return nil
}

// Exec queues a query. What it affects is not known when Exec returns, nor whether it fails.
func (p *pipeline) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, p.queue(sql, args...)
}

// Query sends what is queued and the query, and returns the query's rows.
func (p *pipeline) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	if err := p.queue(sql, args...); err != nil {
		return nil, err
	}
	before := len(p.names) - 1
	if p.single || p.last == queryName(sql) {
		if err := p.queue(commitSQL); err != nil {
			return nil, err
		}
		p.committed = true
	}
	results, err := p.send(ctx, before)
	if err != nil {
		return nil, err
	}
	if !results.NextResult() {
		return nil, results.closing(errNoResult)
	}
	return &lastRows{Rows: pgx.RowsFromResultReader(p.conn.TypeMap(), results.ResultReader()), results: results}, nil
}

// errNoResult tells of a server that ends a batch before its time, and says no error.
var errNoResult = errors.New("the server has sent fewer results than it was sent queries")

// QueryRow is Query for one row.
func (p *pipeline) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := p.Query(ctx, sql, args...)
	return oneRow{rows, err}
}

// flush sends what is queued and waits until it is done.
func (p *pipeline) flush(ctx context.Context) error {
	results, err := p.send(ctx, len(p.names))
	if err != nil {
		return err
	}
	return results.closing(nil)
}

// send sends what is queued and reads the results of the first of it.
func (p *pipeline) send(ctx context.Context, first int) (*results, error) {
	ctx, span := p.cfg.Tracer.Start(ctx, strings.Join(p.names, " "))
	batch := p.batch
	p.batch, p.names, p.sent = &pgconn.Batch{}, p.names[:0], true
	r := &results{p.conn.PgConn().ExecBatch(ctx, batch), span, p.committed && !p.single}
	for range first {
		if !r.NextResult() {
			return nil, r.closing(errNoResult)
		}
		if _, err := r.ResultReader().Close(); err != nil {
			return nil, r.closing(err)
		}
	}
	return r, nil
}

// results are those of the queries of a batch.
type results struct {
	*pgconn.MultiResultReader
	span observe.Span
	// commits tells that they end with that of a commit.
	commits bool
}

// closing reads what is left of the results, and returns the first error: the server's, or
// err.
func (r *results) closing(err error) error {
	if cerr := r.Close(); cerr != nil {
		err = cerr
	}
	if err != nil && r.commits {
		err = commitFailure(err)
	}
	if err != nil {
		r.span.End(redact(err))
		return err
	}
	r.span.End(nil)
	return nil
}

// abandon ends a transaction that has failed, if it can; a connection on which it cannot is
// closed when it is given back. One that leads astray is closed now: the next attempt makes
// a new one, which leads to where the writer is by then.
func (p *pipeline) abandon(ctx context.Context, failure error) {
	if p.conn.IsClosed() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if astray(failure) {
		_ = p.conn.Close(ctx) // the server rolls back what a closed connection leaves
		return
	}
	if !p.sent || p.conn.PgConn().TxStatus() == 'I' {
		return
	}
	if _, err := p.conn.Exec(ctx, "-- name: Rollback\nrollback"); err != nil {
		_ = p.conn.Close(ctx) // the server rolls back what a closed connection leaves
	}
}

// lastRows are the rows of the last query of a batch.
type lastRows struct {
	pgx.Rows
	results *results
	err     error
	closed  bool
}

// Next implements pgx.Rows. At the end it closes the rows, as pgx's own do.
func (r *lastRows) Next() bool {
	if r.Rows.Next() {
		return true
	}
	r.Close()
	return false
}

// Close implements pgx.Rows.
func (r *lastRows) Close() {
	if r.closed {
		return
	}
	r.closed = true
	r.Rows.Close()
	r.err = r.results.closing(r.Rows.Err())
}

// Err implements pgx.Rows.
func (r *lastRows) Err() error {
	if r.err != nil {
		return r.err
	}
	return r.Rows.Err()
}

// oneRow is the first of some rows.
type oneRow struct {
	rows pgx.Rows
	err  error
}

// Scan implements pgx.Row.
func (r oneRow) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	defer r.rows.Close()
	if !r.rows.Next() {
		if err := r.rows.Err(); err != nil {
			return err
		}
		return pgx.ErrNoRows
	}
	if err := r.rows.Scan(dest...); err != nil {
		return fmt.Errorf("read a row: %w", err)
	}
	r.rows.Close()
	return r.rows.Err()
}
