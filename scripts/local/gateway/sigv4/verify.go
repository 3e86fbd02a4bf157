package sigv4

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
)

// DeriveKey is the signing key that a secret gives for one day, region and service.
func DeriveKey(secret, date, region, service string) []byte {
	key := sum([]byte("AWS4"+secret), date)
	key = sum(key, region)
	key = sum(key, service)
	return sum(key, terminator)
}

func sum(key []byte, data string) []byte {
	h := hmac.New(sha256.New, key)
	_, _ = h.Write([]byte(data))
	return h.Sum(nil)
}

// Verify checks a signature made in the Authorization header, over the request as it was received and
// its whole body.
func (s *Signature) Verify(r *http.Request, body []byte, secret string) error {
	if !slices.Contains(s.SignedHeaders, "host") {
		return fmt.Errorf("%w: 'Host' must be a 'SignedHeader' in the AWS Authorization", ErrMalformed)
	}
	if s.Time.Format(dateFormat) != s.Date {
		return fmt.Errorf("%w: Date in Credential scope does not match YYYYMMDD from ISO-8601 version of date from HTTP: '%s' != '%s'",
			ErrMalformed, s.Date, s.Time.Format(dateFormat))
	}
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	payload := sha256.Sum256(body)
	return s.compare(s.canonicalRequest(r, path, r.URL.RawQuery, hex.EncodeToString(payload[:])), secret)
}

// VerifyS3 checks a signature of S3's, in the header or in the query, over what it says itself of the body.
// Whether the body is so is not checked.
func (s *Signature) VerifyS3(r *http.Request, secret string) error {
	payload := r.Header.Get("X-Amz-Content-Sha256")
	query := r.URL.RawQuery
	if s.Presigned {
		payload = cmp.Or(r.URL.Query().Get("X-Amz-Content-Sha256"), "UNSIGNED-PAYLOAD")
		query = withoutSignature(query)
	}
	return s.compare(s.canonicalRequest(r, r.URL.Path, query, payload), secret)
}

// VerifyPresigned checks a signature in the query of a request without a body, of every service but S3.
func (s *Signature) VerifyPresigned(r *http.Request, secret string) error {
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	payload := sha256.Sum256(nil)
	return s.compare(s.canonicalRequest(r, path, withoutSignature(r.URL.RawQuery), hex.EncodeToString(payload[:])), secret)
}

// withoutSignature is a query as it was signed.
func withoutSignature(query string) string {
	parts := slices.DeleteFunc(strings.Split(query, "&"), func(p string) bool { return strings.HasPrefix(p, querySig+"=") })
	return strings.Join(parts, "&")
}

// compare signs a canonical request.
func (s *Signature) compare(request, secret string) error {
	canonical := sha256.Sum256([]byte(request))
	toSign := strings.Join([]string{
		algorithm,
		s.Time.Format(timeFormat),
		strings.Join([]string{s.Date, s.Region, s.Service, terminator}, "/"),
		hex.EncodeToString(canonical[:]),
	}, "\n")
	want := sum(DeriveKey(secret, s.Date, s.Region, s.Service), toSign)
	got, err := hex.DecodeString(s.Signature)
	if err != nil || !hmac.Equal(got, want) {
		return ErrMismatch
	}
	return nil
}

// canonicalRequest takes the path as it is before it is encoded for the signature.
func (s *Signature) canonicalRequest(r *http.Request, path, query, payload string) string {
	var b strings.Builder
	b.WriteString(r.Method + "\n" + encode(path, true) + "\n" + canonicalQuery(query) + "\n")
	for _, name := range s.SignedHeaders {
		b.WriteString(name + ":" + headerValue(r, name) + "\n")
	}
	b.WriteString("\n" + strings.Join(s.SignedHeaders, ";") + "\n" + payload)
	return b.String()
}

// headerValue is a header as it was signed: net/http moves some headers out of the map.
func headerValue(r *http.Request, name string) string {
	values := r.Header.Values(name)
	switch {
	case name == "host":
		values = []string{r.Host}
	case name == "content-length" && len(values) == 0:
		values = []string{strconv.FormatInt(r.ContentLength, 10)}
	}
	trimmed := make([]string, len(values))
	for i, v := range values {
		trimmed[i] = strings.Join(strings.FieldsFunc(v, func(c rune) bool { return c == ' ' }), " ")
	}
	return strings.Join(trimmed, ",")
}

func canonicalQuery(raw string) string {
	if raw == "" {
		return ""
	}
	var pairs [][2]string
	for part := range strings.SplitSeq(raw, "&") {
		if part != "" {
			name, value, _ := strings.Cut(part, "=")
			pairs = append(pairs, [2]string{encode(unescape(name), false), encode(unescape(value), false)})
		}
	}
	// By name and then by value: as joined strings, "a-=" would come before "a=".
	slices.SortFunc(pairs, func(a, b [2]string) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
	joined := make([]string, len(pairs))
	for i, p := range pairs {
		joined[i] = p[0] + "=" + p[1]
	}
	return strings.Join(joined, "&")
}

// unescape leaves what cannot be unescaped as it is: its signature will not match.
func unescape(s string) string {
	if u, err := url.QueryUnescape(s); err == nil {
		return u
	}
	return s
}

// encode percent-encodes everything but RFC 3986's unreserved characters and, in a path, slashes.
func encode(s string, path bool) string {
	const digits = "0123456789ABCDEF"
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', path && c == '/':
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(digits[c>>4])
			b.WriteByte(digits[c&15])
		}
	}
	return b.String()
}
