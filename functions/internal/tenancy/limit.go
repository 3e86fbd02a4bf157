package tenancy

import (
	"log/slog"
	"math"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
)

// Limit adds to an operation that it is refused when its workspace writes faster than it
// may, and returns the code with which it is. It comes after Guard.
func (g *Gate) Limit(op *huma.Operation) fault.Code {
	op.Middlewares = append(op.Middlewares, g.limit)
	return fault.RateLimited
}

// limit refuses a request at once. A rate that cannot be told stops nobody: what comes next
// asks the same catalog.
func (g *Gate) limit(ctx huma.Context, next func(huma.Context)) {
	wait, err := g.limiter.Allow(ctx.Context(), CallerFrom(ctx.Context()).Workspace, 1)
	if err != nil {
		httpapi.Annotate(ctx.Context(), slog.String("rateError", err.Error()))
	}
	if wait <= 0 {
		next(ctx)
		return
	}
	seconds := int(math.Ceil(wait.Seconds()))
	httpapi.Refuse(ctx, fault.New(fault.RateLimited, "the workspace writes faster than it may: try again in %d s", seconds).
		With("retryAfter", seconds))
}
