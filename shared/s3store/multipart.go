package s3store

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/upload"
)

// Multipart runs the multipart uploads of one bucket; their parts are sent by clients,
// with URLs of a Presigner.
//
// Its client needs s3:PutObject (to create and to complete), s3:ListMultipartUploadParts
// and s3:AbortMultipartUpload on the bucket's objects, and the bucket key's
// kms:GenerateDataKey and kms:Decrypt; Stored needs s3:ListBucketVersions on the bucket. It
// is safe for concurrent use.
type Multipart struct {
	client *s3.Client
	bucket string
}

// NewMultipart returns the multipart uploads of bucket.
func NewMultipart(client *s3.Client, bucket string) *Multipart {
	return &Multipart{client: client, bucket: bucket}
}

// CreateMultipart begins a multipart upload at the key of u and returns S3's name for it.
// S3 computes the CRC-64/NVME of the whole object while it assembles the parts.
func (m *Multipart) CreateMultipart(ctx context.Context, u upload.Upload) (string, error) {
	out, err := m.client.CreateMultipartUpload(ctx, &s3.CreateMultipartUploadInput{
		Bucket:            &m.bucket,
		Key:               &u.S3Key,
		ContentType:       &u.ContentType,
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme,
		ChecksumType:      types.ChecksumTypeFullObject,
	})
	if err != nil {
		return "", fmt.Errorf("create multipart upload of %s: %w", u.S3Key, s3Fault(err))
	}
	return aws.ToString(out.UploadId), nil
}

// ListParts returns parts that S3 has, by number, those after number after alone and at
// most limit of them (0: 1,000, which is also the most), and after which number the next
// page begins: 0 when there is none. An upload that S3 does not know, because it was
// completed or aborted, is fault.NotFound.
func (m *Multipart) ListParts(ctx context.Context, u upload.Upload, after, limit int) (parts []upload.Part, next int, err error) {
	in := &s3.ListPartsInput{Bucket: &m.bucket, Key: &u.S3Key, UploadId: &u.S3UploadID}
	if after > 0 {
		in.PartNumberMarker = aws.String(strconv.Itoa(after))
	}
	if limit > 0 {
		in.MaxParts = aws.Int32(int32(min(limit, limits.SignedParts)))
	}
	out, err := m.client.ListParts(ctx, in)
	if err != nil {
		return nil, 0, fmt.Errorf("list the parts of %s: %w", u.S3Key, s3Fault(err))
	}
	for _, p := range out.Parts {
		parts = append(parts, upload.Part{
			Number: int(aws.ToInt32(p.PartNumber)), Size: aws.ToInt64(p.Size),
			ETag: strings.Trim(aws.ToString(p.ETag), `"`), CRC64NVME: aws.ToString(p.ChecksumCRC64NVME),
		})
	}
	if aws.ToBool(out.IsTruncated) && len(parts) > 0 {
		next = parts[len(parts)-1].Number
	}
	return parts, next, nil
}

// AllParts returns every part that S3 has, by number.
func (m *Multipart) AllParts(ctx context.Context, u upload.Upload) ([]upload.Part, error) {
	var all []upload.Part
	for after := 0; ; {
		parts, next, err := m.ListParts(ctx, u, after, 0)
		if err != nil {
			return nil, err
		}
		all = append(all, parts...)
		if next == 0 {
			return all, nil
		}
		after = next
	}
}

// CompleteMultipart has S3 make one object of parts, which ListParts returned, of the size
// that was declared, with the checksum that was declared if one was, and only if nothing is
// stored at the key.
//
// It returns fault.NotFound when S3 does not know the multipart upload, and
// fault.PreconditionFailed when something is stored: either may be the effect of an earlier
// attempt whose answer was lost, so look. ChecksumMismatch, SizeMismatch and
// InvalidArgument are refusals; the parts are still there. Anything else may or may not
// have happened.
func (m *Multipart) CompleteMultipart(ctx context.Context, u upload.Upload, parts []upload.Part) error {
	completed := make([]types.CompletedPart, len(parts))
	for i, p := range parts {
		completed[i] = types.CompletedPart{PartNumber: aws.Int32(int32(p.Number)), ETag: aws.String(`"` + p.ETag + `"`)}
		if p.CRC64NVME != "" {
			completed[i].ChecksumCRC64NVME = aws.String(p.CRC64NVME)
		}
	}
	in := &s3.CompleteMultipartUploadInput{
		Bucket:          &m.bucket,
		Key:             &u.S3Key,
		UploadId:        &u.S3UploadID,
		IfNoneMatch:     aws.String("*"),
		MpuObjectSize:   &u.Size,
		MultipartUpload: &types.CompletedMultipartUpload{Parts: completed},
		ChecksumType:    types.ChecksumTypeFullObject,
	}
	if sum := u.Checksum(); sum != "" {
		in.ChecksumCRC64NVME = &sum
	}
	if _, err := m.client.CompleteMultipartUpload(ctx, in); err != nil {
		return fmt.Errorf("complete multipart upload of %s: %w", u.S3Key, completionFault(err))
	}
	return nil
}

// completionFault gives an error of CompleteMultipartUpload a code. S3 may send its answer
// with status 200, because it began before the outcome was known; so it is the error's
// own code that counts.
// https://docs.aws.amazon.com/AmazonS3/latest/API/API_CompleteMultipartUpload.html
func completionFault(err error) error {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return s3Fault(err)
	}
	switch api.ErrorCode() {
	case "NoSuchUpload":
		return fault.Wrap(fault.NotFound, err, "storage does not have the multipart upload")
	case "PreconditionFailed":
		return fault.Wrap(fault.PreconditionFailed, err, "storage has an object at the key")
	case "ConditionalRequestConflict", "OperationAborted":
		return fault.Wrap(fault.Unavailable, err, "storage is busy with the key")
	case "BadDigest", "XAmzContentChecksumMismatch":
		return fault.Wrap(fault.ChecksumMismatch, err, "the bytes do not have the declared checksum")
	case "InvalidPart", "InvalidPartOrder", "EntityTooSmall", "MalformedXML":
		return fault.Wrap(fault.InvalidArgument, err, "storage refused the parts: %s", api.ErrorCode())
	case "EntityTooLarge":
		return fault.Wrap(fault.SizeMismatch, err, "the parts are larger than storage takes")
	case "InvalidRequest":
		return invalidCompletion(err, api.ErrorMessage())
	default:
		return s3Fault(err)
	}
}

// invalidCompletion tells apart what S3 calls an InvalidRequest.
func invalidCompletion(err error, message string) error {
	switch text := strings.ToLower(message); {
	case strings.Contains(text, "object-size"), strings.Contains(text, "object size"):
		return fault.Wrap(fault.SizeMismatch, err, "the parts do not have the declared size together")
	case strings.Contains(text, "checksum"):
		return fault.Wrap(fault.ChecksumMismatch, err, "the bytes do not have the declared checksum")
	default:
		return fault.Wrap(fault.InvalidArgument, err, "storage refused to complete the upload")
	}
}

// AbortMultipart makes sure that S3 has no multipart upload under the name that u has for
// it. A part that was on its way may still be stored afterwards, and then the upload with
// it: abort again until nothing can be on its way. That S3 does not know the upload is a
// success, and no proof that nothing was assembled: see Stored.
func (m *Multipart) AbortMultipart(ctx context.Context, u upload.Upload) error {
	_, err := m.client.AbortMultipartUpload(ctx, &s3.AbortMultipartUploadInput{
		Bucket: &m.bucket, Key: &u.S3Key, UploadId: &u.S3UploadID,
	})
	if err = s3Fault(err); err != nil && !fault.Is(err, fault.NotFound) {
		return fmt.Errorf("abort multipart upload of %s: %w", u.S3Key, err)
	}
	return nil
}

// Stored reports whether bytes are stored at the key of u, in any version. Seals, which are
// empty, are none; nor is an object of which only a delete marker is left.
func (m *Multipart) Stored(ctx context.Context, u upload.Upload) (bool, error) {
	out, err := m.client.ListObjectVersions(ctx, &s3.ListObjectVersionsInput{Bucket: &m.bucket, Prefix: &u.S3Key})
	if err != nil {
		return false, fmt.Errorf("list the versions of %s: %w", u.S3Key, s3Fault(err))
	}
	for _, v := range out.Versions {
		if aws.ToString(v.Key) == u.S3Key && aws.ToInt64(v.Size) > 0 {
			return true, nil
		}
	}
	return false, nil
}
