package client

import (
	"context"
	"fmt"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// Object is an object of the catalog.
type Object struct {
	ID           string            `json:"id"`
	Path         string            `json:"path"`
	Name         string            `json:"name"`
	Parent       string            `json:"parent"`
	State        string            `json:"state"`
	Rev          int64             `json:"rev"`
	Version      string            `json:"version"`
	Size         int64             `json:"size"`
	ContentType  string            `json:"contentType"`
	DetectedType string            `json:"detectedType"`
	SHA256       string            `json:"sha256"`
	CRC64NVME    string            `json:"crc64nvme"`
	Integrity    string            `json:"integrity"`
	Tags         map[string]string `json:"tags"`
	Metadata     map[string]string `json:"metadata"`
	CreatedAt    time.Time         `json:"createdAt"`
	UpdatedAt    time.Time         `json:"updatedAt"`
	Picture      *Picture          `json:"picture"` // of an image, once its derivatives were made
}

// Picture is what is known of an object that is an image.
type Picture struct {
	Width       int        `json:"width"`
	Height      int        `json:"height"`
	CapturedAt  *time.Time `json:"capturedAt"`
	Derivatives []string   `json:"derivatives"`
	// Reason is why there are no derivatives.
	Reason *struct {
		Code   string `json:"code"`
		Detail string `json:"detail"`
	} `json:"reason"`
}

// Object returns one object.
func (c *Client) Object(ctx context.Context, id string) (Object, error) {
	var object Object
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/objects/" + url.PathEscape(id), out: &object})
	return object, err
}

// Undelete brings a deleted object back to its path, and returns it. An object that is
// not deleted is returned as it is.
func (c *Client) Undelete(ctx context.Context, id string) (Object, error) {
	var object Object
	err := c.call(ctx, request{method: http.MethodPost, path: "/v1/objects/" + url.PathEscape(id) + "/undelete", out: &object, repeatable: true, key: newIdempotencyKey()})
	return object, err
}

// Version is one version of an object.
type Version struct {
	ID           string    `json:"id"` // that of the upload, too
	State        string    `json:"state"`
	Size         int64     `json:"size"`
	ContentType  string    `json:"contentType"`
	DetectedType string    `json:"detectedType"`
	SHA256       string    `json:"sha256"`
	CRC64NVME    string    `json:"crc64nvme"`
	Integrity    string    `json:"integrity"`
	CreatedAt    time.Time `json:"createdAt"`
	CreatedBy    string    `json:"createdBy"`
}

// Versions yields the versions of an object, page by page, the latest first.
func (c *Client) Versions(ctx context.Context, id string) iter.Seq2[Version, error] {
	return pages[Version](ctx, c, "/v1/objects/"+url.PathEscape(id)+"/versions", url.Values{})
}

// Deleted yields the deleted objects of the workspace, page by page, the last deleted first.
func (c *Client) Deleted(ctx context.Context) iter.Seq2[Object, error] {
	return pages[Object](ctx, c, "/v1/objects", url.Values{"state": {"deleted"}})
}

// Objects yields the objects of one folder ("" is the root), page by page, in name order.
func (c *Client) Objects(ctx context.Context, parent string) iter.Seq2[Object, error] {
	return pages[Object](ctx, c, "/v1/objects", url.Values{"parent": {parent}})
}

// ContentOptions chooses what Content signs. The zero value is the current version.
type ContentOptions struct {
	Version     string
	Derivative  string        // of a picture: "256" or "1024"
	Disposition string        // "attachment" (default) or "inline"
	ExpiresIn   time.Duration // whole seconds; zero: the API's default
}

// Content is a URL that reads an object's bytes, until ExpiresAt. It supports Range.
type Content struct {
	URL       string    `json:"url"`
	ExpiresAt time.Time `json:"expiresAt"`
}

// Content returns a URL of an object's bytes. The URL is a credential: do not log it.
func (c *Client) Content(ctx context.Context, id string, opts *ContentOptions) (Content, error) {
	query := url.Values{}
	if opts != nil {
		setText(query, "version", opts.Version)
		setText(query, "derivative", opts.Derivative)
		setText(query, "disposition", opts.Disposition)
		if opts.ExpiresIn > 0 {
			query.Set("expiresIn", strconv.Itoa(int(opts.ExpiresIn/time.Second)))
		}
	}
	var content Content
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/objects/" + url.PathEscape(id) + "/content", query: query, out: &content})
	return content, err
}

// Download writes an object's bytes to w and returns how many there were.
func (c *Client) Download(ctx context.Context, id string, w io.Writer) (int64, error) {
	content, err := c.Content(ctx, id, nil)
	if err != nil {
		return 0, err
	}
	n, err := c.Fetch(ctx, content, w)
	if err != nil {
		return n, fmt.Errorf("download %s: %w", id, err)
	}
	return n, nil
}

// Fetch writes what a content URL reads to w. A refusal by S3 is a *StorageError.
func (c *Client) Fetch(ctx context.Context, content Content, w io.Writer) (int64, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, content.URL, nil)
	if err != nil {
		return 0, fmt.Errorf("build the request: %w", scrub(err))
	}
	res, err := c.http.Do(req)
	if err != nil {
		return 0, scrub(err)
	}
	defer drain(res.Body)
	if res.StatusCode >= 300 {
		return 0, storageErrorOf(res)
	}
	n, err := io.Copy(w, res.Body)
	if err == nil && res.ContentLength >= 0 && n != res.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return n, fmt.Errorf("read the bytes: %w", err)
	}
	return n, nil
}

// Delete deletes an object softly: it can be brought back, and holds its quota, until
// it is purged.
func (c *Client) Delete(ctx context.Context, id string) error {
	return c.call(ctx, request{method: http.MethodDelete, path: "/v1/objects/" + url.PathEscape(id), repeatable: true, key: newIdempotencyKey()})
}

// Amount is one line of a workspace's quota.
type Amount struct {
	Limit     int64 `json:"limit"`
	Reserved  int64 `json:"reserved"`
	Stored    int64 `json:"stored"`
	Available int64 `json:"available"`
}

// Usage is what a workspace may use and uses.
type Usage struct {
	Bytes       Amount `json:"bytes"`
	Objects     Amount `json:"objects"`
	OpenUploads Amount `json:"openUploads"`
}

// Usage returns the workspace's quota, what is reserved and what is stored.
func (c *Client) Usage(ctx context.Context) (Usage, error) {
	var usage Usage
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/usage", out: &usage})
	return usage, err
}
