package uploadapi

import (
	"context"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/object"
)

type objectView struct {
	ID           string            `json:"id"`
	Path         string            `json:"path" example:"reports/2026/q3.pdf"`
	Parent       string            `json:"parent" doc:"The folder; empty for the root." example:"reports/2026"`
	Name         string            `json:"name" example:"q3.pdf"`
	State        object.State      `json:"state" enum:"available,quarantined,rejected,deleted"`
	Rev          int64             `json:"rev" doc:"Rises by one with every change; also the ETag."`
	Version      string            `json:"version" doc:"The id of the current version."`
	Size         int64             `json:"size"`
	ContentType  string            `json:"contentType" doc:"As declared."`
	DetectedType string            `json:"detectedType,omitempty" doc:"As found in the bytes."`
	SHA256       string            `json:"sha256,omitempty" doc:"Base64."`
	CRC64NVME    string            `json:"crc64nvme,omitempty" doc:"Base64."`
	Integrity    object.Integrity  `json:"integrity,omitempty" enum:"verified,recorded" doc:"verified: the bytes have the declared checksum; recorded: none was declared."`
	Tags         map[string]string `json:"tags,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	Picture      *pictureView      `json:"picture,omitempty" doc:"Of an image, once its derivatives were made."`
	Reason       *reasonView       `json:"reason,omitempty" doc:"Why it was rejected."`
	CreatedAt    time.Time         `json:"createdAt"`
	CreatedBy    string            `json:"createdBy"`
	UpdatedAt    time.Time         `json:"updatedAt"`
	UpdatedBy    string            `json:"updatedBy"`
	DeletedAt    *time.Time        `json:"deletedAt,omitempty"`
}

func viewObject(o object.Object) objectView {
	return objectView{
		ID: o.ID, Path: o.Path, Parent: o.Parent, Name: o.Name, State: o.State, Rev: o.Rev,
		Version: o.Version, Size: o.Size, ContentType: o.ContentType, DetectedType: o.DetectedType,
		SHA256: o.SHA256, CRC64NVME: o.CRC64NVME, Integrity: o.Integrity,
		Tags: o.Tags, Metadata: o.Metadata, Picture: viewPicture(o.Picture), Reason: viewReason(o.Reason),
		CreatedAt: o.CreatedAt.UTC(), CreatedBy: o.CreatedBy,
		UpdatedAt: o.UpdatedAt.UTC(), UpdatedBy: o.UpdatedBy, DeletedAt: viewTime(o.DeletedAt),
	}
}

// ObjectPath names an object.
type ObjectPath struct {
	ID string `path:"id" maxLength:"64" doc:"The object's id."`
}

type objectAnswer struct {
	ETag string `header:"ETag" doc:"The rev, in quotes."`
	Body objectView
}

type objectDelete struct {
	ObjectPath
	IfMatch string `header:"If-Match" maxLength:"64" doc:"The ETag that the object must still have."`
}

type objectList struct {
	httpapi.PageQuery
	Parent string `query:"parent" maxLength:"1024" doc:"The folder; empty for the root." example:"reports/2026"`
	State  string `query:"state" enum:"available,quarantined,rejected,deleted" doc:"available, the default, lists a folder; any other state lists the whole workspace, last changed first."`
}

type objectPage struct {
	Body struct {
		Items      []objectView `json:"items" nullable:"false"`
		NextCursor *string      `json:"nextCursor" doc:"For the next page; null on the last one."`
	}
}

func (a *api) objectRoutes(routes *httpapi.Routes) {
	register(a, routes, operation{
		id: "listObjects", method: http.MethodGet, path: "/v1/objects", tag: "objects",
		summary: "List the objects of a folder, or those in a state",
		detail:  "A folder is listed in the order of names. Lists are eventually consistent.",
		access:  toRead(),
	}, a.listObjects)
	register(a, routes, operation{
		id: "getObject", method: http.MethodGet, path: "/v1/objects/{id}", tag: "objects",
		summary: "Read an object",
		access:  toRead(), codes: []fault.Code{fault.NotFound},
	}, a.getObject)
	register(a, routes, operation{
		id: "deleteObject", method: http.MethodDelete, path: "/v1/objects/{id}", tag: "objects", status: http.StatusNoContent,
		summary: "Delete an object softly",
		detail:  "Frees its path. It holds its quota until it is purged. Deleting twice changes nothing.",
		access:  toWrite(), codes: []fault.Code{fault.NotFound, fault.PreconditionFailed, fault.Conflict},
	}, a.deleteObject)
	a.undeleteRoutes(routes)
	a.contentRoute(routes)
}

func (a *api) getObject(ctx context.Context, in *ObjectPath) (*objectAnswer, error) {
	o, err := a.object(ctx, in.ID)
	if err != nil {
		return nil, err
	}
	return &objectAnswer{ETag: etag(o.Rev), Body: viewObject(o)}, nil
}

func (a *api) object(ctx context.Context, id string) (object.Object, error) {
	if !object.IsID(id) {
		return object.Object{}, noObject()
	}
	o, err := a.Catalog.Object(ctx, tenancy.CallerFrom(ctx).Workspace, id)
	if err != nil {
		return object.Object{}, fmt.Errorf("read object %s: %w", id, err)
	}
	return o, nil
}

func noObject() error { return fault.New(fault.NotFound, "there is no object with this id") }

func (a *api) deleteObject(ctx context.Context, in *objectDelete) (*struct{}, error) {
	ifRev, err := revOf(in.IfMatch)
	if err != nil {
		return nil, err
	}
	if !object.IsID(in.ID) {
		return nil, noObject()
	}
	return nil, onceOnly(ctx, a, func(ctx context.Context) error {
		if _, err := a.Catalog.DeleteObject(ctx, tenancy.CallerFrom(ctx).Workspace, in.ID, ifRev, tenancy.CallerFrom(ctx).Sub); err != nil {
			return fmt.Errorf("delete object %s: %w", in.ID, err)
		}
		return nil
	})
}

func etag(rev int64) string { return `"` + strconv.FormatInt(rev, 10) + `"` }

// revOf reads an If-Match header: 0 for none and for "*", which any rev matches.
func revOf(ifMatch string) (int64, error) {
	if ifMatch == "" || ifMatch == "*" {
		return 0, nil
	}
	quoted, ok := strings.CutPrefix(ifMatch, `"`)
	text, closed := strings.CutSuffix(quoted, `"`)
	rev, err := strconv.ParseInt(text, 10, 64)
	if !ok || !closed || err != nil || rev < 1 || etag(rev) != ifMatch {
		return 0, fault.Invalid("header.If-Match", "must be an ETag that was answered, such as \"3\" with its quotes, or *")
	}
	return rev, nil
}
