package s3store

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"runtime"
	"strconv"
	"sync"
	"time"

	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/smithy-go/encoding/httpbinding"

	"github.com/stowage-dev/stowage/shared/upload"
)

// PresignParts signs a PUT for each of the given parts of a multipart upload, with the
// part's exact length. They differ in part number and length alone, so the request is
// prepared once, and all processors sign: a thousand take a fraction of the time that the
// SDK's presign client takes for the same URLs.
func (p *Presigner) PresignParts(ctx context.Context, u upload.Upload, parts []upload.Part, expires time.Duration) ([]Signed, error) {
	credentials, err := p.credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("presign parts of %s: get the signer's session: %w", u.S3Key, err)
	}
	now := p.now().UTC().Truncate(time.Second)
	life, err := lifetime(expires, credentials, now)
	if err != nil {
		return nil, fmt.Errorf("presign parts of %s: %w", u.S3Key, err)
	}
	// An opaque URL is not escaped again for each part, and there are no headers to hoist.
	opaque := "//" + p.base.Host + p.base.EscapedPath() + "/" + httpbinding.EscapePath(u.S3Key, false)
	plain := func(o *v4.SignerOptions) { o.DisableHeaderHoisting = true }
	before := "X-Amz-Expires=" + strconv.FormatInt(int64(life/time.Second), 10) + "&partNumber="
	after := "&uploadId=" + url.QueryEscape(u.S3UploadID) + "&x-id=UploadPart"
	signed := make([]Signed, len(parts))
	err = spread(len(parts), func(from, to int) error {
		target := url.URL{Scheme: p.base.Scheme, Host: p.base.Host, Opaque: opaque}
		req := &http.Request{Method: http.MethodPut, URL: &target, Host: target.Host}
		for i, part := range parts[from:to] {
			target.RawQuery = before + strconv.Itoa(part.Number) + after
			req.ContentLength = part.Size
			signedURL, headers, err := p.signer.PresignHTTP(ctx, credentials, req, unsignedPayload, "s3", p.region, now, plain)
			if err != nil {
				return fmt.Errorf("presign part %d of %s: %w", part.Number, u.S3Key, err)
			}
			signed[from+i] = Signed{URL: signedURL, Method: http.MethodPut, Headers: toSend(headers), ExpiresAt: now.Add(life)}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return signed, nil
}

// fewParts are signed faster than they are shared out.
const fewParts = 100

// spread has all processors do n things, each a run of them.
func spread(n int, do func(from, to int) error) error {
	workers := max(1, min(runtime.GOMAXPROCS(0), n/fewParts))
	errs := make([]error, workers)
	var all sync.WaitGroup
	for w := range workers {
		all.Go(func() { errs[w] = do(w*n/workers, (w+1)*n/workers) })
	}
	all.Wait()
	return errors.Join(errs...)
}
