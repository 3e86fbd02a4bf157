package s3store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/smithy-go/encoding/httpbinding"

	"github.com/stowage-dev/stowage/shared/fault"
)

const (
	// unsignedPayload is the payload hash of a presigned request: the body is not known
	// when it is signed. https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-query-string-auth.html
	unsignedPayload = "UNSIGNED-PAYLOAD"
	// sessionMargin is how long before the end of the session its last URL ends.
	sessionMargin = time.Minute
	// maxExpires is SigV4's limit on X-Amz-Expires.
	maxExpires = 7 * 24 * time.Hour
)

// PresignerConfig says for which bucket, and with whose credentials, URLs are signed.
type PresignerConfig struct {
	Bucket string
	// Client gives region, endpoint and addressing style. It is sent nothing.
	Client *s3.Client
	// Credentials sign. They must say when they end (CanExpire).
	Credentials aws.CredentialsProvider
	Now         func() time.Time
}

// Presigner signs requests for the objects of one bucket.
type Presigner struct {
	base        url.URL // of the bucket, without the trailing slash
	region      string
	credentials aws.CredentialsProvider
	now         func() time.Time
	signer      *v4.Signer
}

// NewPresigner resolves the bucket's address once, so that signing a URL sends nothing.
func NewPresigner(cfg PresignerConfig) (*Presigner, error) {
	opts := cfg.Client.Options()
	params := s3.EndpointParameters{
		Bucket:         aws.String(cfg.Bucket),
		Region:         aws.String(opts.Region),
		Endpoint:       opts.BaseEndpoint,
		ForcePathStyle: aws.Bool(opts.UsePathStyle),
		UseDualStack:   aws.Bool(opts.EndpointOptions.UseDualStackEndpoint == aws.DualStackEndpointStateEnabled),
		UseFIPS:        aws.Bool(opts.EndpointOptions.UseFIPSEndpoint == aws.FIPSEndpointStateEnabled),
	}
	endpoint, err := opts.EndpointResolverV2.ResolveEndpoint(context.Background(), params) // calls nobody
	if err != nil {
		return nil, fmt.Errorf("resolve the endpoint of bucket %q: %w", cfg.Bucket, err)
	}
	base := endpoint.URI
	base.Path = strings.TrimSuffix(base.Path, "/")
	base.RawPath = ""
	return &Presigner{
		base:        base,
		region:      opts.Region,
		credentials: cfg.Credentials,
		now:         cfg.Now,
		signer: v4.NewSigner(func(o *v4.SignerOptions) {
			o.DisableURIPathEscaping = true // S3 wants the path escaped once
		}),
	}, nil
}

// Ready returns an error when nothing can be signed now, because no session can be had or
// the one at hand is about to end.
func (p *Presigner) Ready(ctx context.Context) error {
	credentials, err := p.credentials.Retrieve(ctx)
	if err != nil {
		return fmt.Errorf("get the signer's session: %w", err)
	}
	_, err = lifetime(maxExpires, credentials, p.now())
	return err
}

// PutRequest describes the one request that a signed PUT allows.
type PutRequest struct {
	Key         string
	Size        int64  // bytes, exactly
	ContentType string // sent and stored as it stands
	SHA256      string // base64 of the body's SHA-256
	Expires     time.Duration
}

// GetRequest describes a signed GET.
type GetRequest struct {
	Key         string
	VersionID   string // the S3 version; always named, so that only it can be read
	Disposition string // Content-Disposition of the answer, see ContentDisposition
	Expires     time.Duration
}

// Signed is a request that anybody who holds it may send until it ends.
type Signed struct {
	URL       string
	Method    string
	Headers   map[string]string // to be sent exactly so
	ExpiresAt time.Time
}

// LogValue keeps the URL out of logs.
func (s Signed) LogValue() slog.Value {
	return slog.GroupValue(slog.String("method", s.Method), slog.Time("expiresAt", s.ExpiresAt))
}

// String keeps the URL out of formatted text.
func (s Signed) String() string { return s.Method + " (signed URL hidden)" }

// PresignPut signs a PUT that can create its key, once, with the bytes described.
func (p *Presigner) PresignPut(ctx context.Context, put PutRequest) (Signed, error) {
	header := http.Header{
		"Content-Type":          {put.ContentType},
		"If-None-Match":         {"*"},
		"X-Amz-Checksum-Sha256": {put.SHA256},
	}
	query := url.Values{"x-id": {"PutObject"}}
	signed, err := p.presign(ctx, http.MethodPut, put.Key, query, header, put.Size, put.Expires)
	if err != nil {
		return Signed{}, fmt.Errorf("presign put %s: %w", put.Key, err)
	}
	return signed, nil
}

// PresignGet signs a GET of one version of a key.
func (p *Presigner) PresignGet(ctx context.Context, get GetRequest) (Signed, error) {
	if get.VersionID == "" {
		return Signed{}, fmt.Errorf("presign get %s: %w", get.Key, errors.New("a version id is needed"))
	}
	query := url.Values{"x-id": {"GetObject"}, "versionId": {get.VersionID}}
	if get.Disposition != "" {
		query.Set("response-content-disposition", get.Disposition)
	}
	signed, err := p.presign(ctx, http.MethodGet, get.Key, query, http.Header{}, 0, get.Expires)
	if err != nil {
		return Signed{}, fmt.Errorf("presign get %s: %w", get.Key, err)
	}
	return signed, nil
}

func (p *Presigner) presign(ctx context.Context, method, key string, query url.Values, header http.Header, length int64, asked time.Duration) (Signed, error) {
	credentials, err := p.credentials.Retrieve(ctx)
	if err != nil {
		return Signed{}, fmt.Errorf("get the signer's session: %w", err)
	}
	now := p.now().UTC().Truncate(time.Second)
	life, err := lifetime(asked, credentials, now)
	if err != nil {
		return Signed{}, err
	}
	query.Set("X-Amz-Expires", strconv.FormatInt(int64(life/time.Second), 10))
	target := p.base
	target.Path = p.base.Path + "/" + key
	target.RawPath = p.base.EscapedPath() + "/" + httpbinding.EscapePath(key, false)
	target.RawQuery = query.Encode()
	req := &http.Request{Method: method, URL: &target, Host: target.Host, Header: header, ContentLength: length}
	signedURL, signedHeaders, err := p.signer.PresignHTTP(ctx, credentials, req, unsignedPayload, "s3", p.region, now)
	if err != nil {
		return Signed{}, fmt.Errorf("sign: %w", err)
	}
	return Signed{URL: signedURL, Method: method, Headers: toSend(signedHeaders), ExpiresAt: now.Add(life)}, nil
}

// lifetime is min(asked, what is left of the session - 1 minute), in whole seconds.
func lifetime(asked time.Duration, credentials aws.Credentials, now time.Time) (time.Duration, error) {
	if !credentials.CanExpire {
		return 0, fault.New(fault.Internal, "the signing credentials do not say when they end: sign with an assumed role")
	}
	left := credentials.Expires.Sub(now) - sessionMargin
	life := min(asked, left, maxExpires).Truncate(time.Second)
	if life < time.Second {
		return 0, fault.New(fault.Unavailable, "the signing session is about to end: try again")
	}
	return life, nil
}

// toSend is what the client has to send. Host and Content-Length are signed too, but set
// by every HTTP client from the URL and the body, and browsers refuse to have them set.
func toSend(signed http.Header) map[string]string {
	headers := make(map[string]string, len(signed))
	for name, values := range signed {
		if name == "Host" || name == "Content-Length" {
			continue
		}
		headers[strings.ToLower(name)] = strings.Join(values, ",")
	}
	return headers
}
