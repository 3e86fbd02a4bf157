package uploadapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/idempotency"
	"github.com/stowage-dev/stowage/shared/workspace"
)

type memberView struct {
	Sub       string         `json:"sub" doc:"The claim sub of the member's tokens."`
	Role      workspace.Role `json:"role" enum:"owner,writer,reader"`
	CreatedAt time.Time      `json:"createdAt"`
	CreatedBy string         `json:"createdBy"`
}

func viewMember(m workspace.Member) memberView {
	return memberView{Sub: m.Sub, Role: m.Role, CreatedAt: m.CreatedAt.UTC(), CreatedBy: m.CreatedBy}
}

// MemberPath names a member. Embedded types are exported: huma skips the others.
type MemberPath struct {
	Workspace string `path:"ws" maxLength:"64" doc:"The workspace's id."`
	Sub       string `path:"sub" maxLength:"255" doc:"The claim sub of the member's tokens."`
}

type newMember struct {
	MemberPath
	Body struct {
		Role string `json:"role" enum:"owner,writer,reader" doc:"An owner may do all that a writer may, a writer all that a reader may."`
	}
}

type memberAnswer struct {
	Body memberView
}

type memberList struct {
	WorkspacePath
	httpapi.PageQuery
}

type memberPage struct {
	Body struct {
		Items      []memberView `json:"items" nullable:"false"`
		NextCursor *string      `json:"nextCursor" doc:"For the next page; null on the last one."`
	}
}

func (a *api) memberRoutes(routes *httpapi.Routes) {
	register(a, routes, operation{
		id: "putMember", method: http.MethodPut, path: "/v1/workspaces/{ws}/members/{sub}", tag: "workspaces",
		summary: "Add a member, or change its role",
		detail:  "The member's next token lists the workspace.",
		access:  toAdmin(),
	}, a.putMember)
	register(a, routes, operation{
		id: "getMember", method: http.MethodGet, path: "/v1/workspaces/{ws}/members/{sub}", tag: "workspaces",
		summary: "Read a member",
		access:  toAdmin(),
	}, a.getMember)
	register(a, routes, operation{
		id: "removeMember", method: http.MethodDelete, path: "/v1/workspaces/{ws}/members/{sub}", tag: "workspaces",
		status:  http.StatusNoContent,
		summary: "Remove a member",
		detail:  "Takes effect within a minute. Removing somebody who is not a member changes nothing.",
		access:  toAdmin(),
	}, a.removeMember)
	register(a, routes, operation{
		id: "listMembers", method: http.MethodGet, path: "/v1/workspaces/{ws}/members", tag: "workspaces",
		summary: "List members",
		access:  toAdmin(),
	}, a.listMembers)
}

func (a *api) putMember(ctx context.Context, in *newMember) (*memberAnswer, error) {
	c := tenancy.CallerFrom(ctx)
	m := workspace.Member{
		Workspace: c.Workspace, Sub: in.Sub, Role: workspace.Role(in.Body.Role),
		CreatedAt: a.now(), CreatedBy: c.Sub,
	}
	if err := m.Validate(); err != nil {
		return nil, fault.Inside("path.", err)
	}
	view, err := once(ctx, a, func(ctx context.Context, _ idempotency.Claim) (memberView, error) {
		if err := a.Catalog.PutMember(ctx, m); err != nil {
			return memberView{}, fmt.Errorf("put member %s of %s: %w", in.Sub, c.Workspace, err)
		}
		a.gate.Forget(c.Workspace, in.Sub)
		return viewMember(m), nil
	})
	if err != nil {
		return nil, err
	}
	return &memberAnswer{Body: view}, nil
}

func (a *api) getMember(ctx context.Context, in *MemberPath) (*memberAnswer, error) {
	ws := tenancy.CallerFrom(ctx).Workspace
	m, err := a.Catalog.Member(ctx, ws, in.Sub)
	if err != nil {
		return nil, fmt.Errorf("read member %s of %s: %w", in.Sub, ws, err)
	}
	return &memberAnswer{Body: viewMember(m)}, nil
}

func (a *api) removeMember(ctx context.Context, in *MemberPath) (*struct{}, error) {
	ws := tenancy.CallerFrom(ctx).Workspace
	return nil, onceOnly(ctx, a, func(ctx context.Context) error {
		if err := a.Catalog.RemoveMember(ctx, ws, in.Sub); err != nil && !fault.Is(err, fault.NotFound) {
			return fmt.Errorf("remove member %s of %s: %w", in.Sub, ws, err)
		}
		a.gate.Forget(ws, in.Sub)
		return nil
	})
}
