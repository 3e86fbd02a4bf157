package s3store

import (
	"context"
	"fmt"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/shared/object"
)

// Reader reads whole versions, in quarantine or not, as streams. It needs
// s3:GetObjectVersion on the bucket's objects, kms:Decrypt with the bucket's key, and for
// what is in quarantine a role with the principal tag object.PrincipalReader. It is safe
// for concurrent use.
type Reader struct {
	client *s3.Client
	bucket string
}

// NewReader returns a reader of bucket.
func NewReader(client *s3.Client, bucket string) *Reader {
	return &Reader{client: client, bucket: bucket}
}

// Open returns the bytes of a version, to be closed, or fault.NotFound for one that is
// gone. Reading fails where the bytes break off, or are not those of the checksum that S3
// keeps.
func (r *Reader) Open(ctx context.Context, at object.Location) (io.ReadCloser, error) {
	out, err := r.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &r.bucket, Key: &at.Key, VersionId: &at.VersionID})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", at, s3Fault(err))
	}
	return out.Body, nil
}
