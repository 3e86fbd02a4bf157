package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// SingleLimit is the largest size that one PUT may have.
const SingleLimit = 100 << 20

// multipartThreshold is the size from which Put sends parts: below it one request is faster.
const multipartThreshold = 16 << 20

// NewUpload says what is about to be sent.
type NewUpload struct {
	Path        string            `json:"path"`
	Size        int64             `json:"size"`
	ContentType string            `json:"contentType"`
	SHA256      string            `json:"sha256,omitempty"`    // base64; mode single; Put fills it in
	CRC64NVME   string            `json:"crc64nvme,omitempty"` // base64; mode multipart; Put says it when completing
	Mode        string            `json:"mode,omitempty"`      // "single" (default) or "multipart"; Put chooses by size
	PartSize    int64             `json:"partSize,omitempty"`  // mode multipart; zero: chosen from the size
	IfExists    string            `json:"ifExists,omitempty"`  // "fail" (default) or "version"
	Tags        map[string]string `json:"tags,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	ExpiresIn   int               `json:"expiresIn,omitempty"` // seconds the URLs should live
}

// Upload is the state of an upload.
type Upload struct {
	ID        string `json:"id"`
	ObjectID  string `json:"objectId"`
	Path      string `json:"path"`
	State     string `json:"state"` // open, uploading, completing, uploaded, available, rejected, expired, aborted
	Size      int64  `json:"size"`
	Mode      string `json:"mode"`
	PartSize  int64  `json:"partSize"`
	PartCount int    `json:"partCount"`
	Reason    *struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	} `json:"reason"`
	ExpiresAt time.Time `json:"expiresAt"`
	CreatedAt time.Time `json:"createdAt"`
}

// Done reports whether the state can change no more.
func (u Upload) Done() bool {
	switch u.State {
	case "available", "rejected", "expired", "aborted":
		return true
	default:
		return false
	}
}

// SignedRequest is a presigned request: send it with exactly these headers.
type SignedRequest struct {
	URL       string            `json:"url"`
	Method    string            `json:"method"`
	Headers   map[string]string `json:"headers"`
	ExpiresAt time.Time         `json:"expiresAt"`
}

// Opened is an opened upload and how to send its bytes.
type Opened struct {
	Upload Upload        `json:"upload"`
	Put    SignedRequest `json:"put"` // mode single
	parts  []SignedPart  // mode multipart: the first ones
}

// PutOptions configures Put and Resume. Nil is a working default.
type PutOptions struct {
	// Workers send that many parts at a time. Zero: 4.
	Workers int
	// Opened is called once with the new upload, before any byte is sent: keep its ID
	// to Resume a multipart upload after a crash.
	Opened func(Upload)
	// Progress is called after each part, by one goroutine at a time.
	Progress func(Progress)
}

func (o *PutOptions) withDefaults() PutOptions {
	var out PutOptions
	if o != nil {
		out = *o
	}
	if out.Workers <= 0 {
		out.Workers = 4
	}
	return out
}

// Put uploads size bytes of r and waits until they are verified: small ones with one
// request, larger ones in parts. What it keeps in memory does not grow with size.
// An upload that fails is left open, to be resumed (mode multipart) or aborted.
func (c *Client) Put(ctx context.Context, upload NewUpload, r io.ReaderAt, size int64, opts *PutOptions) (Upload, error) {
	upload.Size = size
	if upload.Mode == "" {
		upload.Mode = "single"
		if size >= multipartThreshold {
			upload.Mode = "multipart"
		}
	}
	if upload.Mode == "single" && upload.SHA256 == "" {
		hash := sha256.New()
		if _, err := io.Copy(hash, io.NewSectionReader(r, 0, size)); err != nil {
			return Upload{}, fmt.Errorf("hash %s: %w", upload.Path, err)
		}
		upload.SHA256 = base64.StdEncoding.EncodeToString(hash.Sum(nil))
	}
	opened, err := c.Open(ctx, upload)
	if err != nil {
		return Upload{}, err
	}
	options := opts.withDefaults()
	if options.Opened != nil {
		options.Opened(opened.Upload)
	}
	if upload.Mode == "single" {
		// The key is new and this call's own, so whatever it holds are the signed bytes, though a proxy
		// on the way may have sent them twice: the upload's state tells what has become of them.
		if err := c.Send(ctx, opened.Put, r, size); err != nil && !storedBefore(err) {
			return opened.Upload, fmt.Errorf("send %s: %w", upload.Path, err)
		}
		return c.Wait(ctx, opened.Upload.ID)
	}
	t := c.newTransfer(opened.Upload, r, options)
	if err := t.send(ctx, opened.parts); err != nil {
		return opened.Upload, fmt.Errorf("send %s: %w", upload.Path, err)
	}
	return t.complete(ctx)
}

// Open opens an upload and reserves its quota. It carries an Idempotency-Key of its
// own, so that a repeat after a lost answer finds the upload that was opened.
func (c *Client) Open(ctx context.Context, upload NewUpload) (Opened, error) {
	var opened struct {
		Opened
		Parts []SignedPart `json:"parts"`
	}
	err := c.call(ctx, request{
		method: http.MethodPost, path: "/v1/uploads", in: upload, out: &opened, repeatable: true, key: newIdempotencyKey(),
	})
	opened.parts = opened.Parts
	return opened.Opened, err
}

// Send sends the bytes of a single upload with its signed request. A repeat of a PUT
// whose answer was lost is refused by S3 with 412, because the key is write-once; that
// is success. A 412 to the first PUT is a *StorageError: not this call has stored what
// is there.
func (c *Client) Send(ctx context.Context, signed SignedRequest, r io.ReaderAt, size int64) error {
	_, err := c.put(ctx, signed, size, func() io.Reader { return io.NewSectionReader(r, 0, size) })
	return err
}

// put sends a body with a signed request until it is stored or refused for good, and
// returns the headers of the answer.
func (c *Client) put(ctx context.Context, signed SignedRequest, size int64, body func() io.Reader) (http.Header, error) {
	attempts := 0
	res, err := c.retry(ctx, true, func() (*http.Response, error) {
		attempts++
		res, err := c.putOnce(ctx, signed, size, body())
		if err == nil && res.StatusCode == http.StatusConflict && res.Header.Get("Retry-After") == "" {
			// S3: another write to the key is under way, for one the PUT whose answer was lost. Upload again.
			// https://docs.aws.amazon.com/AmazonS3/latest/userguide/conditional-writes.html
			res.Header.Set("Retry-After", "0")
		}
		return res, err
	})
	if err != nil {
		return nil, err
	}
	defer drain(res.Body)
	if res.StatusCode == http.StatusPreconditionFailed && attempts > 1 {
		return res.Header, nil
	}
	if res.StatusCode >= 300 {
		return nil, storageErrorOf(res)
	}
	return res.Header, nil
}

// storedBefore says whether storage refused a PUT because it has the object.
func storedBefore(err error) bool {
	var refused *StorageError
	return errors.As(err, &refused) && refused.Status == http.StatusPreconditionFailed
}

func (c *Client) putOnce(ctx context.Context, signed SignedRequest, size int64, body io.Reader) (*http.Response, error) {
	if size == 0 {
		body = http.NoBody // a zero length with a body would be sent chunked
	}
	req, err := http.NewRequestWithContext(ctx, signed.Method, signed.URL, io.NopCloser(body))
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", scrub(err))
	}
	req.ContentLength = size
	for name, value := range signed.Headers {
		req.Header.Set(name, value)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, scrub(err)
	}
	return res, nil
}

// Upload returns the state of an upload.
func (c *Client) Upload(ctx context.Context, id string) (Upload, error) {
	var upload Upload
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/uploads/" + url.PathEscape(id), out: &upload})
	return upload, err
}

// Abort ends an upload and gives its reservation back. Aborting twice is not an error.
func (c *Client) Abort(ctx context.Context, id string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: "/v1/uploads/" + url.PathEscape(id)})
}

// Wait returns when the upload is done, whatever its end: look at State.
func (c *Client) Wait(ctx context.Context, id string) (Upload, error) {
	interval := c.opts.PollInterval
	for {
		upload, err := c.Upload(ctx, id)
		if err != nil || upload.Done() {
			return upload, err
		}
		if err := sleep(ctx, interval); err != nil {
			return upload, fmt.Errorf("wait for upload %s (%s): %w", id, upload.State, err)
		}
		interval = min(interval*5/4, 2*time.Second)
	}
}
