package uploadapi

import (
	"log/slog"
	"math"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
)

// limited refuses a request when its workspace writes faster than it may. A rate that
// cannot be told stops nobody: what comes next asks the same catalog.
func (a *api) limited(ctx huma.Context, next func(huma.Context)) {
	wait, err := a.limiter.Allow(ctx.Context(), callerFrom(ctx.Context()).workspace, 1)
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
