package uploadapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

type uploadView struct {
	ID          string          `json:"id" doc:"Also the id of the version that the upload becomes."`
	ObjectID    string          `json:"objectId"`
	Path        string          `json:"path"`
	State       upload.State    `json:"state" enum:"open,uploading,completing,uploaded,quarantined,available,rejected,expired,aborted"`
	Size        int64           `json:"size"`
	ContentType string          `json:"contentType"`
	Mode        upload.Mode     `json:"mode" enum:"single,multipart"`
	PartSize    int64           `json:"partSize,omitempty" doc:"In mode multipart: bytes of every part but the last."`
	PartCount   int             `json:"partCount,omitempty" doc:"In mode multipart: parts are numbered from 1 to this."`
	IfExists    upload.IfExists `json:"ifExists" enum:"fail,version"`
	Reason      *reasonView     `json:"reason,omitempty" doc:"Why it was rejected, why storage refused its last completion, or why a scanner has reached no verdict."`
	CreatedAt   time.Time       `json:"createdAt"`
	CreatedBy   string          `json:"createdBy"`
	ExpiresAt   time.Time       `json:"expiresAt" doc:"When the upload ends if nothing has arrived."`
	EndedAt     *time.Time      `json:"endedAt,omitempty"`
}

type reasonView struct {
	Code   fault.Code `json:"code"`
	Detail string     `json:"detail"`
}

func viewUpload(u upload.Upload) uploadView {
	return uploadView{
		ID: u.ID, ObjectID: u.ObjectID, Path: u.Path, State: u.State, Size: u.Size,
		ContentType: u.ContentType, Mode: u.Mode, PartSize: u.PartSize, PartCount: u.PartCount(),
		IfExists: u.IfExists, Reason: viewReason(u.Reason),
		CreatedAt: u.CreatedAt.UTC(), CreatedBy: u.CreatedBy,
		ExpiresAt: u.ExpiresAt.UTC(), EndedAt: viewTime(u.EndedAt),
	}
}

func viewReason(r *object.Reason) *reasonView {
	if r == nil {
		return nil
	}
	return &reasonView{Code: r.Code, Detail: r.Detail}
}

// viewTime is nil for a time that has not come.
func viewTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

type uploadPath struct {
	ID string `path:"id" maxLength:"64" doc:"The upload's id."`
}

type uploadAnswer struct {
	Body uploadView
}

func (a *api) uploadRoutes(routes *httpapi.Routes) {
	a.openRoute(routes)
	register(a, routes, operation{
		id: "getUpload", method: http.MethodGet, path: "/v1/uploads/{id}", tag: "uploads",
		summary: "Read an upload",
		access:  toRead(), codes: []fault.Code{fault.NotFound},
	}, a.getUpload)
	a.partRoutes(routes)
	register(a, routes, operation{
		id: "abortUpload", method: http.MethodDelete, path: "/v1/uploads/{id}", tag: "uploads", status: http.StatusNoContent,
		summary: "Abort an upload",
		detail:  "Discards what has arrived, makes sure that nothing can arrive any more, and gives the reservation back. Aborting twice changes nothing. An upload that is being completed cannot be aborted.",
		access:  toWrite(), codes: []fault.Code{fault.NotFound, fault.UploadEnded, fault.Conflict},
	}, a.abortUpload)
}

func (a *api) getUpload(ctx context.Context, in *uploadPath) (*uploadAnswer, error) {
	u, err := a.upload(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &uploadAnswer{Body: viewUpload(u)}, nil
}

// upload reads one of the workspace that the request is about.
func (a *api) upload(ctx context.Context, id string) (upload.Upload, error) {
	if !object.IsID(id) {
		return upload.Upload{}, noUpload()
	}
	u, err := a.Catalog.Upload(ctx, tenancy.CallerFrom(ctx).Workspace, id)
	if err != nil {
		return upload.Upload{}, fmt.Errorf("read upload %s: %w", id, err)
	}
	return u, nil
}

func noUpload() error { return fault.New(fault.NotFound, "there is no upload with this id") }

func (a *api) abortUpload(ctx context.Context, in *uploadPath) (*struct{}, error) {
	if !object.IsID(in.ID) {
		return nil, noUpload()
	}
	return nil, onceOnly(ctx, a, func(ctx context.Context) error {
		u, err := a.Catalog.EndUpload(ctx, tenancy.CallerFrom(ctx).Workspace, in.ID, upload.Abort, upload.Client)
		if err != nil {
			return fmt.Errorf("abort upload %s: %w", in.ID, err)
		}
		if len(u.Reservation) == 0 {
			return nil // closed before
		}
		if err := a.closer.Close(ctx, u); err != nil {
			return fmt.Errorf("abort upload %s: %w", in.ID, err)
		}
		return nil
	})
}
