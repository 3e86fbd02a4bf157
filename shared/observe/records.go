package observe

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/stowage-dev/stowage/shared/batch"
)

// Records watches a batch: a span for every call of the handler, a metric for what
// became of each record, and a log line for each that failed.
type Records struct {
	metrics *Metrics
	tracer  Tracer
	log     *slog.Logger
	now     func() time.Time
}

var _ batch.Observer = (*Records)(nil)

// NewRecords returns an observer of batches.
func NewRecords(m *Metrics, t Tracer, log *slog.Logger, now func() time.Time) *Records {
	return &Records{metrics: m, tracer: t, log: log, now: now}
}

// Handling implements batch.Observer.
func (r *Records) Handling(ctx context.Context, ids []string) (context.Context, func()) {
	ctx, span := r.tracer.Start(ctx, "records")
	span.Annotate("records", len(ids))
	if len(ids) == 1 {
		span.Annotate("record", ids[0])
		ctx = With(ctx, slog.String("record", ids[0]))
	}
	began := r.now()
	return ctx, func() {
		r.metrics.Observe("RecordMillis", Milliseconds, float64(r.now().Sub(began).Microseconds())/1000)
		span.End(nil)
	}
}

// Settled implements batch.Observer.
func (r *Records) Settled(ctx context.Context, id string, o batch.Outcome, err error) {
	switch o {
	case batch.Done:
		r.metrics.Add("RecordsDone", 1)
	case batch.NotTried:
		r.metrics.Add("RecordsNotTried", 1)
	case batch.DeadLettered:
		r.metrics.Add("RecordsDeadLettered", 1)
		r.log.LogAttrs(ctx, slog.LevelError, "record dead-lettered", slog.String("record", id), slog.Any("error", err))
	case batch.Failed:
		r.metrics.Add("RecordsFailed", 1)
		attrs := []slog.Attr{slog.String("record", id), slog.Any("error", err)}
		var p *batch.PanicError
		if errors.As(err, &p) {
			attrs = append(attrs, slog.String("stack", string(p.Stack)))
		}
		r.log.LogAttrs(ctx, slog.LevelError, "record failed", attrs...)
	}
}
