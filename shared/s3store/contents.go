package s3store

import (
	"context"
	"fmt"
	"iter"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// Contents lists what a bucket holds under object.KeyPrefix, as it is now.
//
// Its client needs s3:ListBucketVersions and s3:ListBucketMultipartUploads on the bucket,
// and s3:AbortMultipartUpload on its objects. It is safe for concurrent use.
type Contents struct {
	client *s3.Client
	bucket string
}

// NewContents returns the contents of bucket.
func NewContents(client *s3.Client, bucket string) *Contents {
	return &Contents{client: client, bucket: bucket}
}

// Versions yields all versions, by key and each key's latest first, from the one after
// the given mark on ("": the first). It leaves delete markers out. It ends after an
// error.
func (c *Contents) Versions(ctx context.Context, after string) iter.Seq2[object.Stored, error] {
	return func(yield func(object.Stored, error) bool) {
		in := &s3.ListObjectVersionsInput{Bucket: &c.bucket, Prefix: aws.String(object.KeyPrefix)}
		var last object.Location
		if key, version, ok := parseMark(after); ok {
			last = object.Location{Key: key, VersionID: version}
			in.KeyMarker, in.VersionIdMarker = &key, &version
		} else if after != "" {
			yield(object.Stored{}, badMark(after))
			return
		}
		for {
			out, err := c.client.ListObjectVersions(ctx, in)
			if err != nil {
				yield(object.Stored{}, fmt.Errorf("list the versions of bucket %s: %w", c.bucket, s3Fault(err)))
				return
			}
			for _, v := range out.Versions {
				found := storedVersion(v)
				if found.Location == last {
					continue // some servers begin with the marker and not after it
				}
				last = found.Location
				found.Mark = mark(found.Key, found.VersionID)
				if !yield(found, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			in.KeyMarker, in.VersionIdMarker = out.NextKeyMarker, out.NextVersionIdMarker
		}
	}
}

// Multiparts yields the multipart uploads that take parts, by key, from the given mark on
// ("": the first): those of the key at which the mark was given come again. It ends after
// an error.
func (c *Contents) Multiparts(ctx context.Context, after string) iter.Seq2[object.Parts, error] {
	return func(yield func(object.Parts, error) bool) {
		in := &s3.ListMultipartUploadsInput{Bucket: &c.bucket, Prefix: aws.String(object.KeyPrefix)}
		key, _, ok := parseMark(after)
		switch {
		case ok:
			in.KeyMarker = &key
		case after != "":
			yield(object.Parts{}, badMark(after))
			return
		}
		before := after
		for {
			out, err := c.client.ListMultipartUploads(ctx, in)
			if err != nil {
				yield(object.Parts{}, fmt.Errorf("list the multipart uploads of bucket %s: %w", c.bucket, s3Fault(err)))
				return
			}
			for _, u := range out.Uploads {
				found := object.Parts{Key: aws.ToString(u.Key), UploadID: aws.ToString(u.UploadId), BegunAt: aws.ToTime(u.Initiated)}
				if found.Key != key {
					// All uploads of the key before have been listed.
					if key != "" {
						before = mark(key, "")
					}
					key = found.Key
				}
				found.Mark = before
				if !yield(found, nil) {
					return
				}
			}
			if !aws.ToBool(out.IsTruncated) {
				return
			}
			in.KeyMarker, in.UploadIdMarker = out.NextKeyMarker, out.NextUploadIdMarker
		}
	}
}

// AbortParts discards a multipart upload that was listed. That it is gone is a success.
func (c *Contents) AbortParts(ctx context.Context, p object.Parts) error {
	return NewMultipart(c.client, c.bucket).AbortMultipart(ctx, upload.Upload{S3Key: p.Key, S3UploadID: p.UploadID})
}

// mark names a place in a listing: a key and a version or upload of it.
func mark(key, id string) string { return url.QueryEscape(key) + " " + url.QueryEscape(id) }

func parseMark(text string) (key, id string, ok bool) {
	key, id, found := strings.Cut(text, " ")
	if !found {
		return "", "", false
	}
	key, errKey := url.QueryUnescape(key)
	id, errID := url.QueryUnescape(id)
	return key, id, errKey == nil && errID == nil && key != ""
}

func badMark(text string) error {
	return fault.New(fault.InvalidArgument, "%q is no place in this listing", text)
}
