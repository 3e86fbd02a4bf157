package s3_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/aws/smithy-go"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
)

const (
	region    = "us-east-1"
	bucket    = "content"
	flat      = "flat" // has no versions
	developer = "arn:aws:iam::000000000000:user/developer"
	roleARN   = "arn:aws:iam::000000000000:role/ingest"
)

// TestMain makes the test binary the engine's process, as the runtime's main does.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3.Command {
		os.Exit(s3.Main(os.Args, os.Stdin))
	}
	os.Exit(m.Run())
}

// engine is a running engine and what it told.
type engine struct {
	*s3.Engine
	issuer *identity.Issuer

	mu     sync.Mutex
	events []s3.Event
	refuse error // what OnEvent answers
}

func masterKey() []byte { return bytes.Repeat([]byte{7}, identity.MasterKeySize) }

func start(t *testing.T, dir string) *engine {
	t.Helper()
	issuer, err := identity.New(identity.Config{MasterKey: masterKey()})
	if err != nil {
		t.Fatalf("issuer: %v", err)
	}
	e := &engine{issuer: issuer}
	return e.start(t, dir)
}

func (e *engine) start(t *testing.T, dir string) *engine {
	t.Helper()
	var err error
	e.Engine, err = s3.Start(t.Context(), s3.Config{
		Dir: dir, Region: region, MasterKey: masterKey(), Users: []string{developer},
		Buckets: []s3.Bucket{
			{Name: bucket, Versioned: true, CORS: []s3.CORSRule{{
				AllowedOrigins: []string{"https://app.example.com"},
				AllowedMethods: []string{http.MethodPut, http.MethodGet},
				AllowedHeaders: []string{"content-type", "if-none-match", "x-amz-checksum-*"},
				ExposedHeaders: []string{"ETag", "x-amz-version-id"},
				MaxAge:         10 * time.Minute,
			}}},
			{Name: flat},
		},
		OnEvent: e.onEvent,
		Stderr:  testLog{t},
	})
	if err != nil {
		t.Fatalf("start: %v", err)
	}
	t.Cleanup(func() { _ = e.Close() })
	return e
}

// testLog shows what the engine's process says.
type testLog struct{ t *testing.T }

func (l testLog) Write(p []byte) (int, error) {
	if l.t.Context().Err() == nil {
		l.t.Logf("engine: %s", bytes.TrimSpace(p))
	}
	return len(p), nil
}

func (e *engine) onEvent(_ context.Context, ev s3.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.refuse != nil {
		return e.refuse
	}
	e.events = append(e.events, ev)
	return nil
}

func (e *engine) setRefuse(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.refuse = err
}

// take returns the events told so far and forgets them.
func (e *engine) take() []s3.Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	events := e.events
	e.events = nil
	return events
}

// client calls the engine as the developer.
func (e *engine) client() *awss3.Client {
	c := e.issuer.IssueUser(developer)
	return e.clientOf(c.AccessKeyID, c.SecretAccessKey, "")
}

func (e *engine) clientOf(key, secret, token string) *awss3.Client {
	return awss3.New(awss3.Options{
		BaseEndpoint: aws.String(e.Endpoint()), Region: region, UsePathStyle: true,
		Credentials:                credentials.NewStaticCredentialsProvider(key, secret, token),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		Retryer:                    aws.NopRetryer{},
	})
}

func (e *engine) put(t *testing.T, key, body string) *awss3.PutObjectOutput {
	t.Helper()
	out, err := e.client().PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: strings.NewReader(body)})
	if err != nil {
		t.Fatalf("put %s: %v", key, err)
	}
	return out
}

// code is the error code of a failed call.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return fmt.Sprint(err)
}

func TestEventsOfEveryChange(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	ctx, c := t.Context(), e.client()

	put := e.put(t, "a/b c+ü", "hello")
	want := s3.Event{Name: s3.CreatedPut, Bucket: bucket, Key: "a/b c+ü", VersionID: aws.ToString(put.VersionId), Size: 5, ETag: "5d41402abc4b2a76b9719d911017c592"}
	expect(t, e, want)

	copied, err := c.CopyObject(ctx, &awss3.CopyObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy"), CopySource: aws.String(bucket + "/a/b%20c%2B%C3%BC")})
	if err != nil {
		t.Fatalf("copy: %v", err)
	}
	expect(t, e, s3.Event{Name: s3.CreatedCopy, Bucket: bucket, Key: "copy", VersionID: aws.ToString(copied.VersionId), Size: 5, ETag: "5d41402abc4b2a76b9719d911017c592"})

	if _, err := c.PutObjectTagging(ctx, &awss3.PutObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("copy"), VersionId: copied.VersionId, Tagging: &types.Tagging{TagSet: []types.Tag{{Key: aws.String("stowage"), Value: aws.String("available")}}}}); err != nil {
		t.Fatalf("tag: %v", err)
	}
	expect(t, e, s3.Event{Name: s3.TaggingPut, Bucket: bucket, Key: "copy", VersionID: aws.ToString(copied.VersionId)})

	if _, err := c.DeleteObjectTagging(ctx, &awss3.DeleteObjectTaggingInput{Bucket: aws.String(bucket), Key: aws.String("copy")}); err != nil {
		t.Fatalf("untag: %v", err)
	}
	expect(t, e, s3.Event{Name: s3.TaggingDelete, Bucket: bucket, Key: "copy"})

	marker, err := c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy")})
	if err != nil || !aws.ToBool(marker.DeleteMarker) {
		t.Fatalf("delete: %v, %+v", err, marker)
	}
	expect(t, e, s3.Event{Name: s3.MarkerCreated, Bucket: bucket, Key: "copy", VersionID: aws.ToString(marker.VersionId)})

	if _, err := c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("copy"), VersionId: copied.VersionId}); err != nil {
		t.Fatalf("delete the version: %v", err)
	}
	expect(t, e, s3.Event{Name: s3.Removed, Bucket: bucket, Key: "copy", VersionID: aws.ToString(copied.VersionId)})

	two := e.put(t, "two", "2")
	e.take()
	many, err := c.DeleteObjects(ctx, &awss3.DeleteObjectsInput{Bucket: aws.String(bucket), Delete: &types.Delete{Objects: []types.ObjectIdentifier{
		{Key: aws.String("two"), VersionId: two.VersionId}, {Key: aws.String("a/b c+ü")},
	}}})
	if err != nil || len(many.Deleted) != 2 {
		t.Fatalf("delete many: %v, %+v", err, many)
	}
	expect(t, e,
		s3.Event{Name: s3.Removed, Bucket: bucket, Key: "two", VersionID: aws.ToString(two.VersionId)},
		s3.Event{Name: s3.MarkerCreated, Bucket: bucket, Key: "a/b c+ü", VersionID: aws.ToString(many.Deleted[1].DeleteMarkerVersionId)})

	// What changes nothing, or fails, is not told.
	if _, err := c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("never")}); err != nil {
		t.Fatalf("delete what never was: %v", err)
	}
	if _, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String("nowhere"), Key: aws.String("x")}); code(err) != "NoSuchBucket" {
		t.Errorf("put into no bucket: got %v", err)
	}
	expect(t, e)

	// Without versions.
	if _, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(flat), Key: aws.String("x"), Body: strings.NewReader("")}); err != nil {
		t.Fatalf("put without versions: %v", err)
	}
	if _, err := c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(flat), Key: aws.String("x")}); err != nil {
		t.Fatalf("delete without versions: %v", err)
	}
	expect(t, e,
		s3.Event{Name: s3.CreatedPut, Bucket: flat, Key: "x", ETag: "d41d8cd98f00b204e9800998ecf8427e"},
		s3.Event{Name: s3.Removed, Bucket: flat, Key: "x"})
}

// expect compares what was told since the last time, and checks what every event carries.
func expect(t *testing.T, e *engine, want ...s3.Event) {
	t.Helper()
	got := e.take()
	last := ""
	for i := range got {
		g := &got[i]
		if len(g.Sequencer) < 16 || g.Sequencer <= last {
			t.Errorf("sequencer %q after %q", g.Sequencer, last)
		}
		last = g.Sequencer
		if g.Caller.Principal != developer || g.Caller.AccessKeyID == "" || g.Caller.SourceIP != "127.0.0.1" || g.Caller.RequestID == "" || time.Since(g.Time) > time.Minute {
			t.Errorf("event of %+v at %v", g.Caller, g.Time)
		}
		g.Sequencer, g.Caller, g.Time = "", s3.Caller{}, time.Time{}
	}
	if !slices.Equal(got, want) {
		t.Errorf("told\n%+v\nwant\n%+v", got, want)
	}
}

func TestMultipart(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	ctx, c := t.Context(), e.client()
	key := aws.String("big")
	up, err := c.CreateMultipartUpload(ctx, &awss3.CreateMultipartUploadInput{Bucket: aws.String(bucket), Key: key,
		ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme, ChecksumType: types.ChecksumTypeFullObject})
	if err != nil {
		t.Fatalf("create: %v", err)
	}
	var parts []types.CompletedPart
	for n := int32(1); n <= 2; n++ {
		body := bytes.Repeat([]byte{byte(n)}, 5<<20)
		p, err := c.UploadPart(ctx, &awss3.UploadPartInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId, PartNumber: &n, Body: bytes.NewReader(body), ChecksumAlgorithm: types.ChecksumAlgorithmCrc64nvme})
		if err != nil {
			t.Fatalf("part %d: %v", n, err)
		}
		parts = append(parts, types.CompletedPart{PartNumber: aws.Int32(n), ETag: p.ETag, ChecksumCRC64NVME: p.ChecksumCRC64NVME})
	}
	expect(t, e) // parts are no objects
	done, err := c.CompleteMultipartUpload(ctx, &awss3.CompleteMultipartUploadInput{Bucket: aws.String(bucket), Key: key, UploadId: up.UploadId,
		IfNoneMatch: aws.String("*"), MultipartUpload: &types.CompletedMultipartUpload{Parts: parts}})
	if err != nil {
		t.Fatalf("complete: %v", err)
	}
	expect(t, e, s3.Event{Name: s3.CreatedMultipart, Bucket: bucket, Key: "big", VersionID: aws.ToString(done.VersionId), Size: 10 << 20, ETag: strings.Trim(aws.ToString(done.ETag), `"`)})
	head, err := c.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: key, VersionId: done.VersionId, ChecksumMode: types.ChecksumModeEnabled})
	if err != nil || head.ChecksumType != types.ChecksumTypeFullObject || aws.ToString(head.ChecksumCRC64NVME) != aws.ToString(done.ChecksumCRC64NVME) || aws.ToInt64(head.ContentLength) != 10<<20 {
		t.Errorf("head: %v, %+v", err, head)
	}
}

// TestVersionsShareNothing: a new version has neither tags nor metadata of the one before it, whether
// that one was replaced, marked as deleted, or erased.
func TestVersionsShareNothing(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	ctx, c := t.Context(), e.client()
	for name, between := range map[string]func(key, version *string) error{
		"replaced": func(_, _ *string) error { return nil },
		"marked": func(key, _ *string) error {
			_, err := c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: key})
			return err
		},
		"erased": func(key, version *string) error {
			_, err := c.DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: key, VersionId: version})
			return err
		},
	} {
		key := aws.String(name)
		first, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: key, Body: strings.NewReader("1"),
			Tagging: aws.String("stowage=available"), Metadata: map[string]string{"secret": "1"}, ContentDisposition: aws.String("attachment")})
		if err != nil {
			t.Fatalf("%s: put: %v", name, err)
		}
		if err := between(key, first.VersionId); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		ifNone := aws.String("*")
		if name == "replaced" {
			ifNone = nil
		}
		second, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: key, Body: strings.NewReader("2"), IfNoneMatch: ifNone})
		if err != nil {
			t.Errorf("%s: put again: %v", name, err)
			continue
		}
		tags, err := e.ObjectTags(ctx, bucket, *key, *second.VersionId)
		if err != nil || len(tags) > 0 {
			t.Errorf("%s: the new version has the tags %v (%v)", name, tags, err)
		}
		head, err := c.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: key})
		if err != nil || len(head.Metadata) > 0 || head.ContentDisposition != nil {
			t.Errorf("%s: the new version has metadata %v, %v (%v)", name, head.Metadata, head.ContentDisposition, err)
		}
		if name == "erased" {
			continue
		}
		old, err := c.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: key, VersionId: first.VersionId})
		if err != nil || old.Metadata["secret"] != "1" {
			t.Errorf("%s: the old version has metadata %+v (%v)", name, old, err)
		}
		if tags, err := e.ObjectTags(ctx, bucket, *key, *first.VersionId); err != nil || tags["stowage"] != "available" {
			t.Errorf("%s: the old version has the tags %v (%v)", name, tags, err)
		}
	}
}

// TestLongMetadata stores the most that S3 allows, which is more than an inode has room for.
func TestLongMetadata(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	ctx, c := t.Context(), e.client()
	var tags []string
	for i := range 10 {
		tags = append(tags, fmt.Sprintf("k%d%s=%s", i, strings.Repeat("k", 126), strings.Repeat("v", 256)))
	}
	meta := map[string]string{"m": strings.Repeat("x", 2000)}
	out, err := c.PutObject(ctx, &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("long"), Metadata: meta, Body: strings.NewReader("x"), Tagging: aws.String(strings.Join(tags, "&"))})
	if err != nil {
		t.Fatalf("put: %v", err)
	}
	e.put(t, "long", "replaced")
	got, err := e.ObjectTags(ctx, bucket, "long", *out.VersionId)
	if err != nil || len(got) != 10 || len(got["k3"+strings.Repeat("k", 126)]) != 256 {
		t.Errorf("tags of the version: %d, %v", len(got), err)
	}
	head, err := c.HeadObject(ctx, &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("long"), VersionId: out.VersionId})
	if err != nil || head.Metadata["m"] != meta["m"] {
		t.Errorf("metadata of the version: %v", err)
	}
}

func TestObjectTags(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	ctx := t.Context()
	e.put(t, "plain", "x")
	if tags, err := e.ObjectTags(ctx, bucket, "plain", ""); err != nil || len(tags) != 0 {
		t.Errorf("no tags: got %v, %v", tags, err)
	}
	for _, q := range [][3]string{{bucket, "none", ""}, {"nowhere", "x", ""}, {bucket, "plain", "01ARZ3NDEKTSV4RRFFQ69G5FAV"}, {bucket, "plain", "no version id"}} {
		if _, err := e.ObjectTags(ctx, q[0], q[1], q[2]); !errors.Is(err, s3.ErrNoObject) {
			t.Errorf("%v: got %v, want ErrNoObject", q, err)
		}
	}
	if _, err := e.client().DeleteObject(ctx, &awss3.DeleteObjectInput{Bucket: aws.String(bucket), Key: aws.String("plain")}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.ObjectTags(ctx, bucket, "plain", ""); !errors.Is(err, s3.ErrNoObject) {
		t.Errorf("delete marker: got %v, want ErrNoObject", err)
	}
}

// TestWriteOnce races writers for one key.
func TestWriteOnce(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	c := e.client()
	const writers = 50
	codes := make(chan string, writers)
	for i := range writers {
		go func() {
			_, err := c.PutObject(t.Context(), &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("once"), Body: strings.NewReader(fmt.Sprint(i)), IfNoneMatch: aws.String("*")})
			codes <- code(err)
		}()
	}
	count := map[string]int{}
	for range writers {
		count[<-codes]++
	}
	if count["<nil>"] != 1 || count["PreconditionFailed"] != writers-1 {
		t.Errorf("got %v, want one success and %d PreconditionFailed", count, writers-1)
	}
	if events := e.take(); len(events) != 1 {
		t.Errorf("told %d events, want 1", len(events))
	}
}

func TestCORS(t *testing.T) {
	t.Parallel()
	e := start(t, t.TempDir())
	for name, test := range map[string]struct {
		bucket, origin, method, headers string
		want                            int
	}{
		"allowed":        {bucket, "https://app.example.com", "PUT", "content-type,x-amz-checksum-sha256", 200},
		"another origin": {bucket, "https://evil.example.com", "PUT", "", 403},
		"another method": {bucket, "https://app.example.com", "DELETE", "", 403},
		"another header": {bucket, "https://app.example.com", "PUT", "authorization", 403},
		"no rules":       {flat, "https://app.example.com", "PUT", "", 403},
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodOptions, e.Endpoint()+"/"+test.bucket+"/key", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Origin", test.origin)
		r.Header.Set("Access-Control-Request-Method", test.method)
		if test.headers != "" {
			r.Header.Set("Access-Control-Request-Headers", test.headers)
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
		if resp.StatusCode != test.want {
			t.Errorf("%s: got %d, want %d", name, resp.StatusCode, test.want)
		}
		if test.want == http.StatusOK && (resp.Header.Get("Access-Control-Allow-Origin") != test.origin || resp.Header.Get("Access-Control-Max-Age") != "600") {
			t.Errorf("%s: got %v", name, resp.Header)
		}
	}
}
