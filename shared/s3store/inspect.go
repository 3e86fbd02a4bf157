package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

// Quarantine inspects versions that no client can read yet, and passes the verdict
// on them. Every method names the version, so that a key that is written again while
// it is being looked at changes nothing.
//
// It needs s3:GetObjectVersion, s3:PutObjectVersionTagging and s3:DeleteObjectVersion
// on the bucket's objects, kms:Decrypt with the bucket's key, and a role with the
// principal tag object.PrincipalWriter. It is safe for concurrent use.
type Quarantine struct {
	client *s3.Client
	bucket string
}

// NewQuarantine returns the quarantine of bucket.
func NewQuarantine(client *s3.Client, bucket string) *Quarantine {
	return &Quarantine{client: client, bucket: bucket}
}

// Inspect reports what S3 knows of a version without reading it: its size, and the
// checksums that S3 computed over all of its bytes. Checksums of checksums, as older
// multipart uploads have, are left out. A version that is not there, or is a delete
// marker, is fault.NotFound.
func (q *Quarantine) Inspect(ctx context.Context, at object.Location) (object.Facts, error) {
	out, err := q.client.HeadObject(ctx, &s3.HeadObjectInput{
		Bucket:       &q.bucket,
		Key:          &at.Key,
		VersionId:    &at.VersionID,
		ChecksumMode: types.ChecksumModeEnabled,
	})
	if err != nil {
		return object.Facts{}, fmt.Errorf("inspect %s: %w", at, s3Fault(err))
	}
	facts := object.Facts{
		Size:        aws.ToInt64(out.ContentLength),
		ETag:        strings.Trim(aws.ToString(out.ETag), `"`),
		S3VersionID: at.VersionID,
	}
	if out.ChecksumType != types.ChecksumTypeComposite {
		facts.SHA256 = aws.ToString(out.ChecksumSHA256)
		facts.CRC64NVME = aws.ToString(out.ChecksumCRC64NVME)
	}
	return facts, nil
}

// FirstBytes reads at most n bytes from the start of a version that is not empty.
func (q *Quarantine) FirstBytes(ctx context.Context, at object.Location, n int) ([]byte, error) {
	out, err := q.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket:    &q.bucket,
		Key:       &at.Key,
		VersionId: &at.VersionID,
		Range:     aws.String("bytes=0-" + strconv.Itoa(n-1)),
	}, func(o *s3.Options) {
		// The checksum is of the whole object, not of this part of it.
		o.ResponseChecksumValidation = aws.ResponseChecksumValidationWhenRequired
	})
	if err != nil {
		return nil, fmt.Errorf("read the first %d bytes of %s: %w", n, at, s3Fault(err))
	}
	defer out.Body.Close()
	// A server that knows no ranges sends everything.
	head, err := io.ReadAll(io.LimitReader(out.Body, int64(n)))
	if err != nil {
		return nil, fmt.Errorf("read the first %d bytes of %s: %w", n, at,
			fault.Wrap(fault.Unavailable, err, "storage broke off"))
	}
	return head, nil
}

// SetVerdict tags a version with object.VerdictAvailable or object.VerdictRejected. It
// replaces the version's tags; users' tags live in the catalog.
func (q *Quarantine) SetVerdict(ctx context.Context, at object.Location, verdict string) error {
	_, err := q.client.PutObjectTagging(ctx, &s3.PutObjectTaggingInput{
		Bucket:    &q.bucket,
		Key:       &at.Key,
		VersionId: &at.VersionID,
		Tagging: &types.Tagging{TagSet: []types.Tag{{
			Key: aws.String(object.VerdictTag), Value: &verdict,
		}}},
	})
	if err != nil {
		return fmt.Errorf("tag %s as %s: %w", at, verdict, s3Fault(err))
	}
	return nil
}

// Delete removes a version for good. Removing one that is gone is a success.
func (q *Quarantine) Delete(ctx context.Context, at object.Location) error {
	_, err := q.client.DeleteObject(ctx, &s3.DeleteObjectInput{
		Bucket:    &q.bucket,
		Key:       &at.Key,
		VersionId: &at.VersionID,
	})
	if err = s3Fault(err); err != nil && !fault.Is(err, fault.NotFound) {
		return fmt.Errorf("delete %s: %w", at, err)
	}
	return nil
}

// s3Fault gives an error of S3 a code where the caller can do something about it. A
// missing right has none: it is for an operator to mend, and the request stays good.
func s3Fault(err error) error {
	if err == nil {
		return nil
	}
	var api smithy.APIError
	var resp *smithyhttp.ResponseError
	switch {
	case errors.As(err, &api) && unknownVersion(api):
		return fault.Wrap(fault.NotFound, err, "storage does not have the version")
	case !errors.As(err, &resp) || resp.HTTPStatusCode() == 0:
		// No answer came.
		return fault.Wrap(fault.Unavailable, err, "storage cannot be reached")
	}
	switch status := resp.HTTPStatusCode(); {
	case status == http.StatusNotFound, status == http.StatusMethodNotAllowed:
		// HEAD has no body to tell a code; 405 is a delete marker's answer.
		return fault.Wrap(fault.NotFound, err, "storage does not have the version")
	case status == http.StatusTooManyRequests, status >= http.StatusInternalServerError:
		return fault.Wrap(fault.Unavailable, err, "storage is not available")
	default:
		return err
	}
}

// unknownVersion reports whether S3 says that there is no such version. An id that S3
// has never given is an invalid argument to it.
func unknownVersion(err smithy.APIError) bool {
	switch err.ErrorCode() {
	case "NoSuchVersion", "NoSuchKey", "NoSuchUpload":
		return true
	case "InvalidArgument":
		return strings.Contains(err.ErrorMessage(), "version id")
	default:
		return false
	}
}
