package s3store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/s3store"
)

// sealBench is a bucket with a sealer, and a client that writes what signed URLs allow.
type sealBench struct {
	*s3store.Sealer
	client *s3.Client
	t      *testing.T
}

func newSealBench(t *testing.T) *sealBench {
	t.Helper()
	client := startEngine(t).client(t)
	return &sealBench{s3store.NewSealer(client, testBucket), client, t}
}

// put writes as a signed PUT does, and returns the status.
func (b *sealBench) put(key string, body []byte) int {
	sum := sha256.Sum256(body)
	_, err := b.client.PutObject(b.t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(testBucket), Key: &key, Body: bytes.NewReader(body), IfNoneMatch: aws.String("*"),
		ChecksumSHA256: aws.String(base64.StdEncoding.EncodeToString(sum[:])),
	})
	var resp *smithyhttp.ResponseError
	switch {
	case err == nil:
		return http.StatusOK
	case errors.As(err, &resp):
		return resp.HTTPStatusCode()
	default:
		b.t.Error(err)
		return 0
	}
}

func (b *sealBench) held(key string) []object.Stored {
	b.t.Helper()
	held, err := b.Held(b.t.Context(), key)
	if err != nil {
		b.t.Fatal(err)
	}
	return held
}

// wantSealed checks that a key holds its seal and nothing else.
func (b *sealBench) wantSealed(key string) {
	b.t.Helper()
	if held := b.held(key); len(held) != 1 || !held[0].Seal() {
		b.t.Errorf("%s holds %+v, want one seal", key, held)
	}
	if status := b.put(key, []byte("late")); status != http.StatusPreconditionFailed {
		b.t.Errorf("a late PUT of %s got %d", key, status)
	}
}

func TestSeal(t *testing.T) {
	b := newSealBench(t)
	plain := func(key string, body string) {
		if _, err := b.client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(testBucket), Key: &key, Body: bytes.NewReader([]byte(body))}); err != nil {
			t.Fatal(err)
		}
	}
	mark := func(key string) {
		if _, err := b.client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(testBucket), Key: &key}); err != nil {
			t.Fatal(err)
		}
	}
	for name, before := range map[string]func(key string){
		"nothing":                      func(string) {},
		"bytes":                        func(key string) { plain(key, "bytes") },
		"an empty object":              func(key string) { plain(key, "") },
		"several versions":             func(key string) { plain(key, "a"); plain(key, "b"); plain(key, "c") },
		"bytes below an empty one":     func(key string) { plain(key, "a"); plain(key, "") },
		"an empty one below bytes":     func(key string) { plain(key, ""); plain(key, "a") },
		"bytes below a delete marker":  func(key string) { plain(key, "a"); mark(key) },
		"a seal below a delete marker": func(key string) { plain(key, ""); mark(key) },
		"a seal":                       func(key string) { _ = b.Seal(t.Context(), key) },
	} {
		t.Run(name, func(t *testing.T) {
			key := "c/ws/" + name
			before(key)
			for range 2 {
				if err := b.Seal(t.Context(), key); err != nil {
					t.Fatal(err)
				}
			}
			if name == "bytes below an empty one" {
				// The key is closed at once; what lies below is left to the sweep over all bytes.
				return
			}
			b.wantSealed(key)
		})
	}
}

func TestDeleteVersionTwice(t *testing.T) {
	b := newSealBench(t)
	if status := b.put("c/ws/k", []byte("x")); status != http.StatusOK {
		t.Fatalf("put: %d", status)
	}
	at := b.held("c/ws/k")[0].Location
	for range 2 {
		if err := b.DeleteVersion(t.Context(), at); err != nil {
			t.Error(err)
		}
	}
	if held := b.held("c/ws/k"); len(held) != 0 {
		t.Errorf("still there: %+v", held)
	}
}

// TestSealAgainstWriters races signed PUTs, replayed as fast as they go, with several
// sealers: once the first Seal has returned, nothing is stored any more.
func TestSealAgainstWriters(t *testing.T) {
	b := newSealBench(t)
	for round := range 15 {
		key := fmt.Sprintf("c/ws/race-%d", round)
		sealed := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		var writers, sealers sync.WaitGroup
		for range 4 {
			writers.Go(func() {
				for ctx.Err() == nil {
					after := false
					select {
					case <-sealed:
						after = true
					default:
					}
					if status := b.put(key, []byte("replayed")); status == http.StatusOK && after {
						t.Errorf("%s took bytes after it was sealed", key)
					}
				}
			})
		}
		var once sync.Once
		for range 3 {
			sealers.Go(func() {
				// Giving up is allowed while writers are faster; holding is not.
				for {
					err := b.Seal(t.Context(), key)
					if err == nil {
						once.Do(func() { close(sealed) })
						return
					}
					if !fault.Is(err, fault.Unavailable) {
						t.Error(err)
						return
					}
				}
			})
		}
		sealers.Wait()
		time.Sleep(2 * time.Millisecond)
		cancel()
		writers.Wait()
		b.wantSealed(key)
	}
}

// TestSlowPutThatEndsAfterTheSeal begins a signed PUT before the key is sealed, and ends it
// after.
func TestSlowPutThatEndsAfterTheSeal(t *testing.T) {
	e := startEngine(t)
	b := &sealBench{s3store.NewSealer(e.client(t), testBucket), e.client(t), t}
	presigner, err := s3store.NewPresigner(s3store.PresignerConfig{
		Bucket: testBucket, Client: b.client, Now: time.Now,
		Credentials: credentials.StaticCredentialsProvider{Value: e.session(t, time.Hour)},
	})
	if err != nil {
		t.Fatal(err)
	}
	body := bytes.Repeat([]byte("slow"), 256<<10)
	sum := sha256.Sum256(body)
	put, err := presigner.PresignPut(t.Context(), s3store.PutRequest{
		Key: "c/ws/slow", Size: int64(len(body)), ContentType: "text/plain",
		SHA256: base64.StdEncoding.EncodeToString(sum[:]), Expires: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	reached, goOn := make(chan struct{}), make(chan struct{})
	half := &slowReader{Reader: bytes.NewReader(body), stopAt: len(body) / 2, reached: reached, goOn: goOn}
	req, err := http.NewRequestWithContext(t.Context(), put.Method, put.URL, half)
	if err != nil {
		t.Fatal(err)
	}
	req.ContentLength = int64(len(body))
	for name, value := range put.Headers {
		req.Header.Set(name, value)
	}
	status := make(chan int)
	go func() {
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Error(err)
			status <- 0
			return
		}
		resp.Body.Close()
		status <- resp.StatusCode
	}()
	<-reached
	time.Sleep(50 * time.Millisecond) // the first half is on its way
	if err := b.Seal(t.Context(), "c/ws/slow"); err != nil {
		t.Fatal(err)
	}
	close(goOn)
	if got := <-status; got != http.StatusPreconditionFailed {
		t.Errorf("the slow PUT got %d", got)
	}
	b.wantSealed("c/ws/slow")
}

// slowReader stops half-way until it may go on.
type slowReader struct {
	io.Reader
	stopAt, sent  int
	reached, goOn chan struct{}
}

func (r *slowReader) Read(p []byte) (int, error) {
	if r.sent >= r.stopAt {
		if r.reached != nil {
			close(r.reached)
			r.reached = nil
		}
		<-r.goOn
	}
	n, err := r.Reader.Read(p[:min(len(p), 32<<10)])
	r.sent += n
	return n, err
}
