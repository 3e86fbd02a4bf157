package catalog

import (
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Schema is every entity of the catalog. It is safe for concurrent use.
type Schema struct {
	Workspaces *Entity[workspace.Workspace]
	Members    *Entity[workspace.Member]
	Shards     *Entity[workspace.Shard]
	Buckets    *Entity[workspace.Bucket]
	Paths      *Entity[object.Claim]
	Objects    *Entity[object.Object]
	Versions   *Entity[object.Version]
	// Derivatives lie in the partition of their object.
	Derivatives *Entity[object.Derivative]
	Uploads     *Entity[upload.Upload]
	Sweeps      *Entity[upload.Checkpoint]
}

// Declare returns the schema. Build it once and keep it.
func Declare() *Schema {
	return &Schema{
		Workspaces:  workspaces(),
		Members:     members(),
		Shards:      shards(),
		Buckets:     buckets(),
		Paths:       paths(),
		Objects:     objects(),
		Versions:    versions(),
		Derivatives: derivatives(),
		Uploads:     uploads(),
		Sweeps:      sweeps(),
	}
}

// Page asks for a part of a list.
type Page struct {
	// Limit is the most items to return, at most limits.PageItems. 0: that many.
	Limit int
	// After is what the page before returned as its end; "" is the first page.
	// It says where in a list to go on and not in which one, so it cannot lead
	// into another workspace.
	After string
}
