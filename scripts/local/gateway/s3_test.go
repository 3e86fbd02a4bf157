package gateway_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
)

const bucket = "content"

// TestMain makes the test binary the S3 engine's process, as the runtime's main does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3.Command {
		os.Exit(s3.Main(os.Args, os.Stdin))
	}
	os.Exit(m.Run())
}

func startEngine(tb testing.TB) *s3.Engine {
	tb.Helper()
	e, err := s3.Start(tb.Context(), s3.Config{
		Dir: tb.TempDir(), Region: region, MasterKey: make([]byte, identity.MasterKeySize),
		Buckets: []s3.Bucket{{Name: bucket, Versioned: true, CORS: []s3.CORSRule{{AllowedOrigins: []string{"https://app.example.com"}, AllowedMethods: []string{"PUT"}, AllowedHeaders: []string{"*"}}}}},
		OnEvent: func(context.Context, s3.Event) error { return nil },
	})
	if err != nil {
		tb.Fatalf("start the engine: %v", err)
	}
	tb.Cleanup(func() { _ = e.Close() })
	return e
}

func withS3(t *testing.T, intercept ...gateway.Interceptor) (*fixture, *s3.Engine) {
	t.Helper()
	e := startEngine(t)
	f := newFixture(t, func(c *gateway.Config) {
		proxy, err := gateway.NewProxy(e.Endpoint())
		if err != nil {
			t.Fatal(err)
		}
		c.Services[gateway.S3] = proxy
		c.Intercept = intercept
	})
	return f, e
}

func (f *fixture) s3(c identity.Credentials) *awss3.Client {
	return awss3.New(awss3.Options{BaseEndpoint: aws.String(f.Endpoint()), Region: region, Credentials: provider(c), UsePathStyle: true, Retryer: aws.NopRetryer{},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported})
}

// TestS3ThroughTheGateway sends objects with every sort of key and of signature.
func TestS3ThroughTheGateway(t *testing.T) {
	t.Parallel()
	f, _ := withS3(t)
	c, ctx := f.s3(f.creds), t.Context()
	for _, key := range []string{"plain", "a b", "a+b", "ü/ñ", "50%", "q?x=1&y=2", "hash#", "semi;colon", "quote'\"", "(paren)*~!", "slash%2Fescaped", "c/ws/01ARZ3/01BX5Z", "dir/"} {
		body := []byte("body of " + key)
		if strings.HasSuffix(key, "/") {
			body = nil // the engine keeps such keys as directories
		}
		put, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader(body)})
		if err != nil {
			t.Errorf("put %q: %v", key, err)
			continue
		}
		if o := f.last(t); o.Name != "PutObject" || o.Object.Key != key || o.Caller == nil || o.Caller.Function != "upload-api" || o.status != http.StatusOK {
			t.Errorf("put %q: observed %s of %q, status %d", key, o.Name, o.Object.Key, o.status)
		}
		got, err := c.GetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: &key, VersionId: put.VersionId})
		if err != nil {
			t.Errorf("get %q: %v", key, err)
			continue
		}
		read, err := io.ReadAll(got.Body)
		if err != nil || !bytes.Equal(read, body) {
			t.Errorf("get %q: read %q, %v", key, read, err)
		}
		if put.VersionId != nil && f.last(t).Actions[0].Name != "s3:GetObjectVersion" {
			t.Errorf("get %q: needed %+v", key, f.last(t).Actions)
		}
		presigned, err := awss3.NewPresignClient(c).PresignGetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
		if err != nil {
			t.Fatal(err)
		}
		resp, err := http.Get(presigned.URL) //nolint:noctx // a test
		if err != nil {
			t.Errorf("get %q presigned: %v", key, err)
			continue
		}
		read, _ = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != http.StatusOK || !bytes.Equal(read, body) {
			t.Errorf("get %q presigned: %d %q", key, resp.StatusCode, read)
		}
		if o := f.last(t); o.Caller == nil || o.Caller.RoleARN != roleARN {
			t.Errorf("get %q presigned: by %+v", key, o.Caller)
		}
	}
}

// TestS3DeletesWhatTheBodyNames makes sure that a body which the gateway has read reaches the engine.
func TestS3DeletesWhatTheBodyNames(t *testing.T) {
	t.Parallel()
	f, e := withS3(t)
	c, ctx := f.s3(f.creds), t.Context()
	if _, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), Body: strings.NewReader("x")}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.PutObjectTagging(ctx, &awss3.PutObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("k"), Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("a"), Value: aws.String("b")}}}}); err != nil {
		t.Fatalf("tag: %v", err)
	}
	if tags, err := e.ObjectTags(ctx, bucket, "k", ""); err != nil || tags["a"] != "b" {
		t.Errorf("tags %v, %v", tags, err)
	}
	if !bytes.Contains(f.last(t).Body, []byte("<Key>a</Key>")) {
		t.Error("interceptors cannot see the tags of a request")
	}
	out, err := c.DeleteObjects(ctx, &awss3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: aws.String("k")}}}})
	if err != nil || len(out.Deleted) != 1 {
		t.Errorf("delete: %+v, %v", out, err)
	}
	if a := f.last(t).Actions; len(a) != 1 || a[0].Resource != "arn:aws:s3:::content/k" {
		t.Errorf("needed %+v", a)
	}
}

// TestS3RefusesKeysItWouldMistake: the engine takes "a//b" for "a/b".
func TestS3RefusesKeysItWouldMistake(t *testing.T) {
	t.Parallel()
	f, _ := withS3(t)
	c, ctx := f.s3(f.creds), t.Context()
	for _, key := range []string{"a//b", "/a", "a/./b", "a/../b", "..", "a//", "./a"} {
		_, err := c.GetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: &key})
		if code(err) != "InvalidURI" {
			t.Errorf("get %q: got %v", key, err)
		}
		_, err = c.CopyObject(ctx, &awss3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("to"), CopySource: aws.String(bucket + "/" + key)})
		if code(err) != "InvalidURI" {
			t.Errorf("copy %q: got %v", key, err)
		}
		_, err = c.DeleteObjects(ctx, &awss3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: []types.ObjectIdentifier{{Key: &key}}}})
		if code(err) != "InvalidURI" {
			t.Errorf("delete %q: got %v", key, err)
		}
	}
}

func TestS3Refusals(t *testing.T) {
	t.Parallel()
	var denial *gateway.Denial
	f, _ := withS3(t, func(context.Context, *gateway.Call) *gateway.Denial { return denial })
	ctx := t.Context()
	put := func(c identity.Credentials) error {
		_, err := f.s3(c).PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("k"), Body: strings.NewReader("x")})
		return err
	}
	wrong := f.creds
	wrong.SecretAccessKey += "x"
	if err := put(wrong); code(err) != "SignatureDoesNotMatch" {
		t.Errorf("wrong secret: got %v", err)
	}
	if o := f.last(t); o.Caller == nil {
		t.Error("whom a call claims to be from is not seen")
	}
	wrong = f.creds
	wrong.SessionToken = ""
	if err := put(wrong); code(err) != "InvalidToken" || f.last(t).Caller != nil {
		t.Errorf("no token: got %v", err)
	}
	denial = &gateway.Denial{Message: "User: u is not authorized to perform: s3:PutObject"}
	err := put(f.creds)
	if code(err) != "AccessDenied" || !strings.Contains(err.Error(), denial.Message) {
		t.Errorf("denied: got %v", err)
	}
	if _, err := f.s3(f.creds).HeadObject(ctx, &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("k")}); !strings.Contains(err.Error(), "StatusCode: 403") {
		t.Errorf("HEAD denied: got %v", err)
	}
}

func TestS3Preflight(t *testing.T) {
	t.Parallel()
	f, _ := withS3(t)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, f.Endpoint()+"/"+bucket+"/key", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Origin", "https://app.example.com")
	r.Header.Set("Access-Control-Request-Method", "PUT")
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Access-Control-Allow-Origin") != "https://app.example.com" {
		t.Errorf("got %d, %v", resp.StatusCode, resp.Header)
	}
	if o := f.last(t); o.Name != "Preflight" || o.Caller != nil || len(o.Actions) != 0 {
		t.Errorf("observed %+v", o)
	}
}

// TestS3Expect100 refuses a large upload before its body is sent.
func TestS3Expect100(t *testing.T) {
	t.Parallel()
	f, _ := withS3(t, func(context.Context, *gateway.Call) *gateway.Denial { return &gateway.Denial{} })
	read := &counting{Reader: rand.Reader}
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, f.Endpoint()+"/"+bucket+"/key", io.LimitReader(read, 64<<20))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = 64 << 20
	r.Header.Set("Expect", "100-continue")
	resp, err := (&http.Client{Transport: &http.Transport{ExpectContinueTimeout: 10 * time.Second}}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	_ = resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden || read.n > 0 {
		t.Errorf("got %d after %d bytes", resp.StatusCode, read.n)
	}
}

type counting struct {
	io.Reader
	n int
}

func (c *counting) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += n
	return n, err
}

// TestQuarantineAsAnInterceptor is how a policy with s3:ExistingObjectTag is enforced: the interceptor
// has the action, the caller, and the tags of the very version that is asked for.
func TestQuarantineAsAnInterceptor(t *testing.T) {
	t.Parallel()
	var engine *s3.Engine
	f, e := withS3(t, func(ctx context.Context, c *gateway.Call) *gateway.Denial {
		for _, a := range c.Actions {
			if a.Name != "s3:GetObject" && a.Name != "s3:GetObjectVersion" {
				continue
			}
			tags, err := engine.ObjectTags(ctx, a.Object.Bucket, a.Object.Key, a.Object.VersionID)
			if err != nil && !errors.Is(err, s3.ErrNoObject) {
				t.Errorf("tags: %v", err)
			}
			if tags["stowage"] != "available" && c.Caller.SessionTags["stowage-quarantine"] != "reader" {
				return &gateway.Denial{Message: "with an explicit deny in a resource-based policy"}
			}
		}
		return nil
	})
	engine = e
	ctx := t.Context()
	reader, _, err := f.issuer.IssueSession(identity.Session{RoleARN: roleARN, Name: "ingest", Duration: time.Hour, Tags: map[string]string{"stowage-quarantine": "reader"}})
	if err != nil {
		t.Fatal(err)
	}
	key := aws.String("k")
	put, err := f.s3(f.creds).PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: key, Body: strings.NewReader("x")})
	if err != nil {
		t.Fatal(err)
	}
	get := func(c identity.Credentials, version *string) string {
		_, err := f.s3(c).GetObject(ctx, &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: key, VersionId: version})
		return code(err)
	}
	if got := get(f.creds, put.VersionId); got != "AccessDenied" {
		t.Errorf("in quarantine: got %s", got)
	}
	if got := get(reader, put.VersionId); got != "<nil>" {
		t.Errorf("in quarantine, to a reader: got %s", got)
	}
	if _, err := f.s3(reader).PutObjectTagging(ctx, &awss3.PutObjectTaggingInput{Bucket: aws.String(bucket), Key: key, VersionId: put.VersionId, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("stowage"), Value: aws.String("available")}}}}); err != nil {
		t.Fatal(err)
	}
	if got := get(f.creds, put.VersionId); got != "<nil>" {
		t.Errorf("released: got %s", got)
	}
	if _, err := f.s3(f.creds).PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: key, Body: strings.NewReader("y")}); err != nil {
		t.Fatal(err)
	}
	if got := get(f.creds, nil); got != "AccessDenied" {
		t.Errorf("the next version: got %s", got)
	}
	if got := get(f.creds, put.VersionId); got != "<nil>" {
		t.Errorf("the version before it: got %s", got)
	}
}

// TestForgedAgreesWithTheEngine: what the engine takes for signed is not forged, whatever its key and
// however it is signed; what is changed is.
func TestForgedAgreesWithTheEngine(t *testing.T) {
	t.Parallel()
	forged := make(chan *gateway.Denial, 1)
	f, _ := withS3(t, func(_ context.Context, c *gateway.Call) *gateway.Denial {
		forged <- c.Forged()
		return nil
	})
	c, presign := f.s3(f.creds), awss3.NewPresignClient(f.s3(f.creds))
	for _, key := range []string{"plain", "a b+c", "ä/ö ü", "100%", "q?x=1&y", "~.-_'()*!", "a=b;c,d@e:f$g"} {
		_, err := c.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader("x"), Metadata: map[string]string{"m": "  two   spaces "}})
		if d := <-forged; err != nil || d != nil {
			t.Errorf("put %q: %v, %+v", key, err, d)
		}
		get, err := presign.PresignGetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: &key, ResponseContentDisposition: aws.String(`attachment; filename="ä b.txt"`)})
		if err != nil {
			t.Fatal(err)
		}
		for _, test := range []struct {
			method, url string
			status      int
			code        string
		}{
			{http.MethodGet, get.URL, http.StatusOK, ""},
			{http.MethodDelete, get.URL, http.StatusForbidden, "SignatureDoesNotMatch"},
			{http.MethodGet, get.URL + "&versionId=other", http.StatusForbidden, "SignatureDoesNotMatch"},
			{http.MethodGet, strings.Replace(get.URL, "X-Amz-Expires=900", "X-Amz-Expires=901", 1), http.StatusForbidden, "SignatureDoesNotMatch"},
		} {
			resp, body, err := fetch(t, test.method, test.url, nil)
			if err != nil || resp.StatusCode != test.status {
				t.Fatalf("%s %s: %v %s, %v", test.method, test.url, resp, body, err)
			}
			if d := <-forged; (d == nil) != (test.code == "") || d != nil && d.Code != test.code {
				t.Errorf("%s %s: %+v, want %q", test.method, test.url, d, test.code)
			}
		}
	}
	late, err := presign.PresignGetObject(t.Context(), &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("plain")}, awss3.WithPresignExpires(time.Second))
	if err != nil {
		t.Fatal(err)
	}
	time.Sleep(2100 * time.Millisecond)
	if resp, _, err := fetch(t, http.MethodGet, late.URL, nil); err != nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("an expired URL: %v, %v", resp, err)
	}
	if d := <-forged; d == nil || d.Message != "Request has expired" {
		t.Errorf("an expired URL: %+v", d)
	}
}

// TestS3RefusedUploadHearsWhy refuses uploads whose client sends all of the body before it looks for an
// answer, as browsers do. It must learn the status, not that its connection broke.
func TestS3RefusedUploadHearsWhy(t *testing.T) {
	t.Parallel()
	f, _ := withS3(t, func(_ context.Context, c *gateway.Call) *gateway.Denial {
		if c.Object != nil && c.Object.Key == "denied" {
			return &gateway.Denial{}
		}
		return nil
	})
	const size = 16 << 20
	put := func(key string, pause time.Duration, want int) {
		t.Helper()
		signed, err := awss3.NewPresignClient(f.s3(f.creds)).PresignPutObject(t.Context(), &awss3.PutObjectInput{
			Bucket: aws.String(bucket), Key: &key, ContentLength: aws.Int64(size), IfNoneMatch: aws.String("*"),
		})
		if err != nil {
			t.Fatal(err)
		}
		body := &unhurried{Reader: io.LimitReader(rand.Reader, size), pause: pause}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, signed.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		r.Header, r.ContentLength = signed.SignedHeader, size
		status, err := sendWhole(r)
		if err != nil || status != want {
			t.Errorf("put %q: %d, %v, want %d", key, status, err, want)
		}
	}
	put("once", 0, http.StatusOK)
	for range 5 {
		put("once", 0, http.StatusPreconditionFailed)
	}
	for _, pause := range []time.Duration{0, 100 * time.Millisecond} { // 0 to 1.6 s in all
		put("once", pause, http.StatusPreconditionFailed)
		put("denied", pause, http.StatusForbidden)
	}
}

// sendWhole sends a request, all of it, and then reads the status of its answer.
func sendWhole(r *http.Request) (status int, err error) {
	conn, err := (&net.Dialer{}).DialContext(r.Context(), "tcp", r.URL.Host)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	if err := r.Write(conn); err != nil {
		return 0, err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

// unhurried pauses before each MiB.
type unhurried struct {
	io.Reader
	pause time.Duration
	n     int
}

func (u *unhurried) Read(p []byte) (int, error) {
	if u.n >= 1<<20 {
		u.n = 0
		time.Sleep(u.pause)
	}
	n, err := u.Reader.Read(p)
	u.n += n
	return n, err
}
