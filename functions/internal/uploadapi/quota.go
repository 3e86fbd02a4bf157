package uploadapi

import (
	"context"
	"fmt"
	"net/http"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/idempotency"
	"github.com/stowage-dev/stowage/shared/workspace"
)

type quotaView struct {
	Bytes          int64 `json:"bytes" minimum:"0" doc:"Stored and reserved together." example:"10737418240"`
	Objects        int64 `json:"objects" minimum:"0" example:"100000"`
	OpenUploads    int64 `json:"openUploads" minimum:"0" example:"1000"`
	MaxObjectBytes int64 `json:"maxObjectBytes" minimum:"0" doc:"The largest single object." example:"5497558138880"`
	// What is left out is the default, and answered as that.
	WritesPerSecond int64 `json:"writesPerSecond,omitempty" minimum:"1" maximum:"1000000" default:"50" doc:"How often members may write." example:"50"`
	WritesBurst     int64 `json:"writesBurst,omitempty" minimum:"1" maximum:"1000000" default:"200" doc:"How many writes may come at once." example:"200"`
}

func viewQuota(q workspace.Quota) quotaView {
	writes := q.Writes.Or(workspace.DefaultWrites())
	return quotaView{
		Bytes: q.Bytes, Objects: q.Objects, OpenUploads: q.OpenUploads, MaxObjectBytes: q.MaxObjectBytes,
		WritesPerSecond: writes.PerSecond, WritesBurst: writes.Burst,
	}
}

type quotaInput struct {
	WorkspacePath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"The ETag that the workspace must still have."`
	Body    quotaView
}

type quotaAnswer struct {
	ETag string `header:"ETag" doc:"The rev of the workspace, in quotes."`
	Body quotaView
}

type amountView struct {
	Limit     int64 `json:"limit"`
	Reserved  int64 `json:"reserved" doc:"Held by open uploads."`
	Stored    int64 `json:"stored" doc:"Held by objects, deleted ones that are not purged included."`
	Available int64 `json:"available"`
}

type usageAnswer struct {
	Body struct {
		Bytes       amountView `json:"bytes"`
		Objects     amountView `json:"objects"`
		OpenUploads amountView `json:"openUploads"`
	}
}

func (a *api) quotaRoutes(routes *httpapi.Routes) {
	register(a, routes, operation{
		id: "getQuota", method: http.MethodGet, path: "/v1/workspaces/{ws}/quota", tag: "workspaces",
		summary: "Read a quota",
		access:  toAdmin(),
	}, a.getQuota)
	register(a, routes, operation{
		id: "putQuota", method: http.MethodPut, path: "/v1/workspaces/{ws}/quota", tag: "workspaces",
		summary: "Set a quota",
		detail:  "A quota that is lower than what is stored and reserved is refused, with the numbers.",
		access:  toAdmin(), codes: []fault.Code{fault.QuotaInUse, fault.PreconditionFailed},
	}, a.putQuota)
	register(a, routes, operation{
		id: "getUsage", method: http.MethodGet, path: "/v1/usage", tag: "workspaces",
		summary: "Read what is used of the quota",
		access:  toRead(), codes: []fault.Code{fault.NotFound},
	}, a.getUsage)
}

func (a *api) getQuota(ctx context.Context, _ *WorkspacePath) (*quotaAnswer, error) {
	w, err := a.workspace(ctx)
	if err != nil {
		return nil, err
	}
	return &quotaAnswer{ETag: etag(w.Rev), Body: viewQuota(w.Quota)}, nil
}

func (a *api) putQuota(ctx context.Context, in *quotaInput) (*quotaAnswer, error) {
	ws := tenancy.CallerFrom(ctx).Workspace
	q := workspace.Quota{
		Bytes: in.Body.Bytes, Objects: in.Body.Objects,
		OpenUploads: in.Body.OpenUploads, MaxObjectBytes: in.Body.MaxObjectBytes,
		Writes: workspace.Rate{PerSecond: in.Body.WritesPerSecond, Burst: in.Body.WritesBurst},
	}
	if err := q.Validate(); err != nil {
		return nil, fault.Inside("body.", err)
	}
	ifRev, err := revOf(in.IfMatch)
	if err != nil {
		return nil, err
	}
	set, err := once(ctx, a, func(ctx context.Context, claim idempotency.Claim) (revisedQuota, error) {
		w, err := a.Catalog.SetQuota(ctx, ws, q, ifRev)
		if fault.Is(err, fault.PreconditionFailed) && !claim.First() {
			w, err = a.quotaWasSet(ctx, q, ifRev+1, err)
		}
		if err != nil {
			return revisedQuota{}, fmt.Errorf("set the quota of %s: %w", ws, err)
		}
		return revisedQuota{Rev: w.Rev, Quota: viewQuota(w.Quota)}, nil
	})
	if err != nil {
		return nil, err
	}
	return &quotaAnswer{ETag: etag(set.Rev), Body: set.Quota}, nil
}

// revisedQuota is what is kept of a quota that was set for a repetition of the request.
type revisedQuota struct {
	Rev   int64     `json:"rev"`
	Quota quotaView `json:"quota"`
}

// quotaWasSet returns the workspace when an earlier attempt of the request, whose end
// nobody saw, made the very change; otherwise refusal.
func (a *api) quotaWasSet(ctx context.Context, q workspace.Quota, rev int64, refusal error) (workspace.Workspace, error) {
	w, err := a.workspace(ctx)
	if err == nil && (w.Rev != rev || w.Quota != q) {
		err = refusal
	}
	return w, err
}

func (a *api) getUsage(ctx context.Context, _ *struct{}) (*usageAnswer, error) {
	ws := tenancy.CallerFrom(ctx).Workspace
	u, err := a.Catalog.Usage(ctx, ws)
	if err != nil {
		return nil, fmt.Errorf("read the usage of %s: %w", ws, err)
	}
	out := &usageAnswer{}
	out.Body.Bytes = amountView{u.Limit.Bytes, u.Reserved.Bytes, u.Stored.Bytes, u.Available.Bytes}
	out.Body.Objects = amountView{u.Limit.Objects, u.Reserved.Objects, u.Stored.Objects, u.Available.Objects}
	out.Body.OpenUploads = amountView{u.Limit.Uploads, u.Reserved.Uploads, u.Stored.Uploads, u.Available.Uploads}
	return out, nil
}
