package s3store

import (
	"context"
	"fmt"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/upload"
)

// abortAttempts bounds how often an upload is aborted that parts keep arriving for.
const abortAttempts = 5

// AbortUntilGone aborts the multipart upload of u until S3 does not know it any more: a
// part that was on its way during the first abort can have been stored after it.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_AbortMultipartUpload.html
func (m *Multipart) AbortUntilGone(ctx context.Context, u upload.Upload) error {
	for range abortAttempts {
		if err := m.AbortMultipart(ctx, u); err != nil {
			return err
		}
		_, _, err := m.ListParts(ctx, u, 0, 1)
		switch {
		case fault.Is(err, fault.NotFound):
			return nil
		case err != nil:
			return err
		}
	}
	return fault.Wrap(fault.Unavailable, fmt.Errorf("abort multipart upload of %s: there still %d times", u.S3Key, abortAttempts),
		"parts of the upload are still arriving: try again")
}
