package pgstore

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stowage-dev/stowage/shared/pgstore/internal/queries"
)

// pipeline sends the queries of a transaction in as few round trips as their results
// allow: what returns nothing is queued, what returns something is sent with all that is
// queued before it.
type pipeline struct {
	conn  *pgx.Conn
	batch *pgx.Batch
	sent  bool // something was, so that there may be a transaction to end
	// single lets the commit travel with the first query that returns something: there is
	// no other, and it changes nothing.
	single    bool
	committed bool
}

var _ queries.DBTX = (*pipeline)(nil)

func (p *pipeline) queue(sql string, args ...any) { p.batch.Queue(sql, args...) }

// Exec queues a query. What it affects is not known when Exec returns, nor whether it fails.
func (p *pipeline) Exec(_ context.Context, sql string, args ...any) (pgconn.CommandTag, error) {
	p.queue(sql, args...)
	return pgconn.CommandTag{}, nil
}

// Query sends what is queued and the query, and returns the query's rows.
func (p *pipeline) Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error) {
	p.queue(sql, args...)
	before := p.batch.Len() - 1
	if p.single {
		p.queue(commitSQL)
		p.committed = true
	}
	results, err := p.send(ctx, before)
	if err != nil {
		return nil, err
	}
	rows, err := results.Query()
	if err != nil {
		return nil, closing(results, err)
	}
	return &lastRows{Rows: rows, results: results}, nil
}

// QueryRow is Query for one row.
func (p *pipeline) QueryRow(ctx context.Context, sql string, args ...any) pgx.Row {
	rows, err := p.Query(ctx, sql, args...)
	return oneRow{rows, err}
}

// flush sends what is queued and waits until it is done.
func (p *pipeline) flush(ctx context.Context) error {
	results, err := p.send(ctx, p.batch.Len())
	if err != nil {
		return err
	}
	return closing(results, nil)
}

// send sends what is queued and reads the results of the first of it.
func (p *pipeline) send(ctx context.Context, first int) (pgx.BatchResults, error) {
	batch := p.batch
	p.batch, p.sent = &pgx.Batch{}, true
	results := p.conn.SendBatch(ctx, batch)
	for range first {
		if _, err := results.Exec(); err != nil {
			return nil, closing(results, err)
		}
	}
	return results, nil
}

// closing reads what is left of results, and returns the first error.
func closing(results pgx.BatchResults, err error) error {
	if cerr := results.Close(); err == nil {
		err = cerr
	}
	return err
}

// rollback ends the transaction, if it can; a connection on which it cannot is closed when
// it is given back.
func (p *pipeline) rollback(ctx context.Context) {
	if !p.sent || p.conn.IsClosed() || p.conn.PgConn().TxStatus() == 'I' {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := p.conn.Exec(ctx, "-- name: Rollback\nrollback"); err != nil {
		_ = p.conn.Close(ctx) // the server rolls back what a closed connection leaves
	}
}

// lastRows are the rows of the last query of a batch.
type lastRows struct {
	pgx.Rows
	results pgx.BatchResults
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
	r.err = closing(r.results, r.Rows.Err())
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
