package uploadapi

import (
	"context"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/closing"
	"github.com/stowage-dev/stowage/shared/completion"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/ratelimit"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Catalog is the truth about what is stored. A list returns the items of a page and the
// position after it, "" at the end.
type Catalog interface {
	Workspaces
	Members
	Uploads
	Objects
}

// Workspaces keeps tenants and their quota.
type Workspaces interface {
	CreateWorkspace(ctx context.Context, w workspace.Workspace, owner workspace.Member) error
	Workspace(ctx context.Context, ws string) (workspace.Workspace, error)
	SetQuota(ctx context.Context, ws string, q workspace.Quota, ifRev int64) (workspace.Workspace, error)
	Usage(ctx context.Context, ws string) (workspace.Usage, error)
}

// Members keeps who may do what in a workspace.
type Members interface {
	PutMember(ctx context.Context, m workspace.Member) error
	Member(ctx context.Context, ws, sub string) (workspace.Member, error)
	RemoveMember(ctx context.Context, ws, sub string) error
	Members(ctx context.Context, ws string, page catalog.Page) ([]workspace.Member, string, error)
}

// Uploads keeps uploads, the quota that they hold, and how fast they may be opened.
type Uploads interface {
	completion.Catalog
	closing.Quota
	ratelimit.Catalog
	OpenUpload(ctx context.Context, w workspace.Workspace, u upload.Upload) (upload.Upload, error)
	StartMultipart(ctx context.Context, ws, id, s3UploadID string) (upload.Upload, error)
	EndUpload(ctx context.Context, ws, id string, event upload.Event, by upload.Actor) (upload.Upload, error)
}

// Objects keeps what was published.
type Objects interface {
	PathOwner(ctx context.Context, ws, path string) (objectID string, err error)
	Object(ctx context.Context, ws, id string) (object.Object, error)
	Version(ctx context.Context, ws, id, version string) (object.Version, error)
	Derivative(ctx context.Context, ws, id, name string) (object.Derivative, error)
	ListObjects(ctx context.Context, ws, parent string, page catalog.Page) ([]object.Object, string, error)
	ListByState(ctx context.Context, ws string, state object.State, page catalog.Page) ([]object.Object, string, error)
	DeleteObject(ctx context.Context, ws, id string, ifRev int64, by string) (object.Object, error)
	UndeleteObject(ctx context.Context, ws, id string, ifRev int64, by string) (object.Object, error)
	Versions(ctx context.Context, ws, id string, page catalog.Page) ([]object.Version, string, error)
}
