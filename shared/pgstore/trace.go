package pgstore

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/shared/observe"
)

// tracer tells of connections, and of queries outside of pipelines, by the names that they
// have in queries/*.sql.
type tracer struct{ to observe.Tracer }

var (
	_ pgx.QueryTracer   = (*tracer)(nil)
	_ pgx.ConnectTracer = (*tracer)(nil)
)

type spanKey struct{}

func (t *tracer) start(ctx context.Context, name string) context.Context {
	ctx, span := t.to.Start(ctx, name)
	return context.WithValue(ctx, spanKey{}, span)
}

func end(ctx context.Context, err error) {
	if span, ok := ctx.Value(spanKey{}).(observe.Span); ok {
		if err != nil {
			err = redact(err)
		}
		span.End(err)
	}
}

// queryName is the name that sqlc puts before a query.
func queryName(sql string) string {
	rest, ok := strings.CutPrefix(sql, "-- name: ")
	if !ok {
		return "unnamed"
	}
	name, _, _ := strings.Cut(rest, "\n")
	name, _, _ = strings.Cut(name, " ")
	return name
}

// TraceQueryStart implements pgx.QueryTracer.
func (t *tracer) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	return t.start(ctx, queryName(d.SQL))
}

// TraceQueryEnd implements pgx.QueryTracer.
func (*tracer) TraceQueryEnd(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryEndData) {
	end(ctx, d.Err)
}

// TraceConnectStart implements pgx.ConnectTracer.
func (t *tracer) TraceConnectStart(ctx context.Context, _ pgx.TraceConnectStartData) context.Context {
	return t.start(ctx, "Connect")
}

// TraceConnectEnd implements pgx.ConnectTracer.
func (*tracer) TraceConnectEnd(ctx context.Context, d pgx.TraceConnectEndData) { end(ctx, d.Err) }
