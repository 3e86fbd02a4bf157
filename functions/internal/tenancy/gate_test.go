package tenancy_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// catalog holds the workspace alpha, of which zoe may write and rob may read, and beta, of
// which zoe may read.
type catalog struct{}

var _ tenancy.Catalog = catalog{}

func (catalog) Workspace(_ context.Context, ws string) (workspace.Workspace, error) {
	if ws != "alpha" && ws != "beta" {
		return workspace.Workspace{}, fault.New(fault.NotFound, "there is no workspace %s", ws)
	}
	return workspace.Workspace{ID: ws, Quota: workspace.Quota{Writes: workspace.Rate{PerSecond: 1, Burst: 1}}}, nil
}

func (catalog) Member(_ context.Context, ws, sub string) (workspace.Member, error) {
	role := map[string]workspace.Role{"alpha zoe": workspace.Writer, "alpha rob": workspace.Reader, "beta zoe": workspace.Reader}[ws+" "+sub]
	if role == "" {
		return workspace.Member{}, fault.New(fault.NotFound, "%s is no member of %s", sub, ws)
	}
	return workspace.Member{Workspace: ws, Sub: sub, Role: role}, nil
}

func (catalog) Spend(context.Context, string, workspace.Spending, bool) (workspace.Bucket, bool, error) {
	return workspace.Bucket{}, false, fault.New(fault.Unavailable, "no answer")
}

type wherein struct {
	Workspace string `path:"ws"`
}

type answer struct {
	Body struct {
		Sub       string `json:"sub"`
		Workspace string `json:"workspace"`
		Code      string `json:"code,omitempty"` // of a problem
	}
}

// serve answers requests with the caller that was let through.
func serve(access tenancy.Access) http.Handler {
	mux := http.NewServeMux()
	gate := tenancy.NewGate(catalog{}, time.Now, func(int64) int64 { return 0 })
	op := huma.Operation{OperationID: "whoAmI", Method: http.MethodPost, Path: "/v1/things"}
	caller := func(ctx context.Context) *answer {
		out, c := &answer{}, tenancy.CallerFrom(ctx)
		out.Body.Sub, out.Body.Workspace = c.Sub, c.Workspace
		return out
	}
	if access.In == tenancy.ByPath {
		op.Path = "/v1/workspaces/{ws}/things"
	}
	codes := gate.Guard(&op, access)
	if access.In == tenancy.ByPath {
		httpapi.Register(httpapi.NewRoutes(mux), op, codes, func(ctx context.Context, _ *wherein) (*answer, error) { return caller(ctx), nil })
	} else {
		codes = append(codes, gate.Limit(&op))
		httpapi.Register(httpapi.NewRoutes(mux), op, codes, func(ctx context.Context, _ *struct{}) (*answer, error) { return caller(ctx), nil })
	}
	return httpapi.Wrap(mux, httpapi.Options{Log: slog.New(slog.DiscardHandler), NewID: func() string { return "r" }, Now: time.Now})
}

func TestWhoIsLetThrough(t *testing.T) {
	t.Parallel()
	write := tenancy.Access{Scope: tenancy.ScopeWrite, Role: workspace.Writer, In: tenancy.ByHeader}
	bill := tenancy.Access{Scope: tenancy.ScopeBilling, Role: workspace.Owner, In: tenancy.ByHeader, Machines: true}
	admin := tenancy.Access{Scope: tenancy.ScopeAdmin, Role: workspace.Owner, In: tenancy.ByPath, Machines: true}
	open := tenancy.Access{Scope: tenancy.ScopeAdmin, In: tenancy.Nowhere}
	const all = "stowage/write stowage/billing stowage/admin"
	user := func(sub, listed string) httpapi.Claims {
		return httpapi.Claims{"sub": sub, "client_id": "web", "scope": all, workspace.Claim: listed}
	}
	machine := httpapi.Claims{"sub": "ops", "client_id": "ops", "scope": all}
	for _, tc := range []struct {
		name   string
		access tenancy.Access
		claims httpapi.Claims
		path   string // of ByPath
		header string
		status int
		code   fault.Code
		in     string // the workspace of a caller who was let through
	}{
		{"a writer", write, user("zoe", "alpha:writer"), "", "", 200, "", "alpha"},
		{"a writer of two who names one", write, user("zoe", "alpha:writer beta:reader"), "", "alpha", 200, "", "alpha"},
		{"a writer of two who names none", write, user("zoe", "alpha:writer beta:reader"), "", "", 400, fault.WorkspaceRequired, ""},
		{"a writer of another", write, user("zoe", "alpha:writer beta:reader"), "", "beta", 403, fault.Forbidden, ""},
		{"a reader whose token says writer", write, user("rob", "alpha:writer"), "", "", 403, fault.Forbidden, ""},
		{"nobody's member", write, user("rob", ""), "", "", 403, fault.Forbidden, ""},
		{"one who names what the token does not list", write, user("zoe", "beta:reader"), "", "alpha", 403, fault.Forbidden, ""},
		{"without the scope", write, httpapi.Claims{"sub": "zoe", "scope": "stowage/read", workspace.Claim: "alpha"}, "", "", 403, fault.Forbidden, ""},
		{"without a token", write, nil, "", "", 401, fault.Unauthenticated, ""},
		{"a machine that is no member", write, machine, "", "alpha", 403, fault.Forbidden, ""},

		{"a machine that bills", bill, machine, "", "beta", 200, "", "beta"},
		{"a machine that bills nobody", bill, machine, "", "", 403, fault.Forbidden, ""},
		{"a machine that bills what is not there", bill, machine, "", "gamma", 404, fault.NotFound, ""},
		{"a machine that bills what cannot be", bill, machine, "", "#", 404, fault.NotFound, ""},
		{"a writer who bills", bill, user("zoe", "alpha:writer"), "", "alpha", 403, fault.Forbidden, ""},

		{"a machine that administers", admin, machine, "alpha", "", 200, "", "alpha"},
		{"a machine that administers what is not there", admin, machine, "gamma", "", 404, fault.NotFound, ""},
		{"a user who does not own it", admin, user("zoe", "alpha:writer"), "alpha", "", 403, fault.Forbidden, ""},
		{"a user and a path that cannot be", admin, user("zoe", "alpha:writer"), "A", "", 404, fault.NotFound, ""},

		{"about no workspace", open, user("rob", ""), "", "alpha", 200, "", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			if p, ok := httpapi.NewPrincipal(tc.claims); ok {
				ctx = httpapi.WithPrincipal(ctx, p)
			}
			path := "/v1/things"
			if tc.path != "" {
				path = "/v1/workspaces/" + tc.path + "/things"
			}
			r := httptest.NewRequestWithContext(ctx, http.MethodPost, path, nil)
			if tc.header != "" {
				r.Header.Set("Stowage-Workspace", tc.header)
			}
			rec := httptest.NewRecorder()
			serve(tc.access).ServeHTTP(rec, r)
			var got answer
			if err := json.Unmarshal(rec.Body.Bytes(), &got.Body); err != nil {
				t.Fatalf("%v: %s", err, rec.Body)
			}
			if rec.Code != tc.status || got.Body.Code != string(tc.code) || got.Body.Workspace != tc.in || tc.status == http.StatusOK && got.Body.Sub != tc.claims["sub"] {
				t.Errorf("%d %s, want %d %s in %q", rec.Code, rec.Body, tc.status, tc.code, tc.in)
			}
		})
	}
}
