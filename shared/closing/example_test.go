package closing_test

import (
	"context"

	"github.com/stowage-dev/stowage/shared/closing"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/s3store"
	"github.com/stowage-dev/stowage/shared/upload"
)

// Whoever ends an upload closes it, so that its quota is back when the answer is.
func ExampleCloser_Close() {
	abort := func(ctx context.Context, store *ddbstore.Store, keys *s3store.Keeper, workspace, id string) error {
		u, err := store.EndUpload(ctx, workspace, id, upload.Abort, upload.Client)
		if err != nil {
			return err
		}
		return closing.New(keys, store).Close(ctx, u)
	}
	_ = abort
}
