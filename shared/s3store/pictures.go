package s3store

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/url"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

// Pictures reads verified versions whole, and keeps the derivatives that are made of
// them. A derivative is written with the verdict that lets it out of the quarantine:
// its bytes are made here, of bytes that were verified.
//
// It needs s3:GetObjectVersion on content; s3:PutObject, s3:PutObjectTagging,
// s3:GetObject and s3:DeleteObjectVersion on derivatives; kms:Decrypt and
// kms:GenerateDataKey with the bucket's key; and a role with the principal tag
// object.PrincipalWriter. It is safe for concurrent use.
type Pictures struct {
	client *s3.Client
	bucket string
}

// NewPictures returns the pictures of bucket.
func NewPictures(client *s3.Client, bucket string) *Pictures {
	return &Pictures{client: client, bucket: bucket}
}

// Read returns the bytes of a version, of which there may be most at most: more is
// fault.TooLarge. A version that is not there is fault.NotFound.
func (p *Pictures) Read(ctx context.Context, at object.Location, most int64) ([]byte, error) {
	out, err := p.client.GetObject(ctx, &s3.GetObjectInput{Bucket: &p.bucket, Key: &at.Key, VersionId: &at.VersionID})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", at, s3Fault(err))
	}
	defer out.Body.Close()
	size := aws.ToInt64(out.ContentLength)
	if size > most {
		return nil, fault.New(fault.TooLarge, "it has %d bytes, the most is %d", size, most)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(out.Body, data); err != nil {
		return nil, fmt.Errorf("read %s: %w", at, fault.Wrap(fault.Unavailable, err, "storage broke off"))
	}
	return data, nil
}

// Write writes a derivative and returns its version. A key is written once: when it is
// there already, from an attempt before, the version that is there is returned.
func (p *Pictures) Write(ctx context.Context, key, contentType string, data []byte) (versionID string, err error) {
	out, err := p.client.PutObject(ctx, &s3.PutObjectInput{
		Bucket:      &p.bucket,
		Key:         &key,
		Body:        bytes.NewReader(data),
		ContentType: &contentType,
		IfNoneMatch: aws.String("*"),
		Tagging:     aws.String(url.Values{object.VerdictTag: {object.VerdictAvailable}}.Encode()),
	})
	if err == nil {
		return aws.ToString(out.VersionId), nil
	}
	if !occupied(err) {
		return "", fmt.Errorf("write derivative %s: %w", key, s3Fault(err))
	}
	head, err := p.client.HeadObject(ctx, &s3.HeadObjectInput{Bucket: &p.bucket, Key: &key})
	if err != nil {
		// Deleted in between, or about to appear: it is not for ever.
		return "", fmt.Errorf("look at derivative %s: %w", key, fault.Wrap(fault.Unavailable, err, "storage does not show it"))
	}
	return aws.ToString(head.VersionId), nil
}

// Delete removes a version for good. Removing one that is gone is a success.
func (p *Pictures) Delete(ctx context.Context, at object.Location) error {
	return NewQuarantine(p.client, p.bucket).Delete(ctx, at)
}
