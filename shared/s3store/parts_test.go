package s3store_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/s3store"
	"github.com/stowage-dev/stowage/shared/upload"
)

// partsTried is how many random inputs the URLs of parts are compared for.
const partsTried = 10_000

// TestSamePartURLsAsTheSDK compares the URLs of parts with the SDK's own, byte for byte.
func TestSamePartURLsAsTheSDK(t *testing.T) {
	t.Parallel()
	text := rapid.StringOfN(rapid.RuneFrom([]rune("aZ09-._~/ +%?&=#:@!$'()*,;äß漢🙂\\\"<>|")), 1, 60, -1).
		Filter(func(s string) bool { return !strings.HasPrefix(s, "/") })
	compared := 0
	check := func(rt *rapid.T) {
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
		u := upload.Upload{
			S3Key:      text.Draw(rt, "object key"),
			S3UploadID: rapid.OneOf(rapid.StringMatching(`[A-Za-z0-9._-]{1,120}`), text).Draw(rt, "upload id"),
			PartSize:   rapid.Int64Range(limits.S3MinPartBytes, limits.S3MaxPartBytes).Draw(rt, "part size"),
		}
		u.Size = rapid.Int64Range(1, u.PartSize*limits.S3MaxParts).Draw(rt, "size")
		numbers := rapid.SliceOfN(rapid.IntRange(1, u.PartCount()), 1, 4).Draw(rt, "part numbers")
		parts := make([]upload.Part, len(numbers))
		for i, n := range numbers {
			parts[i] = u.Part(n)
		}
		got, err := presigner(t, client, bucket, creds, func() time.Time { return now }).PresignParts(t.Context(), u, parts, life)
		if err != nil {
			rt.Fatal(err)
		}
		sdk := s3.NewPresignClient(client, func(o *s3.PresignOptions) {
			o.Expires = life
			o.Presigner = atTime{v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = true }), now}
		})
		for i, p := range parts {
			want, err := sdk.PresignUploadPart(t.Context(), &s3.UploadPartInput{
				Bucket: &bucket, Key: &u.S3Key, UploadId: &u.S3UploadID, PartNumber: aws.Int32(int32(p.Number)), ContentLength: &p.Size,
			})
			if err != nil {
				rt.Fatal(err)
			}
			compare(rt, got[i], want)
			if end := now.Add(life); !got[i].ExpiresAt.Equal(end) {
				rt.Fatalf("expires %s, want %s", got[i].ExpiresAt, end)
			}
		}
		compared++
	}
	for compared < partsTried {
		rapid.Check(t, check)
	}
}

// multipart begins a multipart upload of size bytes at key.
func (e *engine) multipart(t *testing.T, m multiparter, key string, size, partSize int64, edit func(*upload.Upload)) upload.Upload {
	t.Helper()
	u := upload.Upload{S3Key: key, Mode: upload.Multipart, Size: size, PartSize: partSize, ContentType: "text/plain"}
	if edit != nil {
		edit(&u)
	}
	id, err := m.CreateMultipart(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	u.S3UploadID = id
	return u
}

// content is size bytes that do not repeat soon.
func content(size int64) []byte {
	b := make([]byte, size)
	for i := range b {
		b[i] = byte(i*7 + i/251)
	}
	return b
}

func bytesOf(u upload.Upload, p upload.Part, all []byte) []byte {
	from := int64(p.Number-1) * u.PartSize
	return all[from : from+p.Size]
}

// TestPartsAgainstStorage sends parts to a real S3 server, as they were signed and
// otherwise.
func TestPartsAgainstStorage(t *testing.T) {
	t.Parallel()
	storage := startEngine(t)
	p := presigner(t, storage.client(t), testBucket, storage.session(t, time.Hour), time.Now)
	m := multiparts(storage.client(t))
	const partSize = limits.S3MinPartBytes
	u := storage.multipart(t, m, "c/alpha/parts", partSize+3, partSize, nil)
	all := content(u.Size)
	signed, err := p.PresignParts(t.Context(), u, u.FirstParts(2), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	last := all[partSize:]
	for _, tc := range []struct {
		name   string
		body   []byte
		change func(*http.Request)
	}{
		{"shorter", last[1:], nil},
		{"longer", append([]byte("x"), last...), nil},
		{"empty", nil, nil},
		{"another number", last, func(r *http.Request) {
			r.URL.RawQuery = strings.Replace(r.URL.RawQuery, "partNumber=2", "partNumber=1", 1)
		}},
		{"another key", last, func(r *http.Request) { r.URL.Path += "x" }},
	} {
		storage.refuses(t, tc.name, signed[1], tc.body, tc.change)
	}
	if stored, err := m.AllParts(t.Context(), u); err != nil || len(stored) != 0 {
		t.Errorf("after refusals storage has %v, %v", stored, err)
	}
	for i, s := range signed {
		for range 2 { // a part may be sent again
			if status, answer, _ := send(t, s, bytesOf(u, u.Part(i+1), all), nil); status != http.StatusOK {
				t.Fatalf("part %d: %d %s", i+1, status, answer)
			}
		}
	}
	stored, err := m.AllParts(t.Context(), u)
	if err != nil || u.CheckStored(stored) != nil {
		t.Fatalf("storage has %v, %v", stored, err)
	}
	if err := m.CompleteMultipart(t.Context(), u, stored); err != nil {
		t.Fatal(err)
	}
	if status, answer, _ := send(t, signed[1], last, nil); status != http.StatusNotFound {
		t.Errorf("a part after completion: %d %s, want 404", status, answer)
	}
}

// refuses sends a request that must be refused.
func (e *engine) refuses(t *testing.T, name string, signed s3store.Signed, body []byte, change func(*http.Request)) {
	t.Helper()
	if status, answer, _ := send(t, signed, body, change); status < 400 || status >= 500 {
		t.Errorf("%s: got %d %s, want a refusal", name, status, answer)
	}
}

func TestPartsNeedASessionThatLasts(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	creds := aws.Credentials{AccessKeyID: "ASIA", SecretAccessKey: "s", CanExpire: true, Expires: now.Add(11 * time.Minute)}
	p := presigner(t, newClient("", creds), testBucket, creds, func() time.Time { return now })
	u := upload.Upload{S3Key: "k", S3UploadID: "u", Size: limits.GiB, PartSize: limits.PartBytes}
	signed, err := p.PresignParts(t.Context(), u, u.FirstParts(3), time.Hour)
	if err != nil || len(signed) != 3 || !signed[2].ExpiresAt.Equal(now.Add(10*time.Minute)) {
		t.Errorf("signed %v, %v", signed, err)
	}
	if _, err := p.PresignParts(t.Context(), u, u.FirstParts(3), 0); !fault.Is(err, fault.Unavailable) {
		t.Errorf("no life at all: %v", err)
	}
	none, err := p.PresignParts(t.Context(), u, nil, time.Hour)
	if err != nil || len(none) != 0 {
		t.Errorf("no parts: %v, %v", none, err)
	}
}

// TestSigningPartsIsFast holds signing against the SDK's presign client, in one run. The
// figure to reach is a quarter, on processors that have nothing else to do: see
// BenchmarkPresignParts. Where tests run side by side the processors are taken, and the bound
// is wider.
func TestSigningPartsIsFast(t *testing.T) {
	ours, sdk := signers(t)
	const rounds, figure, bound = 40, 0.25, 0.4
	mine, theirs, ratio := time.Hour, time.Hour, 1.0
	for n := 0; n < rounds && (n < 5 || ratio > figure); n++ {
		mine, theirs = min(mine, elapsed(ours)), min(theirs, elapsed(sdk))
		ratio = float64(mine) / float64(theirs)
	}
	t.Logf("1,000 parts: %s, the SDK %s: %.3f", mine, theirs, ratio)
	if ratio > bound {
		t.Errorf("signing takes %.3f of what the SDK takes, want at most %.2f", ratio, bound)
	}
}

func elapsed(sign func()) time.Duration {
	began := time.Now()
	sign()
	return time.Since(began)
}

// signers sign a thousand parts, with PresignParts and with the SDK's presign client.
func signers(tb testing.TB) (ours, sdk func()) {
	tb.Helper()
	creds := aws.Credentials{
		AccessKeyID: "ASIA", SecretAccessKey: "s", SessionToken: strings.Repeat("t", 800),
		CanExpire: true, Expires: time.Now().Add(time.Hour),
	}
	client := newClient("", creds)
	u := upload.Upload{
		S3Key: fmt.Sprintf("c/alpha/%026d/%026d", 1, 2), S3UploadID: strings.Repeat("u", 128),
		Size: 1000 * limits.PartBytes, PartSize: limits.PartBytes,
	}
	parts := u.FirstParts(1000)
	p := presigner(tb, client, testBucket, creds, time.Now)
	theirs := s3.NewPresignClient(client)
	ours = func() {
		if _, err := p.PresignParts(tb.Context(), u, parts, 30*time.Minute); err != nil {
			tb.Fatal(err)
		}
	}
	sdk = func() {
		for _, part := range parts {
			if _, err := theirs.PresignUploadPart(tb.Context(), &s3.UploadPartInput{
				Bucket: aws.String(testBucket), Key: &u.S3Key, UploadId: &u.S3UploadID,
				PartNumber: aws.Int32(int32(part.Number)), ContentLength: &part.Size,
			}, s3.WithPresignExpires(30*time.Minute)); err != nil {
				tb.Fatal(err)
			}
		}
	}
	return ours, sdk
}

// BenchmarkPresignParts signs a thousand parts both ways in turn, and reports the best time
// of each and their ratio. Nine tenths of the time of ours are within the SDK's signer, which
// parses, sorts and escapes the nine parameters of each URL, a long session token among them,
// so one processor alone reaches 0.23 to 0.29; it is the second one that makes it less.
func BenchmarkPresignParts(b *testing.B) {
	ours, sdk := signers(b)
	mine, theirs := time.Hour, time.Hour
	for b.Loop() {
		mine, theirs = min(mine, elapsed(ours)), min(theirs, elapsed(sdk))
	}
	b.ReportMetric(float64(mine.Microseconds()), "us/1000-parts")
	b.ReportMetric(float64(theirs.Microseconds()), "us/1000-parts-sdk")
	b.ReportMetric(float64(mine)/float64(theirs), "ratio")
}
