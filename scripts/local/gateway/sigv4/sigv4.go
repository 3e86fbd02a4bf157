// Package sigv4 reads and verifies AWS Signature Version 4, the receiving side
// of what the SDKs' signers do.
//
// It follows "Create a signed AWS API request" in the IAM User Guide
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html).
// Verify encodes the path once more, as every service but S3 has it; VerifyS3 is
// for S3's signatures, in headers and in presigned URLs.
package sigv4

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	algorithm  = "AWS4-HMAC-SHA256"
	terminator = "aws4_request"
	timeFormat = "20060102T150405Z"
	dateFormat = "20060102"
)

// Names of the headers and query parameters that carry a signature.
const (
	headerDate  = "X-Amz-Date"
	headerToken = "X-Amz-Security-Token" //nolint:gosec // the name of a header
	queryAlg    = "X-Amz-Algorithm"
	queryCred   = "X-Amz-Credential" //nolint:gosec // the name of a parameter
	queryDate   = "X-Amz-Date"
	queryExpiry = "X-Amz-Expires"
	querySigned = "X-Amz-SignedHeaders"
	querySig    = "X-Amz-Signature"
	queryToken  = "X-Amz-Security-Token" //nolint:gosec // the name of a parameter
)

// ErrMalformed is wrapped by every error about a signature that cannot be read.
var ErrMalformed = errors.New("malformed signature")

// ErrMismatch says that the signature is not the one that the secret gives for this request.
var ErrMismatch = errors.New("the request signature we calculated does not match the signature you provided")

// SkewError says that a request was signed too long ago, or ahead of time.
type SkewError struct {
	Signed, Now time.Time
	Tolerance   time.Duration
}

// Error words it as AWS does.
func (e *SkewError) Error() string {
	format, bound := "Signature expired: %s is now earlier than %s (%s - %d min.)", e.Now.Add(-e.Tolerance)
	if e.Signed.After(e.Now) {
		format, bound = "Signature not yet current: %s is still later than %s (%s + %d min.)", e.Now.Add(e.Tolerance)
	}
	return fmt.Sprintf(format, e.Signed.Format(timeFormat), bound.Format(timeFormat), e.Now.Format(timeFormat), int(e.Tolerance.Minutes()))
}

// Signature is what a request's signature says.
type Signature struct {
	AccessKeyID   string
	Date          string // yyyymmdd of the credential scope
	Region        string
	Service       string // signing name
	SignedHeaders []string
	Signature     string
	Token         string // session token; empty for long-term credentials
	Time          time.Time
	Presigned     bool
	Expires       time.Duration // of a presigned URL
}

// FromRequest reads a request's signature, from its Authorization header or its query. It returns nil
// and no error for a request that carries none.
func FromRequest(r *http.Request) (*Signature, error) {
	if auth := r.Header.Get("Authorization"); auth != "" {
		return fromHeader(r, auth)
	}
	if strings.Contains(r.URL.RawQuery, queryCred) {
		return fromQuery(r.URL.Query())
	}
	return nil, nil
}

func fromHeader(r *http.Request, auth string) (*Signature, error) {
	rest, ok := strings.CutPrefix(auth, algorithm)
	if !ok {
		scheme, _, _ := strings.Cut(auth, " ")
		return nil, fmt.Errorf("%w: Authorization uses %q; only %s is served", ErrMalformed, scheme, algorithm)
	}
	fields := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		if name, value, found := strings.Cut(strings.TrimSpace(part), "="); found {
			fields[name] = value
		}
	}
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if fields[name] == "" {
			return nil, fmt.Errorf("%w: Authorization header requires %q parameter", ErrMalformed, name)
		}
	}
	s := &Signature{Signature: fields["Signature"], Token: r.Header.Get(headerToken)}
	if err := s.setScope(fields["Credential"]); err != nil {
		return nil, err
	}
	s.SignedHeaders = strings.Split(strings.ToLower(fields["SignedHeaders"]), ";")
	return s, s.setHeaderTime(r)
}

// setHeaderTime reads X-Amz-Date or, in its absence, Date.
func (s *Signature) setHeaderTime(r *http.Request) error {
	if v := r.Header.Get(headerDate); v != "" {
		return s.setTime(v)
	}
	v := r.Header.Get("Date")
	if v == "" {
		return fmt.Errorf("%w: Authorization header requires existence of either a 'X-Amz-Date' or a 'Date' header", ErrMalformed)
	}
	if t, err := http.ParseTime(v); err == nil {
		s.Time = t.UTC()
		return nil
	}
	return s.setTime(v)
}

func fromQuery(q url.Values) (*Signature, error) {
	if alg := q.Get(queryAlg); alg != algorithm {
		return nil, fmt.Errorf("%w: %s is %q; only %s is served", ErrMalformed, queryAlg, alg, algorithm)
	}
	for _, name := range []string{queryCred, queryDate, queryExpiry, querySigned, querySig} {
		if q.Get(name) == "" {
			return nil, fmt.Errorf("%w: query parameter %s is missing", ErrMalformed, name)
		}
	}
	seconds, err := strconv.ParseInt(q.Get(queryExpiry), 10, 32)
	if err != nil || seconds < 0 {
		return nil, fmt.Errorf("%w: %s should be a number of seconds, not %q", ErrMalformed, queryExpiry, q.Get(queryExpiry))
	}
	s := &Signature{
		Signature:     q.Get(querySig),
		SignedHeaders: strings.Split(strings.ToLower(q.Get(querySigned)), ";"),
		Token:         q.Get(queryToken),
		Presigned:     true,
		Expires:       time.Duration(seconds) * time.Second,
	}
	if err := s.setScope(q.Get(queryCred)); err != nil {
		return nil, err
	}
	return s, s.setTime(q.Get(queryDate))
}

// setScope reads <access key id>/<date>/<region>/<service>/aws4_request.
func (s *Signature) setScope(credential string) error {
	parts := strings.Split(credential, "/")
	if len(parts) != 5 || slices.Contains(parts, "") || parts[4] != terminator {
		return fmt.Errorf("%w: credential must be <access key id>/<date>/<region>/<service>/%s, not %q", ErrMalformed, terminator, credential)
	}
	s.AccessKeyID, s.Date, s.Region, s.Service = parts[0], parts[1], parts[2], parts[3]
	return nil
}

func (s *Signature) setTime(v string) error {
	t, err := time.Parse(timeFormat, v)
	if err != nil {
		return fmt.Errorf("%w: date must be in ISO-8601 basic format (%s), not %q", ErrMalformed, timeFormat, v)
	}
	s.Time = t
	return nil
}

// CheckTime refuses a signature made further from now than the tolerance.
func (s *Signature) CheckTime(now time.Time, tolerance time.Duration) error {
	now = now.UTC()
	if d := now.Sub(s.Time); d > tolerance || d < -tolerance {
		return &SkewError{Signed: s.Time, Now: now, Tolerance: tolerance}
	}
	return nil
}
