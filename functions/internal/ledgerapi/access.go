package ledgerapi

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Scopes of the resource server "stowage" that the routes ask for.
const (
	ScopeRead    = "stowage/read"
	ScopeBilling = "stowage/billing"
)

const workspaceHeader = "Stowage-Workspace"

// access is what a route asks of its caller.
type access struct {
	scope string
	role  workspace.Role
	// machines may name any workspace: a client that bills acts for the platform.
	machines bool
}

func toRead() access { return access{scope: ScopeRead, role: workspace.Reader} }
func toBill() access { return access{scope: ScopeBilling, role: workspace.Owner, machines: true} }

// caller is who sent a request that was let through, and the workspace that it is about.
type caller struct {
	sub       string
	workspace string
}

type callerKey struct{}

func callerFrom(ctx context.Context) caller {
	c, _ := ctx.Value(callerKey{}).(caller)
	return c
}

// authorize lets a request through when its token has the scope and its subject the role.
// It runs before anything of the request is read, so that a stranger learns nothing.
func (a *api) authorize(need access) func(huma.Context, func(huma.Context)) {
	return func(ctx huma.Context, next func(huma.Context)) {
		c, err := a.caller(ctx, need)
		if err != nil {
			httpapi.Refuse(ctx, err)
			return
		}
		httpapi.Annotate(ctx.Context(), slog.String("workspace", c.workspace), slog.String("sub", c.sub))
		next(huma.WithValue(ctx, callerKey{}, c))
	}
}

func (a *api) caller(ctx huma.Context, need access) (caller, error) {
	p, ok := httpapi.PrincipalFrom(ctx.Context())
	if !ok {
		return caller{}, fault.New(fault.Unauthenticated, "an access token is needed")
	}
	if !p.HasScope(need.scope) {
		return caller{}, fault.New(fault.Forbidden, "the token lacks the scope %s", need.scope).With("scope", need.scope)
	}
	header := ctx.Header(workspaceHeader)
	if need.machines && p.Machine() && header != "" {
		return a.machine(ctx.Context(), p.Subject, header)
	}
	ws, err := chosenWorkspace(p, header)
	if err != nil {
		return caller{}, err
	}
	c := caller{sub: p.Subject, workspace: ws}
	return c, a.requireRole(ctx.Context(), c, need.role)
}

// machine lets a client choose any workspace that there is.
func (a *api) machine(ctx context.Context, sub, ws string) (caller, error) {
	if workspace.ValidateID("workspace", ws) != nil || workspace.ValidateSub(sub) != nil {
		return caller{}, fault.New(fault.NotFound, "there is no such workspace")
	}
	if _, err := a.Catalog.Workspace(ctx, ws); err != nil {
		return caller{}, fmt.Errorf("read workspace %s: %w", ws, err)
	}
	return caller{sub: sub, workspace: ws}, nil
}

// chosenWorkspace is the one that the header names, which the token must list, or the
// only one that the token lists.
func chosenWorkspace(p httpapi.Principal, header string) (string, error) {
	listed := p.Claims.List(workspace.Claim)
	for i, entry := range listed {
		listed[i], _, _ = strings.Cut(entry, ":")
	}
	switch {
	case header != "" && slices.Contains(listed, header):
		return header, nil
	case header != "":
		return "", notMember()
	case len(listed) == 1:
		return listed[0], nil
	case len(listed) == 0:
		return "", fault.New(fault.Forbidden, "the token lists no workspace: ask an owner to add you, then get a new token")
	default:
		return "", fault.New(fault.WorkspaceRequired, "the token lists %d workspaces: name one in the header %s", len(listed), workspaceHeader)
	}
}

// requireRole asks the catalog: a role in a token may have been taken away since.
func (a *api) requireRole(ctx context.Context, c caller, role workspace.Role) error {
	if fault.Join(workspace.ValidateID("workspace", c.workspace), workspace.ValidateSub(c.sub)) != nil {
		return notMember() // nobody could have been made one under such names
	}
	m, err := a.members.get(ctx, c.workspace, c.sub)
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

// limited refuses a write when its workspace writes faster than it may. A rate that
// cannot be told stops nobody.
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

const (
	// membershipAge bounds how long a role outlives its removal.
	membershipAge = time.Minute
	// membershipCount bounds the cache's memory.
	membershipCount = 10_000
)

// memberships caches members. Only ones that exist are kept, so that a new member is let
// in at once.
type memberships struct {
	catalog Catalog
	now     func() time.Time

	mu   sync.Mutex
	held map[membershipKey]membership
}

type membershipKey struct{ workspace, sub string }

type membership struct {
	member workspace.Member
	readAt time.Time
}

func newMemberships(catalog Catalog, now func() time.Time) *memberships {
	return &memberships{catalog: catalog, now: now, held: map[membershipKey]membership{}}
}

func (c *memberships) get(ctx context.Context, ws, sub string) (workspace.Member, error) {
	key, now := membershipKey{ws, sub}, c.now()
	c.mu.Lock()
	found, ok := c.held[key]
	c.mu.Unlock()
	if ok && now.Sub(found.readAt) < membershipAge {
		return found.member, nil
	}
	member, err := c.catalog.Member(ctx, ws, sub)
	c.mu.Lock()
	defer c.mu.Unlock()
	if err != nil {
		delete(c.held, key)
		return workspace.Member{}, fmt.Errorf("read member %s of %s: %w", sub, ws, err)
	}
	if len(c.held) >= membershipCount {
		clear(c.held)
	}
	c.held[key] = membership{member: member, readAt: now}
	return member, nil
}
