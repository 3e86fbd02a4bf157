package sigv4_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/gateway/sigv4"
)

const secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"

// signed is a request signed by the SDK and parsed as a server would see it.
func signed(t interface{ Fatalf(string, ...any) }, method, target, service string, header http.Header, body []byte, at time.Time, token string) *http.Request {
	r, err := http.NewRequestWithContext(context.Background(), method, "http://127.0.0.1:4566"+target, bytes.NewReader(body))
	if err != nil {
		t.Fatalf("make the request: %v", err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	sum := sha256.Sum256(body)
	creds := aws.Credentials{AccessKeyID: "AKIDEXAMPLE", SecretAccessKey: secret, SessionToken: token}
	if err := v4.NewSigner().SignHTTP(context.Background(), creds, r, hex.EncodeToString(sum[:]), service, "eu-west-1", at); err != nil {
		t.Fatalf("sign: %v", err)
	}
	got := httptest.NewRequest(method, r.URL.RequestURI(), bytes.NewReader(body))
	got.Host = r.URL.Host
	got.Header = r.Header.Clone()
	return got
}

// TestAgreesWithTheSDK signs arbitrary requests with the SDK's signer and verifies them; then changes
// one thing and expects a mismatch.
func TestAgreesWithTheSDK(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		body := rapid.SliceOfN(rapid.Byte(), 0, 200).Draw(rt, "body")
		path := "/" + strings.Join(rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9 %+~:@!$'()*,;=_.-]{1,12}`), 0, 3).Draw(rt, "segments"), "/")
		escaped := escapePath(path)
		if q := rapid.SliceOfN(rapid.StringMatching(`[a-zA-Z0-9_~.-]{1,8}=([a-zA-Z0-9_.~-]|%2F|%20|%C3%A9){0,8}`), 0, 4).Draw(rt, "query"); len(q) > 0 {
			escaped += "?" + strings.Join(q, "&")
		}
		header := http.Header{
			"Content-Type": {"application/x-amz-json-1.0"},
			"X-Amz-Target": {rapid.StringMatching(`[A-Za-z_.0-9]{1,30}`).Draw(rt, "target")},
			"X-Spaces":     {"  a   b  " + rapid.StringMatching(`[ a-z]{0,10}`).Draw(rt, "spaces")},
		}
		token := rapid.SampledFrom([]string{"", "token/with+signs=="}).Draw(rt, "token")
		at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
		r := signed(rt, http.MethodPost, escaped, "dynamodb", header, body, at, token)

		s, err := sigv4.FromRequest(r)
		if err != nil {
			rt.Fatalf("read the signature: %v", err)
		}
		if s.AccessKeyID != "AKIDEXAMPLE" || s.Service != "dynamodb" || s.Region != "eu-west-1" || s.Token != token || !s.Time.Equal(at) || s.Presigned {
			rt.Fatalf("read %+v", s)
		}
		if err := s.Verify(r, body, secret); err != nil {
			rt.Fatalf("verify what the SDK signed: %v (%s)", err, escaped)
		}
		if err := s.Verify(r, append([]byte("x"), body...), secret); !errors.Is(err, sigv4.ErrMismatch) {
			rt.Fatalf("another body: got %v", err)
		}
		if err := s.Verify(r, body, secret+"x"); !errors.Is(err, sigv4.ErrMismatch) {
			rt.Fatalf("another secret: got %v", err)
		}
		r.Header.Set("X-Amz-Target", "Other.Target")
		if err := s.Verify(r, body, secret); !errors.Is(err, sigv4.ErrMismatch) {
			rt.Fatalf("another signed header: got %v", err)
		}
	})
}

// escapePath escapes what a path cannot hold, and leaves the rest, so that the path may be ambiguous.
func escapePath(path string) string {
	var b strings.Builder
	for _, c := range []byte(path) {
		switch c {
		case ' ', '%', '+', ';', '?':
			b.WriteString("%" + strings.ToUpper(hex.EncodeToString([]byte{c})))
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// TestDeriveKey is the worked example of AWS's documentation.
func TestDeriveKey(t *testing.T) {
	t.Parallel()
	got := hex.EncodeToString(sigv4.DeriveKey("wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "20120215", "us-east-1", "iam"))
	if want := "f4780e2d9f65fa895f9c67b32ce1baf0b0d8a43505a000a1a9e090d414db404d"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestFromRequest(t *testing.T) {
	t.Parallel()
	const credential = "AKIDEXAMPLE/20261122/us-east-1/sqs/aws4_request"
	full := "AWS4-HMAC-SHA256 Credential=" + credential + ", SignedHeaders=host;x-amz-date, Signature=00ff"
	for name, test := range map[string]struct {
		auth, date, httpDate, query string
		want                        string // part of the error; empty: none
		unsigned                    bool
	}{
		"unsigned":          {unsigned: true},
		"header":            {auth: full, date: "20261122T120000Z"},
		"no blanks":         {auth: strings.ReplaceAll(full, ", ", ","), date: "20261122T120000Z"},
		"HTTP date":         {auth: full, httpDate: "Sun, 22 Nov 2026 12:00:00 GMT"},
		"no date":           {auth: full, want: "'X-Amz-Date' or a 'Date'"},
		"bad date":          {auth: full, date: "yesterday", want: "ISO-8601"},
		"another scheme":    {auth: "Bearer abc", want: `"Bearer"`},
		"no credential":     {auth: "AWS4-HMAC-SHA256 SignedHeaders=host, Signature=00", want: `"Credential"`},
		"no signed headers": {auth: "AWS4-HMAC-SHA256 Credential=" + credential + ", Signature=00", want: `"SignedHeaders"`},
		"no signature":      {auth: "AWS4-HMAC-SHA256 Credential=" + credential + ", SignedHeaders=host", want: `"Signature"`},
		"short scope":       {auth: strings.Replace(full, "/sqs", "", 1), date: "20261122T120000Z", want: "credential must be"},
		"empty region":      {auth: strings.Replace(full, "us-east-1", "", 1), date: "20261122T120000Z", want: "credential must be"},
		"query":             {query: "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + credential + "&X-Amz-Date=20261122T120000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00"},
		"query, no expiry":  {query: "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + credential + "&X-Amz-Date=20261122T120000Z&X-Amz-SignedHeaders=host&X-Amz-Signature=00", want: "X-Amz-Expires is missing"},
		"query, bad expiry": {query: "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + credential + "&X-Amz-Date=20261122T120000Z&X-Amz-Expires=-1&X-Amz-SignedHeaders=host&X-Amz-Signature=00", want: "number of seconds"},
		"query, other alg":  {query: "X-Amz-Algorithm=AWS4-ECDSA-P256-SHA256&X-Amz-Credential=" + credential, want: "X-Amz-Algorithm"},
		"query, bad date":   {query: "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + credential + "&X-Amz-Date=x&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=00", want: "ISO-8601"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := httptest.NewRequest(http.MethodGet, "/?"+test.query, nil)
			for k, v := range map[string]string{"Authorization": test.auth, "X-Amz-Date": test.date, "Date": test.httpDate} {
				if v != "" {
					r.Header.Set(k, v)
				}
			}
			s, err := sigv4.FromRequest(r)
			switch {
			case test.want != "":
				if !errors.Is(err, sigv4.ErrMalformed) || !strings.Contains(err.Error(), test.want) {
					t.Errorf("got %v, want one that says %s", err, test.want)
				}
			case err != nil:
				t.Errorf("got %v", err)
			case (s == nil) != test.unsigned:
				t.Errorf("got %+v", s)
			case s != nil && (s.Service != "sqs" || s.Presigned != (test.query != "")):
				t.Errorf("got %+v", s)
			}
		})
	}
}

func TestVerifyRefusesWhatIsNotBound(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)
	r := signed(t, http.MethodPost, "/", "events", nil, nil, at, "")
	s, err := sigv4.FromRequest(r)
	if err != nil {
		t.Fatal(err)
	}
	noHost := *s
	noHost.SignedHeaders = []string{"x-amz-date"}
	if err := noHost.Verify(r, nil, secret); !errors.Is(err, sigv4.ErrMalformed) {
		t.Errorf("host not signed: got %v", err)
	}
	otherDay := *s
	otherDay.Date = "20261123"
	if err := otherDay.Verify(r, nil, secret); !errors.Is(err, sigv4.ErrMalformed) {
		t.Errorf("scope of another day: got %v", err)
	}
	r.Host = "127.0.0.1:1"
	if err := s.Verify(r, nil, secret); !errors.Is(err, sigv4.ErrMismatch) {
		t.Errorf("another host: got %v", err)
	}
}

func TestCheckTime(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	const tolerance = 5 * time.Minute
	for _, test := range []struct {
		offset time.Duration
		want   string
	}{
		{-tolerance - time.Second, "Signature expired: 20261122T115459Z is now earlier than 20261122T115500Z (20261122T120000Z - 5 min.)"},
		{-tolerance, ""},
		{0, ""},
		{tolerance, ""},
		{tolerance + time.Second, "Signature not yet current: 20261122T120501Z is still later than 20261122T120500Z (20261122T120000Z + 5 min.)"},
	} {
		s := sigv4.Signature{Time: now.Add(test.offset)}
		err := s.CheckTime(now, tolerance)
		if got := message(err); got != test.want {
			t.Errorf("%v: got %q, want %q", test.offset, got, test.want)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// FuzzFromRequest: whatever the header or the query, there is an answer and no panic.
func FuzzFromRequest(f *testing.F) {
	f.Add("AWS4-HMAC-SHA256 Credential=A/20261122/r/s/aws4_request, SignedHeaders=host, Signature=00", "X-Amz-Credential=A", "20261122T120000Z")
	f.Add("AWS4-HMAC-SHA256 ,=,Credential", "", "")
	f.Fuzz(func(t *testing.T, auth, query, date string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL.RawQuery = query
		r.Header.Set("Authorization", auth)
		r.Header.Set("X-Amz-Date", date)
		s, err := sigv4.FromRequest(r)
		if err != nil && !errors.Is(err, sigv4.ErrMalformed) {
			t.Fatalf("an error of another kind: %v", err)
		}
		if err == nil && s != nil {
			if s.Service == "" || s.AccessKeyID == "" {
				t.Fatalf("accepted %+v", s)
			}
			if s.Verify(r, nil, "secret") == nil {
				t.Fatal("verified a made-up signature")
			}
		}
	})
}
