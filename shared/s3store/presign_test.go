package s3store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/s3store"
)

func sha(body []byte) string {
	sum := sha256.Sum256(body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

func presigner(tb testing.TB, client *s3.Client, bucket string, creds aws.Credentials, now func() time.Time) *s3store.Presigner {
	tb.Helper()
	p, err := s3store.NewPresigner(s3store.PresignerConfig{
		Bucket: bucket, Client: client, Now: now,
		Credentials: credentials.StaticCredentialsProvider{Value: creds},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return p
}

// atTime makes the SDK sign for a moment of our choice.
type atTime struct {
	signer *v4.Signer
	at     time.Time
}

func (a atTime) PresignHTTP(ctx context.Context, creds aws.Credentials, r *http.Request, hash, service, region string, _ time.Time, opts ...func(*v4.SignerOptions)) (string, http.Header, error) {
	return a.signer.PresignHTTP(ctx, creds, r, hash, service, region, a.at, opts...)
}

// TestSameURLAsTheSDK compares with the SDK's own presigner, byte for byte. Empty objects
// are left out: for those the SDK does not sign the content type, and we do.
func TestSameURLAsTheSDK(t *testing.T) {
	t.Parallel()
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ09-._~/ +%?&=#:@!$'()*,;äß漢🙂\\\"<>|")), 1, 60, -1).
		Filter(func(s string) bool { return !strings.HasPrefix(s, "/") })
	rapid.Check(t, func(rt *rapid.T) {
		now := time.Unix(rapid.Int64Range(1_700_000_000, 2_000_000_000).Draw(rt, "now"), 0).UTC()
		life := time.Duration(rapid.IntRange(1, 3600).Draw(rt, "life")) * time.Second
		creds := aws.Credentials{
			AccessKeyID:     rapid.StringMatching(`ASIA[A-Z0-9]{16}`).Draw(rt, "key"),
			SecretAccessKey: rapid.StringMatching(`[A-Za-z0-9/+]{40}`).Draw(rt, "secret"),
			SessionToken:    rapid.StringMatching(`[A-Za-z0-9/+=]{0,200}`).Draw(rt, "token"),
			CanExpire:       true,
			Expires:         now.Add(2 * time.Hour),
		}
		endpoint := rapid.SampledFrom([]string{"", "http://127.0.0.1:9000", "https://storage.example.com/base"}).Draw(rt, "endpoint")
		bucket := rapid.SampledFrom([]string{"content", "my.dotted.bucket", "a-b-c"}).Draw(rt, "bucket")
		client := newClient(endpoint, creds)
		ours := presigner(t, client, bucket, creds, func() time.Time { return now })
		key := text.Draw(rt, "object key")
		sdk := s3.NewPresignClient(client, func(o *s3.PresignOptions) {
			o.Expires = life
			o.Presigner = atTime{v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }), now}
		})
		if rapid.Bool().Draw(rt, "put") {
			put := s3store.PutRequest{
				Key:         key,
				Size:        rapid.Int64Range(1, 100<<20).Draw(rt, "size"),
				ContentType: rapid.SampledFrom([]string{"image/png", "text/plain; charset=utf-8", `a/b; c="d e"`}).Draw(rt, "type"),
				SHA256:      sha([]byte(key)),
				Expires:     life,
			}
			got, err := ours.PresignPut(t.Context(), put)
			if err != nil {
				rt.Fatal(err)
			}
			want, err := sdk.PresignPutObject(t.Context(), &s3.PutObjectInput{
				Bucket: &bucket, Key: &put.Key, ContentLength: &put.Size, ContentType: &put.ContentType,
				ChecksumSHA256: &put.SHA256, IfNoneMatch: aws.String("*"),
			})
			if err != nil {
				rt.Fatal(err)
			}
			compare(rt, got, want)
			return
		}
		get := s3store.GetRequest{
			Key:         key,
			VersionID:   rapid.StringMatching(`[A-Za-z0-9._]{1,32}`).Draw(rt, "version"),
			Disposition: s3store.ContentDisposition("attachment", text.Draw(rt, "name")),
			Expires:     life,
		}
		got, err := ours.PresignGet(t.Context(), get)
		if err != nil {
			rt.Fatal(err)
		}
		want, err := sdk.PresignGetObject(t.Context(), &s3.GetObjectInput{
			Bucket: &bucket, Key: &get.Key, VersionId: &get.VersionID, ResponseContentDisposition: &get.Disposition,
		})
		if err != nil {
			rt.Fatal(err)
		}
		compare(rt, got, want)
	})
}

func compare(rt *rapid.T, got s3store.Signed, want *v4.PresignedHTTPRequest) {
	rt.Helper()
	if got.URL != want.URL || got.Method != want.Method {
		rt.Fatalf("ours: %s %s\n sdk: %s %s", got.Method, got.URL, want.Method, want.URL)
	}
	headers := map[string]string{}
	for name, values := range want.SignedHeader {
		if name != "Host" && name != "Content-Length" {
			headers[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	if fmt.Sprint(got.Headers) != fmt.Sprint(headers) {
		rt.Fatalf("headers: ours %v, sdk %v", got.Headers, headers)
	}
}

func send(t *testing.T, signed s3store.Signed, body []byte, change func(*http.Request)) (status int, answer string, header http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), signed.Method, signed.URL, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range signed.Headers {
		req.Header.Set(name, value)
	}
	if change != nil {
		change(req)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text), res.Header
}

// TestAgainstStorage sends signed requests, as they are and changed, to a real S3 server.
func TestAgainstStorage(t *testing.T) {
	t.Parallel()
	storage := startEngine(t)
	p := presigner(t, storage.client(t), testBucket, storage.session(t, time.Hour), time.Now)
	body := []byte("some bytes of a report")
	put := func(key string) s3store.PutRequest {
		return s3store.PutRequest{Key: key, Size: int64(len(body)), ContentType: "text/plain", SHA256: sha(body), Expires: time.Minute}
	}

	refused := []struct {
		name   string
		body   []byte
		change func(*http.Request)
	}{
		{"other content type", body, func(r *http.Request) { r.Header.Set("Content-Type", "text/html") }},
		{"no content type", body, func(r *http.Request) { r.Header.Del("Content-Type") }},
		{"no if-none-match", body, func(r *http.Request) { r.Header.Del("If-None-Match") }},
		{"no checksum", body, func(r *http.Request) { r.Header.Del("X-Amz-Checksum-Sha256") }},
		{"other checksum", body, func(r *http.Request) { r.Header.Set("X-Amz-Checksum-Sha256", sha([]byte("x"))) }},
		{"longer", append([]byte("x"), body...), nil},
		{"shorter", body[1:], nil},
		{"other bytes", bytes.ToUpper(body), nil},
		{"other key", body, func(r *http.Request) { r.URL.Path += "x" }},
		{"longer life", body, func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "X-Amz-Expires=60", "X-Amz-Expires=61", 1)
		}},
	}
	for i, tc := range refused {
		t.Run(tc.name, func(t *testing.T) {
			signed, err := p.PresignPut(t.Context(), put(fmt.Sprintf("refused/%d", i)))
			if err != nil {
				t.Fatal(err)
			}
			if status, answer, _ := send(t, signed, tc.body, tc.change); status < 400 || status >= 500 {
				t.Errorf("got %d %s, want a refusal", status, answer)
			}
		})
	}

	t.Run("once", func(t *testing.T) {
		signed, err := p.PresignPut(t.Context(), put("once"))
		if err != nil {
			t.Fatal(err)
		}
		status, answer, header := send(t, signed, body, nil)
		if status != http.StatusOK {
			t.Fatalf("put: %d %s", status, answer)
		}
		if status, _, _ := send(t, signed, body, nil); status != http.StatusPreconditionFailed {
			t.Errorf("second put: %d, want 412", status)
		}
		get, err := p.PresignGet(t.Context(), s3store.GetRequest{
			Key: "once", VersionID: header.Get("X-Amz-Version-Id"),
			Disposition: s3store.ContentDisposition("attachment", "Übersicht.txt"), Expires: time.Minute,
		})
		if err != nil {
			t.Fatal(err)
		}
		status, answer, header = send(t, get, nil, nil)
		if status != http.StatusOK || answer != string(body) {
			t.Errorf("get: %d %q", status, answer)
		}
		if want := `attachment; filename="_bersicht.txt"; filename*=UTF-8''%C3%9Cbersicht.txt`; header.Get("Content-Disposition") != want {
			t.Errorf("disposition %q, want %q", header.Get("Content-Disposition"), want)
		}
		if status, _, _ := send(t, get, nil, func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "attachment", "inline", 1)
		}); status != http.StatusForbidden {
			t.Errorf("changed disposition: %d, want 403", status)
		}
	})

	t.Run("nothing at all", func(t *testing.T) {
		signed, err := p.PresignPut(t.Context(), s3store.PutRequest{Key: "empty", ContentType: "text/plain", SHA256: sha(nil), Expires: time.Minute})
		if err != nil {
			t.Fatal(err)
		}
		if status, answer, _ := send(t, signed, []byte("x"), nil); status < 400 {
			t.Errorf("one byte where none was declared: %d %s", status, answer)
		}
		if status, answer, _ := send(t, signed, nil, func(r *http.Request) { r.Header.Set("Content-Type", "text/html") }); status != http.StatusForbidden {
			t.Errorf("empty put of another type: %d %s, want 403", status, answer)
		}
		if status, answer, _ := send(t, signed, nil, nil); status != http.StatusOK {
			t.Errorf("empty put: %d %s", status, answer)
		}
	})

	t.Run("expired", func(t *testing.T) {
		past := presigner(t, storage.client(t), testBucket, storage.session(t, time.Hour), func() time.Time { return time.Now().Add(-time.Minute) })
		late := put("late")
		late.Expires = 30 * time.Second
		signed, err := past.PresignPut(t.Context(), late)
		if err != nil {
			t.Fatal(err)
		}
		if status, answer, _ := send(t, signed, body, nil); status != http.StatusForbidden {
			t.Errorf("expired: %d %s, want 403", status, answer)
		}
	})
}

func TestLifetimeEndsBeforeTheSession(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for _, tc := range []struct {
		name    string
		left    time.Duration
		asked   time.Duration
		want    time.Duration
		code    fault.Code
		endless bool
	}{
		{name: "as asked", left: time.Hour, asked: 15 * time.Minute, want: 15 * time.Minute},
		{name: "a second less than is left", left: time.Hour, asked: 59*time.Minute - time.Second, want: 59*time.Minute - time.Second},
		{name: "all that is left", left: time.Hour, asked: 59 * time.Minute, want: 59 * time.Minute},
		{name: "more than is left", left: time.Hour, asked: 59*time.Minute + time.Second, want: 59 * time.Minute},
		{name: "one second is left", left: time.Minute + time.Second, asked: time.Hour, want: time.Second},
		{name: "nothing is left", left: time.Minute + time.Second - 1, asked: time.Hour, code: fault.Unavailable},
		{name: "the session has ended", left: -time.Second, asked: time.Hour, code: fault.Unavailable},
		{name: "no end is known", asked: time.Hour, endless: true, code: fault.Internal},
		{name: "nothing was asked", left: time.Hour, asked: 0, code: fault.Unavailable},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			creds := aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s", CanExpire: !tc.endless, Expires: now.Add(tc.left)}
			p := presigner(t, newClient("", creds), testBucket, creds, func() time.Time { return now })
			signed, err := p.PresignGet(t.Context(), s3store.GetRequest{Key: "k", VersionID: "v", Expires: tc.asked})
			if tc.code != "" {
				if !fault.Is(err, tc.code) {
					t.Fatalf("got %v, want %s", err, tc.code)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := signed.ExpiresAt.Sub(now); got != tc.want {
				t.Errorf("lives %s, want %s", got, tc.want)
			}
			if want := fmt.Sprintf("X-Amz-Expires=%d&", int(tc.want.Seconds())); !strings.Contains(signed.URL, want) {
				t.Errorf("the URL does not hold %s", want)
			}
		})
	}
}

func TestGetNamesItsVersion(t *testing.T) {
	t.Parallel()
	creds := aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s", CanExpire: true, Expires: time.Now().Add(time.Hour)}
	p := presigner(t, newClient("", creds), testBucket, creds, time.Now)
	if _, err := p.PresignGet(t.Context(), s3store.GetRequest{Key: "k", Expires: time.Minute}); err == nil {
		t.Error("signed a GET of whatever version is the latest")
	}
}

func TestSignedHidesItsURL(t *testing.T) {
	t.Parallel()
	signed := s3store.Signed{URL: "https://bucket/secret?X-Amz-Signature=abc", Method: "PUT"}
	var out strings.Builder
	slog.New(slog.NewJSONHandler(&out, nil)).LogAttrs(t.Context(), slog.LevelInfo, "opened", slog.Any("put", signed))
	fmt.Fprintf(&out, "%v %s", signed, signed)
	if strings.Contains(out.String(), "secret") {
		t.Errorf("the URL shows in %s", out.String())
	}
}

func BenchmarkPresignPut(b *testing.B) {
	creds := aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s", SessionToken: strings.Repeat("t", 800), CanExpire: true, Expires: time.Now().Add(time.Hour)}
	client := newClient("", creds)
	put := s3store.PutRequest{Key: "c/alpha/01JB/01JB", Size: 4096, ContentType: "image/png", SHA256: sha(nil), Expires: time.Minute}
	b.Run("ours", func(b *testing.B) {
		p := presigner(b, client, testBucket, creds, time.Now)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.PresignPut(b.Context(), put); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("sdk", func(b *testing.B) {
		p := s3.NewPresignClient(client)
		b.ReportAllocs()
		for b.Loop() {
			if _, err := p.PresignPutObject(b.Context(), &s3.PutObjectInput{
				Bucket: aws.String(testBucket), Key: &put.Key, ContentLength: &put.Size, ContentType: &put.ContentType,
				ChecksumSHA256: &put.SHA256, IfNoneMatch: aws.String("*"),
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
