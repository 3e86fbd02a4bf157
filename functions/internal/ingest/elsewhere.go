package ingest

import (
	"context"
	"log/slog"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/upload"
)

// This file is about what happens to versions after they were stored, by S3's own doing or
// by somebody with rights on the bucket.

// ownClass is the storage class into which the bucket's lifecycle puts everything, a few
// hours after it came.
const ownClass = "INTELLIGENT_TIERING"

// passOver counts what changes nothing that the catalog knows. A delete marker hides no
// version from those who read it by its id, as everybody here does.
func (h *Handler) passOver(ctx context.Context, family, what string) {
	h.Metrics.Add("IngestIgnoredEvents", 1, observe.Dimension{Name: "event", Value: family})
	switch {
	case what == markerCreated:
		h.Log.LogAttrs(ctx, slog.LevelWarn, "delete marker on content")
	case family == restored:
		h.Log.LogAttrs(ctx, slog.LevelInfo, "restore of archived content", slog.String("step", what))
	}
}

// gone deals with a version that was removed for good. Mostly it was removed by us. What
// the catalog still counts on is not taken out of it: whoever removed the bytes may be
// able to bring them back, and the catalog alone says whose they were.
func (h *Handler) gone(ctx context.Context, key object.KeyParts, r record) error {
	u, err := h.Catalog.Upload(ctx, key.Workspace, key.Version)
	switch {
	case fault.Is(err, fault.NotFound):
		u = upload.Upload{Workspace: key.Workspace, ID: key.Version, ObjectID: key.ObjectID, State: upload.Available, S3Key: r.at.Key, S3VersionID: r.at.VersionID}
	case err != nil:
		return err
	}
	counted, err := h.countedOn(ctx, u, r.at)
	if err != nil || !counted {
		h.Metrics.Add("IngestRemovals", 1)
		return err
	}
	// Events come in any order: what is there is there.
	if _, err := h.Inspector.Inspect(ctx, r.at); !fault.Is(err, fault.NotFound) {
		return err
	}
	h.Metrics.Add("IngestLostVersions", 1)
	h.Log.LogAttrs(ctx, slog.LevelError, "bytes that the catalog counts on were removed", slog.String("event", r.event), slog.String("object", u.ObjectID))
	return nil
}

// countedOn reports whether the catalog needs a version: as one of an object, or while it
// waits for a scanner.
func (h *Handler) countedOn(ctx context.Context, u upload.Upload, at object.Location) (bool, error) {
	switch {
	case u.S3Key != at.Key:
		return false, nil
	case u.Waits(at.VersionID):
		return true, nil
	case !u.Keeps(at.VersionID):
		return false, nil
	}
	v, err := h.Catalog.Version(ctx, u.Workspace, u.ObjectID, u.ID)
	if fault.Is(err, fault.NotFound) {
		return false, nil // it was purged
	}
	return err == nil && v.State == object.Available && v.S3VersionID == at.VersionID, err
}

// moved records the storage class into which S3 has moved a version.
func (h *Handler) moved(ctx context.Context, key object.KeyParts, r record) error {
	if r.class == ownClass || r.class == "" {
		h.Metrics.Add("IngestIgnoredEvents", 1, observe.Dimension{Name: "event", Value: transitioned})
		return nil
	}
	u, err := h.Catalog.Upload(ctx, key.Workspace, key.Version)
	switch {
	case fault.Is(err, fault.NotFound): // its record has expired, and it is of the object in its key
		u = upload.Upload{Workspace: key.Workspace, ID: key.Version, ObjectID: key.ObjectID, State: upload.Available, S3Key: r.at.Key, S3VersionID: r.at.VersionID}
	case err != nil:
		return err
	}
	if !u.Keeps(r.at.VersionID) || u.S3Key != r.at.Key {
		return nil
	}
	err = h.Settler.SetStorageClass(ctx, u.Workspace, u.ObjectID, u.ID, r.class)
	if fault.Is(err, fault.NotFound) {
		return nil // it was purged
	}
	return err
}
