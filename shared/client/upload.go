package client

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"
)

// NewUpload says what is about to be sent.
type NewUpload struct {
	Path        string            `json:"path"`
	Size        int64             `json:"size"`
	ContentType string            `json:"contentType"`
	SHA256      string            `json:"sha256,omitempty"` // base64; Put fills it in
	IfExists    string            `json:"ifExists,omitempty"`
	Tags        map[string]string `json:"tags,omitempty"`
	Metadata    map[string]string `json:"metadata,omitempty"`
	ExpiresIn   int               `json:"expiresIn,omitempty"` // seconds the URL should live
}

// Upload is the state of an upload.
type Upload struct {
	ID       string `json:"id"`
	ObjectID string `json:"objectId"`
	Path     string `json:"path"`
	State    string `json:"state"` // open, uploading, completing, uploaded, available, rejected, expired, aborted
	Size     int64  `json:"size"`
	Mode     string `json:"mode"`
	Reason   *struct {
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
	Put    SignedRequest `json:"put"`
}

// Put uploads size bytes of r to upload.Path and waits until they are verified.
// It reads r twice: once for the checksum, once to send.
func (c *Client) Put(ctx context.Context, upload NewUpload, r io.ReaderAt, size int64) (Upload, error) {
	hash := sha256.New()
	if _, err := io.Copy(hash, io.NewSectionReader(r, 0, size)); err != nil {
		return Upload{}, fmt.Errorf("hash %s: %w", upload.Path, err)
	}
	upload.Size = size
	upload.SHA256 = base64.StdEncoding.EncodeToString(hash.Sum(nil))
	opened, err := c.Open(ctx, upload)
	if err != nil {
		return Upload{}, err
	}
	if err := c.Send(ctx, opened.Put, r, size); err != nil {
		return opened.Upload, fmt.Errorf("send %s: %w", upload.Path, err)
	}
	return c.Wait(ctx, opened.Upload.ID)
}

// Open opens an upload and reserves its quota.
func (c *Client) Open(ctx context.Context, upload NewUpload) (Opened, error) {
	var opened Opened
	err := c.call(ctx, http.MethodPost, "/v1/uploads", nil, upload, &opened)
	return opened, err
}

// Send sends the bytes with a signed request. A repeat of a PUT whose answer was
// lost is refused by S3 with 412 because the key is write-once; that is success.
func (c *Client) Send(ctx context.Context, signed SignedRequest, r io.ReaderAt, size int64) error {
	attempts := 0
	res, err := c.retry(ctx, true, func() (*http.Response, error) {
		attempts++
		return c.sendOnce(ctx, signed, io.NewSectionReader(r, 0, size), size)
	})
	if err != nil {
		return err
	}
	defer drain(res.Body)
	if res.StatusCode == http.StatusPreconditionFailed && attempts > 1 {
		return nil
	}
	if res.StatusCode >= 300 {
		body, err := io.ReadAll(io.LimitReader(res.Body, 64<<10))
		if err != nil {
			return fmt.Errorf("read the answer of storage (%d): %w", res.StatusCode, err)
		}
		return storageErrorOf(res, body)
	}
	return nil
}

func (c *Client) sendOnce(ctx context.Context, signed SignedRequest, body io.Reader, size int64) (*http.Response, error) {
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
	err := c.call(ctx, http.MethodGet, "/v1/uploads/"+url.PathEscape(id), nil, nil, &upload)
	return upload, err
}

// Abort ends an upload and gives its reservation back. Aborting twice is not an error.
func (c *Client) Abort(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/v1/uploads/"+url.PathEscape(id), nil, nil, nil)
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
