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

type workspaceView struct {
	ID        string    `json:"id" example:"alpha"`
	Name      string    `json:"name" example:"Alpha"`
	CreatedAt time.Time `json:"createdAt"`
	CreatedBy string    `json:"createdBy"`
	Quota     quotaView `json:"quota"`
	Types     typesView `json:"types"`
}

type typesView struct {
	Allowed       []string `json:"allowed" nullable:"false" doc:"Media types that are accepted; empty: all that are not denied."`
	Denied        []string `json:"denied" nullable:"false" doc:"Media types that are refused."`
	AllowMismatch bool     `json:"allowMismatch" doc:"Whether bytes may be of another type than was declared."`
}

func viewWorkspace(w workspace.Workspace) workspaceView {
	return workspaceView{
		ID: w.ID, Name: w.Name, CreatedAt: w.CreatedAt.UTC(), CreatedBy: w.CreatedBy,
		Quota: viewQuota(w.Quota),
		Types: typesView{
			Allowed:       append([]string{}, w.Types.Allowed...),
			Denied:        append([]string{}, w.Types.Denied...),
			AllowMismatch: w.Types.AllowMismatch,
		},
	}
}

type newWorkspace struct {
	Body struct {
		ID   string `json:"id" minLength:"3" maxLength:"40" doc:"3 to 40 of a-z, 0-9 and -, no - at either end." example:"alpha"`
		Name string `json:"name" minLength:"1" maxLength:"200" doc:"For people." example:"Alpha"`
	}
}

type createdWorkspace struct {
	Location string `header:"Location"`
	ETag     string `header:"ETag" doc:"The rev, in quotes."`
	Body     workspaceView
}

// WorkspacePath names a workspace.
type WorkspacePath struct {
	Workspace string `path:"ws" maxLength:"64" doc:"The workspace's id."`
}

type workspaceAnswer struct {
	ETag string `header:"ETag" doc:"The rev, in quotes."`
	Body workspaceView
}

func (a *api) workspaceRoutes(routes *httpapi.Routes) {
	register(a, routes, operation{
		id: "createWorkspace", method: http.MethodPost, path: "/v1/workspaces", tag: "workspaces", status: http.StatusCreated,
		summary: "Create a workspace",
		detail:  "With the default quota. Whoever creates it becomes its owner.",
		access:  tenancy.Access{Scope: tenancy.ScopeAdmin, In: tenancy.Nowhere},
		codes:   []fault.Code{fault.Conflict},
	}, a.createWorkspace)
	register(a, routes, operation{
		id: "getWorkspace", method: http.MethodGet, path: "/v1/workspaces/{ws}", tag: "workspaces",
		summary: "Read a workspace",
		access:  toAdmin(),
		codes:   []fault.Code{fault.NotFound},
	}, a.getWorkspace)
}

func (a *api) createWorkspace(ctx context.Context, in *newWorkspace) (*createdWorkspace, error) {
	c, now := tenancy.CallerFrom(ctx), a.now()
	w := workspace.Workspace{
		ID:        in.Body.ID,
		Name:      in.Body.Name,
		CreatedAt: now,
		CreatedBy: c.Sub,
		UpdatedAt: now,
		Quota:     workspace.DefaultQuota(),
		Types:     workspace.DefaultTypePolicy(),
		Shards:    workspace.DefaultShards,
	}
	owner := workspace.Member{Workspace: w.ID, Sub: c.Sub, Role: workspace.Owner, CreatedAt: now, CreatedBy: c.Sub}
	if err := fault.Join(w.Validate(), owner.Validate()); err != nil {
		return nil, fault.Inside("body.", err)
	}
	view, err := once(ctx, a, func(ctx context.Context, claim idempotency.Claim) (workspaceView, error) {
		made := w
		err := a.Catalog.CreateWorkspace(ctx, w, owner)
		if fault.Is(err, fault.Conflict) && !claim.First() {
			made, err = a.wasCreated(ctx, w, err)
		}
		if err != nil {
			return workspaceView{}, fmt.Errorf("create workspace %s: %w", w.ID, err)
		}
		return viewWorkspace(made), nil
	})
	if err != nil {
		return nil, err
	}
	return &createdWorkspace{Location: "/v1/workspaces/" + w.ID, ETag: etag(1), Body: view}, nil
}

// wasCreated returns the workspace that exists when an earlier attempt of the request, whose
// end nobody saw, created it; otherwise refusal.
func (a *api) wasCreated(ctx context.Context, w workspace.Workspace, refusal error) (workspace.Workspace, error) {
	found, err := a.Catalog.Workspace(ctx, w.ID)
	if err == nil && (found.Rev != 1 || found.CreatedBy != w.CreatedBy || found.Name != w.Name) {
		err = refusal
	}
	return found, err
}

func (a *api) getWorkspace(ctx context.Context, _ *WorkspacePath) (*workspaceAnswer, error) {
	w, err := a.workspace(ctx)
	if err != nil {
		return nil, err
	}
	return &workspaceAnswer{ETag: etag(w.Rev), Body: viewWorkspace(w)}, nil
}

// workspace reads the one that the request is about.
func (a *api) workspace(ctx context.Context) (workspace.Workspace, error) {
	ws := tenancy.CallerFrom(ctx).Workspace
	w, err := a.Catalog.Workspace(ctx, ws)
	if err != nil {
		return workspace.Workspace{}, fmt.Errorf("read workspace %s: %w", ws, err)
	}
	return w, nil
}
