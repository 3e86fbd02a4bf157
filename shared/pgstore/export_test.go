package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
)

// Sent is told of every statement that is sent, with its arguments.
type Sent func(sql string, args []any)

// OpenWatched is Open for a database whose statements are watched.
func OpenWatched(cfg Config, sent Sent) (*DB, error) {
	cfg.Watch = watcher{sent}
	return Open(cfg)
}

type watcher struct{ sent Sent }

func (w watcher) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	w.sent(d.SQL, d.Args)
	return ctx
}

func (watcher) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (w watcher) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	for _, q := range d.Batch.QueuedQueries {
		w.sent(q.SQL, q.Arguments)
	}
	return ctx
}

func (watcher) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}
func (watcher) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData)     {}
