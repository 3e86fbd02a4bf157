package s3store_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"hash/crc64"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/s3store"
	"github.com/stowage-dev/stowage/shared/upload"
)

// multiparter is what the tests use of s3store.Multipart.
type multiparter = *s3store.Multipart

func multiparts(client *s3.Client) multiparter { return s3store.NewMultipart(client, testBucket) }

// crc64nvme is the checksum as S3 has it: CRC-64/NVME, big-endian, base64.
func crc64nvme(b []byte) string {
	sum := crc64.Checksum(b, crc64.MakeTable(0x9a6c9329ac4bc9b5))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}

// sent is a multipart upload whose parts are all in storage.
func (e *engine) sent(t *testing.T, m multiparter, key string, body []byte, edit func(*upload.Upload)) (upload.Upload, []upload.Part) {
	t.Helper()
	u := e.multipart(t, m, key, int64(len(body)), limits.S3MinPartBytes, edit)
	p := presigner(t, e.client(t), testBucket, e.session(t, time.Hour), time.Now)
	signed, err := p.PresignParts(t.Context(), u, u.FirstParts(limits.S3MaxParts), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range signed {
		if status, answer, _ := send(t, s, bytesOf(u, u.Part(i+1), body), nil); status != http.StatusOK {
			t.Fatalf("part %d: %d %s", i+1, status, answer)
		}
	}
	parts, err := m.AllParts(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	return u, parts
}

func TestCompleteMultipart(t *testing.T) {
	t.Parallel()
	storage := startEngine(t)
	m := multiparts(storage.client(t))
	body := content(limits.S3MinPartBytes + 1)
	for i, tc := range []struct {
		name   string
		edit   func(*upload.Upload)
		change func(u *upload.Upload, parts []upload.Part) []upload.Part
		code   fault.Code
	}{
		{name: "no checksum declared"},
		{name: "its checksum", edit: func(u *upload.Upload) { u.CRC64NVME = crc64nvme(body) }},
		{name: "its checksum, declared late", edit: func(u *upload.Upload) { u.Completion = &upload.Completion{CRC64NVME: crc64nvme(body)} }},
		{name: "another checksum", edit: func(u *upload.Upload) { u.CRC64NVME = crc64nvme(body[1:]) }, code: fault.ChecksumMismatch},
		{name: "another size", change: func(u *upload.Upload, parts []upload.Part) []upload.Part { u.Size++; return parts }, code: fault.SizeMismatch},
		{name: "a part left out", change: func(_ *upload.Upload, parts []upload.Part) []upload.Part { return parts[:1] }, code: fault.SizeMismatch},
		{name: "another ETag", change: func(_ *upload.Upload, parts []upload.Part) []upload.Part {
			parts[1].ETag = parts[0].ETag
			return parts
		}, code: fault.InvalidArgument},
		{name: "out of order", change: func(_ *upload.Upload, parts []upload.Part) []upload.Part {
			return []upload.Part{parts[1], parts[0]}
		}, code: fault.InvalidArgument},
		{name: "a part that is not there", change: func(_ *upload.Upload, parts []upload.Part) []upload.Part {
			parts[1].Number = 7
			return parts
		}, code: fault.InvalidArgument},
		{name: "no parts", change: func(*upload.Upload, []upload.Part) []upload.Part { return nil }, code: fault.InvalidArgument},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u, parts := storage.sent(t, m, fmt.Sprintf("c/alpha/%d", i), body, tc.edit)
			asked := u
			if tc.change != nil {
				parts = tc.change(&asked, parts)
			}
			err := m.CompleteMultipart(t.Context(), asked, parts)
			if fault.CodeOf(err) != tc.code {
				t.Fatalf("got %v, want code %q", err, tc.code)
			}
			stored, lookErr := m.Stored(t.Context(), u)
			if lookErr != nil || stored != (tc.code == "") {
				t.Errorf("stored: %t, %v", stored, lookErr)
			}
			if tc.code != "" { // nothing is lost by a refusal
				if left, err := m.AllParts(t.Context(), u); err != nil || u.CheckStored(left) != nil {
					t.Errorf("after the refusal storage has %v, %v", left, err)
				}
				return
			}
			storage.wantVerifiable(t, u, body)
		})
	}
}

// wantVerifiable checks that ingest can tell size and checksum of the whole object.
func (e *engine) wantVerifiable(t *testing.T, u upload.Upload, body []byte) {
	t.Helper()
	list, err := e.client(t).ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(testBucket), Prefix: &u.S3Key})
	if err != nil || len(list.Versions) != 1 {
		t.Fatalf("versions: %v, %v", list, err)
	}
	q := s3store.NewQuarantine(e.client(t), testBucket)
	facts, err := q.Inspect(t.Context(), object.Location{Key: u.S3Key, VersionID: aws.ToString(list.Versions[0].VersionId)})
	if err != nil {
		t.Fatal(err)
	}
	if facts.Size != u.Size || facts.CRC64NVME != crc64nvme(body) || facts.SHA256 != "" {
		t.Errorf("stored as %+v, want %d bytes with CRC %s", facts, u.Size, crc64nvme(body))
	}
}

// TestCompleteMultipartOnce: a second completion, and one of a key that is taken, say so and
// change nothing.
func TestCompleteMultipartOnce(t *testing.T) {
	t.Parallel()
	storage := startEngine(t)
	m := multiparts(storage.client(t))
	u, parts := storage.sent(t, m, "c/alpha/once", content(9), nil)
	other, otherParts := storage.sent(t, m, "c/alpha/once", content(8), nil)
	if err := m.CompleteMultipart(t.Context(), u, parts); err != nil {
		t.Fatal(err)
	}
	// S3 may answer a repetition as it did the first time, or know nothing of the upload.
	if err := m.CompleteMultipart(t.Context(), u, parts); err != nil && !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.PreconditionFailed) {
		t.Errorf("completed again: %v", err)
	}
	storage.wantVerifiable(t, u, content(9))
	if err := m.CompleteMultipart(t.Context(), other, otherParts); !fault.Is(err, fault.PreconditionFailed) {
		t.Errorf("completed over another: %v, want precondition_failed", err)
	}
	if _, err := m.AllParts(t.Context(), u); !fault.Is(err, fault.NotFound) {
		t.Errorf("parts of a completed upload: %v, want not_found", err)
	}
	if err := m.AbortMultipart(t.Context(), u); err != nil {
		t.Errorf("abort of a completed upload: %v", err)
	}
	if stored, err := m.Stored(t.Context(), u); err != nil || !stored {
		t.Errorf("stored: %t, %v", stored, err)
	}
}

func TestAbortMultipart(t *testing.T) {
	t.Parallel()
	storage := startEngine(t)
	m := multiparts(storage.client(t))
	u, parts := storage.sent(t, m, "c/alpha/aborted", content(9), nil)
	for range 2 {
		if err := m.AbortMultipart(t.Context(), u); err != nil {
			t.Fatal(err)
		}
	}
	if err := m.CompleteMultipart(t.Context(), u, parts); !fault.Is(err, fault.NotFound) {
		t.Errorf("completed after abort: %v, want not_found", err)
	}
	if stored, err := m.Stored(t.Context(), u); err != nil || stored {
		t.Errorf("stored: %t, %v", stored, err)
	}
}

// TestStoredLooksAtOneKey: neither seals, nor keys that begin like it, nor delete markers
// are bytes of an upload.
func TestStoredLooksAtOneKey(t *testing.T) {
	t.Parallel()
	storage := startEngine(t)
	client := storage.client(t)
	m := multiparts(client)
	put := func(key, body string) {
		t.Helper()
		if _, err := client.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(testBucket), Key: &key, Body: strings.NewReader(body)}); err != nil {
			t.Fatal(err)
		}
	}
	want := func(key string, want bool) {
		t.Helper()
		if got, err := m.Stored(t.Context(), upload.Upload{S3Key: key}); err != nil || got != want {
			t.Errorf("%s is stored: %t, %v", key, got, err)
		}
	}
	put("c/seal", "")
	put("c/longer-key", "x")
	put("c/there", "x")
	want("c/seal", false)
	want("c/longer", false)
	want("c/nothing", false)
	want("c/there", true)
	if _, err := client.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(testBucket), Key: aws.String("c/there")}); err != nil {
		t.Fatal(err)
	}
	want("c/there", true) // hidden by a marker, and its bytes are still paid for
}

func TestListPartsInPages(t *testing.T) {
	t.Parallel()
	storage := startEngine(t)
	m := multiparts(storage.client(t))
	u, all := storage.sent(t, m, "c/alpha/pages", content(3*limits.S3MinPartBytes+1), nil)
	var got []upload.Part
	pages := 0
	for after := 0; ; pages++ {
		parts, next, err := m.ListParts(t.Context(), u, after, 2)
		if err != nil || len(parts) > 2 {
			t.Fatalf("page %d: %v, %v", pages, parts, err)
		}
		got = append(got, parts...)
		if next == 0 {
			break
		}
		after = next
	}
	if len(got) != 4 || pages != 1 || upload.PartsDigest(got) != upload.PartsDigest(all) || u.CheckStored(got) != nil {
		t.Errorf("in %d pages: %v, want %v", pages+1, got, all)
	}
	u.S3UploadID = "nonsense"
	if _, _, err := m.ListParts(t.Context(), u, 0, 0); !fault.Is(err, fault.NotFound) {
		t.Errorf("parts of an unknown upload: %v", err)
	}
}

// TestErrorsOfCompletion gives answers that only S3 itself gives, among them the error that
// comes with status 200.
func TestErrorsOfCompletion(t *testing.T) {
	t.Parallel()
	const body = `<?xml version="1.0" encoding="UTF-8"?><Error><Code>%s</Code><Message>%s</Message></Error>`
	for _, tc := range []struct {
		status        int
		code, message string
		want          fault.Code
	}{
		{200, "InternalError", "We encountered an internal error. Please try again.", fault.Unavailable},
		{200, "SlowDown", "Reduce your request rate.", fault.Unavailable},
		{200, "InvalidPart", "One or more of the specified parts could not be found.", fault.InvalidArgument},
		{200, "BadDigest", "The CRC64NVME you specified did not match the calculated checksum.", fault.ChecksumMismatch},
		{200, "PreconditionFailed", "", fault.PreconditionFailed},
		{200, "NoSuchUpload", "", fault.NotFound},
		{400, "InvalidPartOrder", "", fault.InvalidArgument},
		{400, "EntityTooSmall", "", fault.InvalidArgument},
		{400, "EntityTooLarge", "", fault.SizeMismatch},
		{400, "InvalidRequest", "The provided 'x-amz-mp-object-size' header value '7' does not match what was computed: '8'.", fault.SizeMismatch},
		{400, "InvalidRequest", "Value for x-amz-checksum-crc64nvme header is invalid.", fault.ChecksumMismatch},
		{400, "InvalidRequest", "something else", fault.InvalidArgument},
		{404, "NoSuchUpload", "", fault.NotFound},
		{409, "ConditionalRequestConflict", "", fault.Unavailable},
		{412, "PreconditionFailed", "", fault.PreconditionFailed},
		{403, "AccessDenied", "", fault.Internal},
		{503, "SlowDown", "", fault.Unavailable},
		{500, "InternalError", "", fault.Unavailable},
	} {
		t.Run(fmt.Sprintf("%d %s", tc.status, tc.code), func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.WriteHeader(tc.status)
				fmt.Fprintf(w, body, tc.code, tc.message)
			}))
			defer server.Close()
			err := multiparts(impatient(server.URL)).CompleteMultipart(t.Context(), upload.Upload{S3Key: "k", S3UploadID: "u", Size: 7}, []upload.Part{{Number: 1, ETag: "e"}})
			if fault.CodeOf(err) != tc.want {
				t.Errorf("got %v (%s), want %s", err, fault.CodeOf(err), tc.want)
			}
		})
	}
}

// TestSlowCompletion: S3 sends the header of its answer at once and blanks while it works; a
// caller that cannot wait knows nothing, and says that it may have happened.
func TestSlowCompletion(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusOK)
		for r.Context().Err() == nil {
			fmt.Fprint(w, " ")
			_ = http.NewResponseController(w).Flush() // the client may be gone
			time.Sleep(5 * time.Millisecond)
		}
	}))
	defer server.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	err := multiparts(impatient(server.URL)).CompleteMultipart(ctx, upload.Upload{S3Key: "k", S3UploadID: "u", Size: 7}, []upload.Part{{Number: 1, ETag: "e"}})
	if !fault.Transient(err) {
		t.Errorf("got %v (%s), want a transient error", err, fault.CodeOf(err))
	}
}

// impatient is a client that asks once.
func impatient(endpoint string) *s3.Client {
	client := newClient(endpoint, aws.Credentials{AccessKeyID: "AKIA", SecretAccessKey: "s"})
	return s3.New(client.Options(), func(o *s3.Options) {
		o.Retryer = retry.AddWithMaxAttempts(retry.NewStandard(), 1)
	})
}

// sentHeaders notes the headers of requests on their way, by operation.
type sentHeaders struct {
	mu   sync.Mutex
	sent map[string]http.Header
}

func (h *sentHeaders) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	h.sent[r.Method+" "+strings.SplitN(r.URL.RawQuery, "=", 2)[0]] = r.Header.Clone()
	h.mu.Unlock()
	return http.DefaultTransport.RoundTrip(r)
}

// TestWhatStorageIsAskedFor looks at the wire: an engine that assumes what S3 must be told would not show
// that it was left out.
func TestWhatStorageIsAskedFor(t *testing.T) {
	t.Parallel()
	storage := startEngine(t)
	wire := &sentHeaders{sent: map[string]http.Header{}}
	client := s3.New(storage.client(t).Options(), func(o *s3.Options) { o.HTTPClient = &http.Client{Transport: wire} })
	m := multiparts(client)
	body := content(limits.S3MinPartBytes + 7)
	u, parts := storage.sent(t, m, "c/alpha/asked", body, func(u *upload.Upload) { u.CRC64NVME = crc64nvme(body) })
	if err := m.CompleteMultipart(t.Context(), u, parts); err != nil {
		t.Fatal(err)
	}
	for operation, headers := range map[string]map[string]string{
		"POST uploads":  {"X-Amz-Checksum-Algorithm": "CRC64NVME", "X-Amz-Checksum-Type": "FULL_OBJECT", "Content-Type": "text/plain"},
		"POST uploadId": {"If-None-Match": "*", "X-Amz-Checksum-Crc64nvme": u.CRC64NVME, "X-Amz-Checksum-Type": "FULL_OBJECT", "X-Amz-Mp-Object-Size": strconv.FormatInt(u.Size, 10)},
	} {
		for name, want := range headers {
			if got := wire.sent[operation].Get(name); got != want {
				t.Errorf("%s: %s is %q, want %q; sent were %v", operation, name, got, want, slices.Collect(maps.Keys(wire.sent)))
			}
		}
	}
}
