package uploadapi

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/object"
)

type objectUndelete struct {
	ObjectPath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"The ETag that the object must still have."`
}

type versionList struct {
	ObjectPath
	httpapi.PageQuery
}

type versionView struct {
	ID           string           `json:"id" doc:"That of the upload, too."`
	State        object.State     `json:"state" enum:"available,rejected"`
	Size         int64            `json:"size"`
	ContentType  string           `json:"contentType" doc:"As declared."`
	DetectedType string           `json:"detectedType,omitempty" doc:"As found in the bytes."`
	SHA256       string           `json:"sha256,omitempty" doc:"Base64."`
	CRC64NVME    string           `json:"crc64nvme,omitempty" doc:"Base64."`
	Integrity    object.Integrity `json:"integrity,omitempty" enum:"verified,recorded"`
	Picture      *pictureView     `json:"picture,omitempty"`
	Reason       *reasonView      `json:"reason,omitempty" doc:"Why it was rejected."`
	CreatedAt    time.Time        `json:"createdAt"`
	CreatedBy    string           `json:"createdBy"`
}

type versionPage struct {
	Body struct {
		Items      []versionView `json:"items" nullable:"false"`
		NextCursor *string       `json:"nextCursor" doc:"For the next page; null on the last one."`
	}
}

func (a *api) undeleteRoutes(routes *httpapi.Routes) {
	register(a, routes, operation{
		id: "undeleteObject", method: http.MethodPost, path: "/v1/objects/{id}/undelete", tag: "objects",
		summary: "Bring a deleted object back",
		detail: "To its path, which must be free. It has held its quota all the while, so there is room for it. " +
			"An object that is not deleted is answered as it is; one that was deleted while a scanner had yet to look at it comes back into quarantine.",
		access: toWrite(), codes: []fault.Code{fault.NotFound, fault.PreconditionFailed, fault.Conflict, fault.PathTaken},
	}, a.undeleteObject)
	register(a, routes, operation{
		id: "listVersions", method: http.MethodGet, path: "/v1/objects/{id}/versions", tag: "objects",
		summary: "List the versions of an object",
		detail:  "The latest first. A version that waits for a scanner is not among them, one that was rejected is, until its record expires.",
		access:  toRead(), codes: []fault.Code{fault.NotFound},
	}, a.listVersions)
}

func (a *api) undeleteObject(ctx context.Context, in *objectUndelete) (*objectAnswer, error) {
	ifRev, err := revOf(in.IfMatch)
	if err != nil {
		return nil, err
	}
	if !object.IsID(in.ID) {
		return nil, noObject()
	}
	err = onceOnly(ctx, a, func(ctx context.Context) error {
		if _, err := a.Catalog.UndeleteObject(ctx, tenancy.CallerFrom(ctx).Workspace, in.ID, ifRev, tenancy.CallerFrom(ctx).Sub); err != nil {
			return fmt.Errorf("undelete object %s: %w", in.ID, err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return a.getObject(ctx, &in.ObjectPath)
}

func (a *api) listVersions(ctx context.Context, in *versionList) (*versionPage, error) {
	o, err := a.object(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	versions, next, err := list(ctx, a.Cursors, "versions of "+o.ID, in.PageQuery, func(page catalog.Page) ([]object.Version, string, error) {
		return a.Catalog.Versions(ctx, o.Workspace, o.ID, page)
	})
	if err != nil {
		return nil, err
	}
	out := &versionPage{}
	out.Body.NextCursor = next
	out.Body.Items = make([]versionView, len(versions))
	for i, v := range versions {
		out.Body.Items[i] = versionView{
			ID: v.ID, State: v.State, Size: v.Size, ContentType: v.ContentType, DetectedType: v.DetectedType,
			SHA256: v.SHA256, CRC64NVME: v.CRC64NVME, Integrity: v.Integrity, Picture: viewPicture(v.Picture), Reason: viewReason(v.Reason),
			CreatedAt: v.CreatedAt.UTC(), CreatedBy: v.CreatedBy,
		}
	}
	return out, nil
}
