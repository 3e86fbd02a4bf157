package s3store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

// Sealer closes the keys of uploads that have ended.
//
// S3 looks at the expiry of a signed URL when the request begins, so a PUT may land long
// after its upload has ended. But every signed PUT, and every completion, carries
// If-None-Match: *, and so finds a key closed at which anything is stored. A seal is the
// least that can be stored: an empty object.
//
// Its client needs s3:PutObject and s3:DeleteObjectVersion on the bucket's objects,
// s3:ListBucketVersions on the bucket, and the bucket key's kms:GenerateDataKey. It is safe
// for concurrent use.
type Sealer struct {
	client *s3.Client
	bucket string
}

// NewSealer returns the sealer of bucket's keys.
func NewSealer(client *s3.Client, bucket string) *Sealer {
	return &Sealer{client: client, bucket: bucket}
}

// Keeper does to the keys of uploads that have ended all that there is to do, with the
// rights of one client: those of Sealer and of Multipart.
type Keeper struct {
	*Sealer
	*Multipart
}

// NewKeeper returns the keeper of bucket's keys.
func NewKeeper(client *s3.Client, bucket string) *Keeper {
	return &Keeper{NewSealer(client, bucket), NewMultipart(client, bucket)}
}

// sealAttempts bounds how often a key is found open and then taken. Somebody who replays
// a signed PUT as fast as the key is emptied loses a race now and then, not every time.
const sealAttempts = 20

// Seal deletes for good what is stored at a key and closes it: when it returns nil, no
// request that carries If-None-Match: * can store anything there any more. Call it only
// for an upload that has ended and was not published. Sealing a sealed key changes
// nothing.
func (s *Sealer) Seal(ctx context.Context, key string) error {
	for range sealAttempts {
		_, err := s.client.PutObject(ctx, &s3.PutObjectInput{
			Bucket: &s.bucket, Key: &key, Body: bytes.NewReader(nil), IfNoneMatch: aws.String("*"),
		})
		switch {
		case err == nil:
			return nil
		case !occupied(err):
			return fmt.Errorf("seal %s: %w", key, s3Fault(err))
		}
		sealed, err := s.empty(ctx, key)
		if err != nil || sealed {
			return err
		}
	}
	return fault.Wrap(fault.Unavailable, fmt.Errorf("seal %s: taken again %d times", key, sealAttempts),
		"somebody keeps writing to the key of the upload: try again")
}

// occupied reports whether S3 refused a conditional write because something is stored at
// the key, or because another conditional write to it is on its way.
// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
func occupied(err error) bool {
	var resp *smithyhttp.ResponseError
	if !errors.As(err, &resp) {
		return false
	}
	status := resp.HTTPStatusCode()
	return status == http.StatusPreconditionFailed || status == http.StatusConflict
}

// empty deletes every version of a key but a seal that is in force, and reports whether
// there is one.
func (s *Sealer) empty(ctx context.Context, key string) (sealed bool, err error) {
	versions, err := s.versions(ctx, key)
	if err != nil {
		return false, err
	}
	for i, v := range versions {
		if latest := i == 0; latest && v.Seal() {
			sealed = true
			continue
		}
		if err := s.DeleteVersion(ctx, v.Location); err != nil {
			return false, err
		}
	}
	return sealed, nil
}

// versions lists the versions and delete markers of one key, the latest first.
func (s *Sealer) versions(ctx context.Context, key string) ([]object.Stored, error) {
	out, err := s.client.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: &s.bucket, Prefix: &key})
	if err != nil {
		return nil, fmt.Errorf("list the versions of %s: %w", key, s3Fault(err))
	}
	var latest, older []object.Stored
	add := func(v object.Stored, isLatest *bool) {
		switch {
		case v.Key != key:
		case aws.ToBool(isLatest):
			latest = append(latest, v)
		default:
			older = append(older, v)
		}
	}
	for _, v := range out.Versions {
		add(storedVersion(v), v.IsLatest)
	}
	for _, m := range out.DeleteMarkers {
		add(storedMarker(m), m.IsLatest)
	}
	return append(latest, older...), nil
}

func storedVersion(v types.ObjectVersion) object.Stored {
	return object.Stored{
		Location:   object.Location{Key: aws.ToString(v.Key), VersionID: aws.ToString(v.VersionId)},
		Size:       aws.ToInt64(v.Size),
		ModifiedAt: aws.ToTime(v.LastModified),
	}
}

func storedMarker(m types.DeleteMarkerEntry) object.Stored {
	return object.Stored{
		Location:     object.Location{Key: aws.ToString(m.Key), VersionID: aws.ToString(m.VersionId)},
		ModifiedAt:   aws.ToTime(m.LastModified),
		DeleteMarker: true,
	}
}

// Held returns the versions stored at a key that hold something or may be what a client
// stored: all but delete markers, the latest first.
func (s *Sealer) Held(ctx context.Context, key string) ([]object.Stored, error) {
	all, err := s.versions(ctx, key)
	if err != nil {
		return nil, err
	}
	var held []object.Stored
	for _, v := range all {
		if !v.DeleteMarker {
			held = append(held, v)
		}
	}
	return held, nil
}

// DeleteVersion removes a version for good. Removing one that is gone is a success.
func (s *Sealer) DeleteVersion(ctx context.Context, at object.Location) error {
	_, err := s.client.DeleteObject(ctx, &s3.DeleteObjectInput{Bucket: &s.bucket, Key: &at.Key, VersionId: &at.VersionID})
	if err = s3Fault(err); err != nil && !fault.Is(err, fault.NotFound) {
		return fmt.Errorf("delete %s: %w", at, err)
	}
	return nil
}
