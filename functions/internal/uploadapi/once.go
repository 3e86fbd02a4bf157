package uploadapi

import (
	"context"
	"log/slog"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/idempotency"
)

const (
	idempotencyHeader = "Idempotency-Key"
	ifMatchHeader     = "If-Match"
)

type keyedRequestKey struct{}

// keyed looks at the Idempotency-Key of a request to route. The key belongs to its caller,
// workspace and route, and goes with all that the request says.
func (a *api) keyed(route string) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		key, given := headerOf(ctx, idempotencyHeader)
		if !given {
			next(ctx)
			return
		}
		c, target := tenancy.CallerFrom(ctx.Context()), ctx.URL()
		ifMatch, _ := headerOf(ctx, ifMatchHeader)
		r := idempotency.Request{
			Scope:   []string{c.Workspace, c.Sub, route},
			Key:     key,
			Payload: idempotency.Sum(target.RequestURI(), ifMatch, string(httpapi.Body(ctx.Context()))),
		}
		if err := r.Validate(); err != nil {
			httpapi.Refuse(ctx, fault.Inside("header.", err))
			return
		}
		next(huma.WithValue(ctx, keyedRequestKey{}, r))
	}
}

// headerOf returns a header, several of one name in one as API Gateway joins them, and
// whether there is one at all, even if it is empty.
func headerOf(ctx huma.Context, name string) (value string, given bool) {
	var values []string
	ctx.EachHeader(func(n, v string) {
		if http.CanonicalHeaderKey(n) == name {
			values = append(values, v)
		}
	})
	return strings.Join(values, ","), len(values) > 0
}

// once has the effect of a write: at most once for each Idempotency-Key, and each time for
// requests without one. What effect returns is kept and returned again for a repetition,
// so it holds ids and no credential. The claim's ID is the same at every attempt of one
// request: what the effect creates gets it.
func once[R any](ctx context.Context, a *api, effect func(context.Context, idempotency.Claim) (R, error)) (R, error) {
	r, keyed := ctx.Value(keyedRequestKey{}).(idempotency.Request)
	if !keyed {
		return effect(ctx, idempotency.Claim{ID: a.NewID(), Fence: 1})
	}
	result, replayed, err := idempotency.Do(ctx, a.Idempotency, r, effect)
	httpapi.Annotate(ctx, slog.Bool("replayed", replayed))
	return result, err
}

// nothing is what a repetition needs to know of an effect that leaves nothing to tell.
type nothing struct{}

// onceOnly is once for an effect that leaves nothing to tell.
func onceOnly(ctx context.Context, a *api, effect func(context.Context) error) error {
	_, err := once(ctx, a, func(ctx context.Context, _ idempotency.Claim) (nothing, error) {
		return nothing{}, effect(ctx)
	})
	return err
}

// keyParameter documents the header.
func keyParameter() *huma.Param {
	shortest, longest := 1, idempotency.KeyBytes
	return &huma.Param{
		Name: idempotencyHeader, In: "header",
		Description: "Makes the request safe to send again: the same key with the same request has one effect and one answer, for a day.",
		Schema:      &huma.Schema{Type: "string", MinLength: &shortest, MaxLength: &longest, Pattern: `^[ -~]+$`},
	}
}

// keyCodes are the failures of requests that have a key.
func keyCodes() []fault.Code {
	return []fault.Code{fault.IdempotencyInProgress, fault.IdempotencyReused}
}
