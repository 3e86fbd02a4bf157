package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/stowage-dev/stowage/shared/fault"
)

// Texts reads the beginnings of verified text files, so that they can be found by what
// they say.
//
// It needs s3:GetObject on content, and kms:Decrypt with the bucket's key where it has one.
// It is safe for concurrent use.
type Texts struct {
	client *s3.Client
	bucket string
}

// NewTexts returns the texts of bucket.
func NewTexts(client *s3.Client, bucket string) *Texts { return &Texts{client: client, bucket: bucket} }

// Beginning returns at most the first bytes of what a key holds. A key that is gone, empty
// or not, or no longer, verified is fault.NotFound: a role that may not list the bucket is
// told no more than that it is denied.
func (t *Texts) Beginning(ctx context.Context, key string, most int) ([]byte, error) {
	out, err := t.client.GetObject(ctx, &s3.GetObjectInput{
		Bucket: &t.bucket, Key: &key, Range: aws.String(fmt.Sprintf("bytes=0-%d", most-1)),
	})
	if err != nil {
		return nil, fmt.Errorf("read the beginning of %s: %w", key, textFault(err))
	}
	defer out.Body.Close()
	data, err := io.ReadAll(io.LimitReader(out.Body, int64(most)))
	if err != nil {
		return nil, fmt.Errorf("read the beginning of %s: %w", key, fault.Wrap(fault.Unavailable, err, "storage broke off"))
	}
	return data, nil
}

func textFault(err error) error {
	var resp *smithyhttp.ResponseError
	if errors.As(err, &resp) {
		switch resp.HTTPStatusCode() {
		case http.StatusForbidden, http.StatusRequestedRangeNotSatisfiable:
			return fault.Wrap(fault.NotFound, err, "storage does not show it")
		}
	}
	return s3Fault(err)
}
