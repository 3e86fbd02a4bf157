package client

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// maxAnswerBytes bounds what is read of one API answer: Lambda sends at most 6 MB.
const maxAnswerBytes = 6 << 20

// TokenSource returns a valid access token. It is called before every request, so
// it should cache. It must be safe for concurrent use.
type TokenSource func(ctx context.Context) (string, error)

// StaticToken is a TokenSource for a token that outlives the client.
func StaticToken(token string) TokenSource {
	return func(context.Context) (string, error) { return token, nil }
}

// Options configures a Client. The zero value is a working default.
type Options struct {
	// Workspace is sent as Stowage-Workspace. Empty: the only workspace of the token.
	Workspace string
	// HTTPClient sends API calls and bytes. Nil: a client of its own, without an
	// overall time-out (large PUTs take long), with time-outs for connecting and headers.
	HTTPClient *http.Client
	// MaxAttempts of a retried request. Zero: 4.
	MaxAttempts int
	// PollInterval between two looks at an upload that is being verified. Zero: 50 ms,
	// growing to 2 s.
	PollInterval time.Duration
}

// Client calls one Stowage API.
type Client struct {
	base  *url.URL
	token TokenSource
	http  *http.Client
	opts  Options
}

// New returns a Client of the API at baseURL, for example https://api.example.com
// (without the /v1).
func New(baseURL string, token TokenSource, opts *Options) (*Client, error) {
	base, err := url.Parse(baseURL)
	if err != nil || base.Host == "" || (base.Scheme != "http" && base.Scheme != "https") {
		return nil, fmt.Errorf("client: base URL %q is not an http or https URL such as https://api.example.com", baseURL)
	}
	if token == nil {
		return nil, errors.New("client: a TokenSource is needed; use StaticToken for a fixed token")
	}
	c := &Client{base: base, token: token}
	if opts != nil {
		c.opts = *opts
	}
	if c.opts.MaxAttempts <= 0 {
		c.opts.MaxAttempts = 4
	}
	if c.opts.PollInterval <= 0 {
		c.opts.PollInterval = 50 * time.Millisecond
	}
	c.http = c.opts.HTTPClient
	if c.http == nil {
		transport := http.DefaultTransport.(*http.Transport).Clone()
		transport.ResponseHeaderTimeout = 2 * time.Minute
		transport.MaxIdleConnsPerHost = 16
		transport.WriteBufferSize = 256 << 10
		c.http = &http.Client{Transport: transport}
	}
	return c, nil
}

// request is one call of the API.
type request struct {
	method, path string
	query        url.Values
	in, out      any
	repeatable   bool   // a POST that may be sent again: repeating it changes nothing
	key          string // Idempotency-Key
}

// call sends one API request, retried where that is safe, and decodes the answer.
func (c *Client) call(ctx context.Context, r request) error {
	var body []byte
	if r.in != nil {
		var err error
		if body, err = json.Marshal(r.in); err != nil {
			return fmt.Errorf("client: encode %s %s: %w", r.method, r.path, err)
		}
	}
	answer, err := c.retry(ctx, r.repeatable || r.method != http.MethodPost, func() (*http.Response, error) {
		return c.send(ctx, r, body)
	})
	if err != nil {
		return fmt.Errorf("%s %s: %w", r.method, r.path, err)
	}
	defer drain(answer.Body)
	data, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswerBytes+1))
	if err != nil {
		return fmt.Errorf("%s %s: read the answer: %w", r.method, r.path, err)
	}
	if answer.StatusCode >= 300 {
		return fmt.Errorf("%s %s: %w", r.method, r.path, problemOf(answer, data))
	}
	if r.out == nil || len(data) == 0 {
		return nil
	}
	if err := json.Unmarshal(data, r.out); err != nil {
		return fmt.Errorf("%s %s: decode the answer: %w", r.method, r.path, err)
	}
	return nil
}

func (c *Client) send(ctx context.Context, r request, body []byte) (*http.Response, error) {
	token, err := c.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("get an access token: %w", err)
	}
	target := c.base.JoinPath(strings.Split(strings.TrimPrefix(r.path, "/"), "/")...)
	target.RawQuery = r.query.Encode()
	req, err := http.NewRequestWithContext(ctx, r.method, target.String(), bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("build the request: %w", err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Accept", "application/json, application/problem+json")
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	if r.key != "" {
		req.Header.Set("Idempotency-Key", r.key)
	}
	if c.opts.Workspace != "" {
		req.Header.Set("Stowage-Workspace", c.opts.Workspace)
	}
	res, err := c.http.Do(req)
	if err != nil {
		return nil, scrub(err)
	}
	return res, nil
}

// newIdempotencyKey returns a key that no other request has.
func newIdempotencyKey() string { return rand.Text() }

// scrub drops the URL from a transport error: a presigned one is a credential.
func scrub(err error) error {
	var withURL *url.Error
	if errors.As(err, &withURL) {
		return withURL.Err
	}
	return err
}

func drain(body io.ReadCloser) {
	_, _ = io.Copy(io.Discard, io.LimitReader(body, 256<<10)) // so that the connection is used again
	_ = body.Close()
}
