package uploadapi

import (
	"context"
	"log/slog"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Scopes of the resource server "stowage".
const (
	ScopeRead  = "stowage/read"
	ScopeWrite = "stowage/write"
	ScopeAdmin = "stowage/admin"
)

const workspaceHeader = "Stowage-Workspace"

// access is what a route asks of its caller.
type access struct {
	scope string
	role  workspace.Role
	in    place
}

// place is where a route names its workspace.
type place int

const (
	nowhere  place = iota // the route is about no workspace, or a new one
	byHeader              // the header, or the token's only workspace
	byPath                // the path parameter ws
)

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
	c := caller{sub: p.Subject}
	var err error
	switch need.in {
	case nowhere:
	case byHeader:
		if c.workspace, err = chosenWorkspace(p, ctx.Header(workspaceHeader)); err == nil {
			err = a.requireRole(ctx.Context(), c, need.role)
		}
	case byPath:
		// A machine client with the scope admin administers every workspace; a user only
		// those that it owns.
		c.workspace = ctx.Param("ws")
		if workspace.ValidateID("ws", c.workspace) != nil {
			return caller{}, fault.New(fault.NotFound, "no workspace can have this id")
		}
		if !p.Machine() {
			err = a.requireRole(ctx.Context(), c, need.role)
		}
	}
	return c, err
}

// chosenWorkspace is the one that the header names, which the token must list, or the
// only one that the token lists.
func chosenWorkspace(p httpapi.Principal, header string) (string, error) {
	listed := listedWorkspaces(p.Claims)
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

func listedWorkspaces(claims httpapi.Claims) []string {
	listed := claims.List(workspace.Claim)
	for i, entry := range listed {
		listed[i], _, _ = strings.Cut(entry, ":")
	}
	return listed
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
