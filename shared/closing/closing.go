// Package closing does what remains to be done of an upload that has ended without
// being published: it makes sure that nothing is stored under its key and nothing can
// be any more, and then gives its quota back.
//
// Ending an upload and closing it are two steps with a crash possible in between, and
// bytes may be on their way during both. So ending (ddbstore.EndUpload) keeps the
// reservation, and closing gives it back last. Every step can be repeated, by anybody
// and by several at the same time: whoever ends an upload closes it, and the sweeper
// finds those that were left.
package closing

import (
	"context"
	"fmt"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/upload"
)

// Storage holds the bytes.
type Storage interface {
	// AbortUntilGone discards the parts of a multipart upload.
	AbortUntilGone(ctx context.Context, u upload.Upload) error
	// Seal deletes what is stored at a key and closes it to every signed request.
	Seal(ctx context.Context, key string) error
}

// Quota is given back.
type Quota interface {
	// ReleaseUpload gives back what an upload that has ended still holds. It is
	// idempotent.
	ReleaseUpload(ctx context.Context, workspace, id string) error
}

// Closer closes uploads. It is safe for concurrent use.
type Closer struct {
	storage Storage
	quota   Quota
}

// New returns a Closer.
func New(storage Storage, quota Quota) *Closer {
	return &Closer{storage: storage, quota: quota}
}

// Close closes an upload as it was read. It returns a Conflict error for one that has
// not ended, or that was published: whose bytes are an object's.
func (c *Closer) Close(ctx context.Context, u upload.Upload) error {
	if !u.State.Ended() || u.State == upload.Available {
		return fault.New(fault.Conflict, "the upload is %s: only one that ended without an object can be closed", u.State)
	}
	// A completion may have gone through before the abort, or go through after it where
	// it was cut off: an aborted upload's key is sealed like any other.
	if u.S3UploadID != "" {
		if err := c.storage.AbortUntilGone(ctx, u); err != nil {
			return fmt.Errorf("close upload %s: %w", u.ID, err)
		}
	}
	if err := c.storage.Seal(ctx, u.S3Key); err != nil {
		return fmt.Errorf("close upload %s: %w", u.ID, err)
	}
	if err := c.quota.ReleaseUpload(ctx, u.Workspace, u.ID); err != nil {
		return fmt.Errorf("close upload %s: %w", u.ID, err)
	}
	return nil
}
