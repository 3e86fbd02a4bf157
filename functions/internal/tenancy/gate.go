package tenancy

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/ratelimit"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Scopes of the resource server "stowage".
const (
	ScopeRead    = "stowage/read"
	ScopeWrite   = "stowage/write"
	ScopeAdmin   = "stowage/admin"
	ScopeBilling = "stowage/billing"
)

// header names a workspace.
const header = "Stowage-Workspace"

// Place is where a route names its workspace.
type Place int

// Places.
const (
	Nowhere  Place = iota // the route is about no workspace, or a new one
	ByHeader              // the header, or the token's only workspace
	ByPath                // the path parameter ws
)

// Access is what a route asks of its caller.
type Access struct {
	Scope string
	Role  workspace.Role
	In    Place
	// Machines may name any workspace, of which they need not be members: a client that
	// administers or bills acts for the platform.
	Machines bool
}

// Caller is who sent a request that was let through, and the workspace that it is about.
type Caller struct {
	Sub       string
	Workspace string
}

type callerKey struct{}

// CallerFrom returns the caller of a request that was let through.
func CallerFrom(ctx context.Context) Caller {
	c, _ := ctx.Value(callerKey{}).(Caller)
	return c
}

// Catalog knows workspaces, their members, and how fast they may write.
type Catalog interface {
	ratelimit.Catalog
	Member(ctx context.Context, ws, sub string) (workspace.Member, error)
}

// Gate lets requests through.
type Gate struct {
	catalog Catalog
	members *memberships
	limiter *ratelimit.Limiter
}

// NewGate returns a gate. random returns a number in [0, n).
func NewGate(catalog Catalog, now func() time.Time, random func(n int64) int64) *Gate {
	return &Gate{catalog: catalog, members: newMemberships(catalog, now), limiter: ratelimit.New(catalog, now, random)}
}

// Guard adds to an operation that its callers are looked at, and describes what they need. It
// returns the codes with which they may be refused.
func (g *Gate) Guard(op *huma.Operation, need Access) []fault.Code {
	codes := []fault.Code{fault.Unauthenticated, fault.Forbidden}
	op.Security = []map[string][]string{{"token": {need.Scope}}}
	op.Middlewares = append(op.Middlewares, g.authorize(need))
	if need.In == ByHeader {
		codes = append(codes, fault.WorkspaceRequired)
		op.Parameters = append(op.Parameters, &huma.Param{
			Name: header, In: "header",
			Description: "Which workspace, when the token lists several.",
			Schema:      &huma.Schema{Type: "string"},
		})
	}
	if need.In == ByPath || need.Machines {
		codes = append(codes, fault.NotFound)
	}
	return codes
}

// authorize lets a request through when its token has the scope and its subject the role.
// It runs before anything of the request is read, so that a stranger learns nothing.
func (g *Gate) authorize(need Access) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c, err := g.caller(ctx, need)
		if err != nil {
			httpapi.Refuse(ctx, err)
			return
		}
		httpapi.Annotate(ctx.Context(), slog.String("workspace", c.Workspace), slog.String("sub", c.Sub))
		next(huma.WithValue(ctx, callerKey{}, c))
	}
}

func (g *Gate) caller(ctx huma.Context, need Access) (Caller, error) {
	p, ok := httpapi.PrincipalFrom(ctx.Context())
	if !ok {
		return Caller{}, fault.New(fault.Unauthenticated, "an access token is needed")
	}
	if !p.HasScope(need.Scope) {
		return Caller{}, fault.New(fault.Forbidden, "the token lacks the scope %s", need.Scope).With("scope", need.Scope)
	}
	named := ""
	switch need.In {
	case Nowhere:
		return Caller{Sub: p.Subject}, nil
	case ByPath:
		named = ctx.Param("ws")
		if workspace.ValidateID("ws", named) != nil {
			return Caller{}, fault.New(fault.NotFound, "no workspace can have this id")
		}
	case ByHeader:
		named = ctx.Header(header)
	}
	if need.Machines && p.Machine() && named != "" {
		return g.machine(ctx.Context(), p.Subject, named)
	}
	if need.In == ByHeader {
		var err error
		if named, err = chosenWorkspace(p, named); err != nil {
			return Caller{}, err
		}
	}
	c := Caller{Sub: p.Subject, Workspace: named}
	return c, g.requireRole(ctx.Context(), c, need.Role)
}

// machine lets a client choose any workspace that there is.
func (g *Gate) machine(ctx context.Context, sub, ws string) (Caller, error) {
	if workspace.ValidateID("workspace", ws) != nil || workspace.ValidateSub(sub) != nil {
		return Caller{}, fault.New(fault.NotFound, "there is no such workspace")
	}
	if _, err := g.catalog.Workspace(ctx, ws); err != nil {
		return Caller{}, fmt.Errorf("read workspace %s: %w", ws, err)
	}
	return Caller{Sub: sub, Workspace: ws}, nil
}

// chosenWorkspace is the one that the header names, which the token must list, or the
// only one that the token lists.
func chosenWorkspace(p httpapi.Principal, named string) (string, error) {
	listed := p.Claims.List(workspace.Claim)
	for i, entry := range listed {
		listed[i], _, _ = strings.Cut(entry, ":")
	}
	switch {
	case named != "" && slices.Contains(listed, named):
		return named, nil
	case named != "":
		return "", notMember()
	case len(listed) == 1:
		return listed[0], nil
	case len(listed) == 0:
		return "", fault.New(fault.Forbidden, "the token lists no workspace: ask an owner to add you, then get a new token")
	default:
		return "", fault.New(fault.WorkspaceRequired, "the token lists %d workspaces: name one in the header %s", len(listed), header)
	}
}

// requireRole asks the catalog: a role in a token may have been taken away since.
func (g *Gate) requireRole(ctx context.Context, c Caller, role workspace.Role) error {
	if fault.Join(workspace.ValidateID("workspace", c.Workspace), workspace.ValidateSub(c.Sub)) != nil {
		return notMember() // nobody could have been made one under such names
	}
	m, err := g.members.get(ctx, c.Workspace, c.Sub)
	if fault.Is(err, fault.NotFound) {
		return notMember()
	}
	if err != nil {
		return err
	}
	if !m.Role.Includes(role) {
		return fault.New(fault.Forbidden, "this needs the role %s, you are %s", role, m.Role).
			With("role", string(m.Role)).With("needed", string(role))
	}
	return nil
}

// notMember does not tell whether the workspace exists.
func notMember() error {
	return fault.New(fault.Forbidden, "you are not a member of that workspace")
}

// Forget makes the next request of a member ask the catalog, which has just changed.
func (g *Gate) Forget(ws, sub string) { g.members.forget(ws, sub) }
