package s3

import (
	"context"
	"errors"
	"io"

	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/versity/versitygw/s3api/middlewares"
	"github.com/versity/versitygw/s3err"
)

// UploadPart implements backend.Backend.
func (n *notifying) UploadPart(ctx context.Context, in *s3.UploadPartInput) (*s3.UploadPartOutput, error) {
	whole := *in
	whole.Body = wholeBody(in.Body, in.ContentLength)
	return n.Backend.UploadPart(ctx, &whole) //nolint:wrapcheck // the engine turns errors of this type into answers
}

// wholeBody makes the end of a body before its declared length an error. The HTTP server
// reports a client that hangs up as an ordinary end, and the storage would keep what came
// of a part, padded to the length declared, even in place of a whole one that was sent
// again meanwhile.
func wholeBody(body io.Reader, length *int64) io.Reader {
	if body == nil || length == nil {
		return body
	}
	whole := &wholeReader{body: body, left: *length}
	if checked, ok := body.(middlewares.ChecksumReader); ok {
		return &wholeCheckedReader{wholeReader: whole, checked: checked}
	}
	return whole
}

type wholeReader struct {
	body io.Reader
	left int64
}

func (r *wholeReader) Read(p []byte) (int, error) {
	n, err := r.body.Read(p)
	r.left -= int64(n)
	if errors.Is(err, io.EOF) && r.left > 0 {
		// Not io.ErrUnexpectedEOF, which the engine takes for an ordinary end, too.
		return n, s3err.GetAPIError(s3err.ErrIncompleteBody) //nolint:wrapcheck // the engine turns errors of this type into answers
	}
	return n, err //nolint:wrapcheck // io.EOF must stay itself
}

// wholeCheckedReader keeps the checksum that an aws-chunked body ends with in sight.
type wholeCheckedReader struct {
	*wholeReader
	checked middlewares.ChecksumReader
}

var _ middlewares.ChecksumReader = (*wholeCheckedReader)(nil)

// Algorithm implements middlewares.ChecksumReader.
func (r *wholeCheckedReader) Algorithm() string { return r.checked.Algorithm() }

// Checksum implements middlewares.ChecksumReader.
func (r *wholeCheckedReader) Checksum() string { return r.checked.Checksum() }
