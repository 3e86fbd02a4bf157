package completer_test

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc64"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/functions/internal/completer"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/completion"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// crc64nvme is the checksum as S3 has it: CRC-64/NVME, big-endian, base64.
func crc64nvme(b []byte) string {
	sum := crc64.Checksum(b, crc64.MakeTable(0x9a6c9329ac4bc9b5))
	return base64.StdEncoding.EncodeToString(binary.BigEndian.AppendUint64(nil, sum))
}

// large is a body of three parts.
func large() []byte {
	b := make([]byte, 2*limits.S3MinPartBytes+7)
	for i := range b {
		b[i] = "stowage "[i%8]
	}
	return b
}

// TestWholeWay completes uploads of several parts, with and without a checksum, and ingests
// what became of them.
func TestWholeWay(t *testing.T) {
	w := newWorld(t)
	body := large()
	for _, tc := range []struct {
		name      string
		opened    string
		completed string
		integrity object.Integrity
	}{
		{"no checksum", "", "", object.Recorded},
		{"declared when it was opened", crc64nvme(body), "", object.Verified},
		{"declared when it was completed", "", crc64nvme(body), object.Verified},
		{"declared twice", crc64nvme(body), crc64nvme(body), object.Verified},
	} {
		t.Run(tc.name, func(t *testing.T) {
			u := w.open(tc.name, body, func(u *upload.Upload) { u.CRC64NVME = tc.opened })
			parts, err := w.calm.keeper.AllParts(t.Context(), u)
			if err != nil {
				t.Fatal(err)
			}
			for _, named := range [][]upload.Part{parts, nil, parts} { // and again, and again
				done, err := w.calm.completions().Complete(t.Context(), alpha, u.ID, completion.Request{Parts: named, CRC64NVME: tc.completed})
				if err != nil || done.State != upload.Uploaded {
					t.Fatalf("completed as %s, %v", done.State, err)
				}
			}
			w.calm.ingest(t.Context(), u)
			o, err := w.calm.store.Object(t.Context(), alpha, u.ObjectID)
			if err != nil || o.State != object.Available || o.Integrity != tc.integrity || o.Size != u.Size ||
				o.CRC64NVME != crc64nvme(body) || o.SHA256 != "" || !strings.HasSuffix(o.ETag, "-3") {
				t.Errorf("published as %+v, %v", o, err)
			}
			done, err := w.calm.completions().Complete(t.Context(), alpha, u.ID, completion.Request{CRC64NVME: tc.completed})
			if err != nil || done.State != upload.Available {
				t.Errorf("completed after that: %s, %v", done.State, err)
			}
			_, err = w.calm.completions().Complete(t.Context(), alpha, u.ID, completion.Request{CRC64NVME: crc64nvme(nil)})
			if !fault.Is(err, fault.Conflict) && !fault.Is(err, fault.InvalidArgument) {
				t.Errorf("completed with another checksum: %v", err)
			}
			if w.calm.finish(t.Context(), message(u), 0) {
				t.Error("the message was handed back")
			}
		})
	}
	if n := len(w.calm.queue.bodies); n != 4 {
		t.Errorf("%d messages were sent for 4 uploads", n)
	}
}

// TestRefusedCompletions: each is refused with a code, leaves the upload to be put right, and
// holds its quota.
func TestRefusedCompletions(t *testing.T) {
	w := newWorld(t)
	body := large()
	u := w.open("p", body, func(u *upload.Upload) { u.CRC64NVME = crc64nvme(body) })
	parts, err := w.calm.keeper.AllParts(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	edit := func(i int, change func(*upload.Part)) []upload.Part {
		edited := append([]upload.Part(nil), parts...)
		change(&edited[i])
		return edited
	}
	complete := func(r completion.Request) error {
		_, err := w.calm.completions().Complete(t.Context(), alpha, u.ID, r)
		return err
	}
	for name, tc := range map[string]struct {
		request completion.Request
		code    fault.Code
	}{
		"no parts":                {completion.Request{Parts: []upload.Part{}}, fault.InvalidArgument},
		"a part left out":         {completion.Request{Parts: parts[:2]}, fault.InvalidArgument},
		"out of order":            {completion.Request{Parts: []upload.Part{parts[1], parts[0], parts[2]}}, fault.InvalidArgument},
		"a number twice":          {completion.Request{Parts: edit(1, func(p *upload.Part) { p.Number = 1 })}, fault.InvalidArgument},
		"another ETag":            {completion.Request{Parts: edit(1, func(p *upload.Part) { p.ETag = "0" })}, fault.InvalidArgument},
		"one part more":           {completion.Request{Parts: append(edit(0, func(*upload.Part) {}), upload.Part{Number: 4, ETag: "x"})}, fault.InvalidArgument},
		"no base64":               {completion.Request{CRC64NVME: "x"}, fault.InvalidArgument},
		"not what was declared":   {completion.Request{CRC64NVME: crc64nvme(nil)}, fault.InvalidArgument},
		"parts of something else": {completion.Request{Parts: edit(2, func(p *upload.Part) { p.ETag = strings.Repeat("a", 32) })}, fault.InvalidArgument},
	} {
		if err := complete(tc.request); !fault.Is(err, tc.code) {
			t.Errorf("%s: %v, want %s", name, err, tc.code)
		}
	}
	if now := w.upload(u); now.State != upload.Uploading || now.Rev != u.Rev || len(w.calm.queue.bodies) != 0 {
		t.Errorf("after that it is %s, rev %d, %d messages were sent", now.State, now.Rev, len(w.calm.queue.bodies))
	}
	// A part with other bytes of the same length: S3 finds that out.
	if err := w.calm.send(t.Context(), u, 3, []byte("STOWAGE")); err != nil {
		t.Fatal(err)
	}
	if err := complete(completion.Request{}); !fault.Is(err, fault.ChecksumMismatch) {
		t.Errorf("other bytes: %v", err)
	}
	if now := w.upload(u); now.State != upload.Uploading || now.Reason == nil || now.Reason.Code != fault.ChecksumMismatch {
		t.Errorf("after that it is %+v", now)
	}
	if err := w.calm.send(t.Context(), u, 3, body[2*limits.S3MinPartBytes:]); err != nil {
		t.Fatal(err)
	}
	if err := complete(completion.Request{}); err != nil {
		t.Errorf("put right: %v", err)
	}
}

func TestIncompleteParts(t *testing.T) {
	w := newWorld(t)
	u := w.open("p", []byte("one part"), nil)
	more := w.open("q", []byte("one part"), func(u *upload.Upload) { u.PartSize = limits.S3MaxPartBytes })
	for _, tc := range []struct {
		name string
		id   string
		code fault.Code
	}{
		{"nobody's upload", id(), fault.NotFound},
		{"a complete one", u.ID, ""},
	} {
		if _, err := w.calm.completions().Complete(t.Context(), alpha, tc.id, completion.Request{}); fault.CodeOf(err) != tc.code {
			t.Errorf("%s: %v, want %q", tc.name, err, tc.code)
		}
	}
	if _, err := w.calm.completions().Complete(t.Context(), "other", more.ID, completion.Request{}); !fault.Is(err, fault.NotFound) {
		t.Errorf("another workspace's upload: %v", err)
	}
	if err := w.calm.keeper.AbortUntilGone(t.Context(), more); err != nil {
		t.Fatal(err)
	}
	if _, err := w.calm.completions().Complete(t.Context(), alpha, more.ID, completion.Request{}); !fault.Is(err, fault.Conflict) {
		t.Errorf("parts that were removed from outside: %v", err)
	}
	short := w.open("r", make([]byte, limits.S3MinPartBytes+1), nil)
	short.Size += limits.S3MinPartBytes // as if a third part had been declared
	if err := short.CheckStored([]upload.Part{short.Part(1), short.Part(2)}); !fault.Is(err, fault.PartsIncomplete) {
		t.Errorf("a part is missing: %v", err)
	}
}

// slow answers nothing about completions before the caller gives up, though they happen.
type slow struct{}

func (slow) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodPost || !strings.Contains(r.URL.RawQuery, "uploadId=") {
		return http.DefaultTransport.RoundTrip(r)
	}
	resp, err := http.DefaultTransport.RoundTrip(r.WithContext(context.WithoutCancel(r.Context())))
	if err != nil {
		return nil, err
	}
	_ = resp.Body.Close() // nobody waits for it
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// TestSlowCompletionIsFinishedFromTheQueue: S3 takes longer than a client waits.
func TestSlowCompletionIsFinishedFromTheQueue(t *testing.T) {
	w := newWorld(t)
	u := w.open("p", large(), nil)
	s := w.side(slow{})
	c := completion.New(completion.Deps{Catalog: s.store, Storage: s.keeper.Multipart, Queue: &s.queue, Log: slog.New(slog.DiscardHandler), Now: time.Now, Inline: 100 * time.Millisecond})
	began := time.Now()
	now, err := c.Complete(t.Context(), alpha, u.ID, completion.Request{})
	if err != nil || now.State != upload.Completing || time.Since(began) > 3*time.Second {
		t.Fatalf("completed as %s after %s, %v", now.State, time.Since(began), err)
	}
	if again, err := c.Complete(t.Context(), alpha, u.ID, completion.Request{}); err != nil || again.State != upload.Completing {
		t.Errorf("asked again: %s, %v", again.State, err)
	}
	if len(s.queue.bodies) != 1 {
		t.Fatalf("%d messages were sent", len(s.queue.bodies))
	}
	if w.calm.finish(t.Context(), s.queue.bodies[0], 0) {
		t.Error("the message was handed back")
	}
	if now := w.upload(u); now.State != upload.Uploaded {
		t.Errorf("finished as %s", now.State)
	}
}

func TestQueueThatIsDown(t *testing.T) {
	w := newWorld(t)
	u := w.open("p", []byte("bytes"), nil)
	w.calm.queue.err = fault.New(fault.Unavailable, "down")
	if _, err := w.calm.completions().Complete(t.Context(), alpha, u.ID, completion.Request{}); !fault.Is(err, fault.Unavailable) {
		t.Errorf("completed without a net: %v", err)
	}
	if now := w.upload(u); now.State != upload.Uploading {
		t.Errorf("after that it is %s", now.State)
	}
}

// TestPartsRemovedFromOutside: an upload that nobody can finish is given up, not before
// S3 has had time to say otherwise.
func TestPartsRemovedFromOutside(t *testing.T) {
	w := newWorld(t)
	u := w.open("p", []byte("bytes"), nil)
	parts, err := w.calm.keeper.AllParts(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.calm.store.BeginCompletion(t.Context(), alpha, u.ID, upload.Completion{Parts: upload.PartsDigest(parts), BegunAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if err := w.calm.keeper.AbortUntilGone(t.Context(), u); err != nil {
		t.Fatal(err)
	}
	if !w.calm.finish(t.Context(), message(u), 9*time.Minute) || w.upload(u).State != upload.Completing {
		t.Errorf("given up too soon: %s", w.upload(u).State)
	}
	for range 2 {
		if w.calm.finish(t.Context(), message(u), 11*time.Minute) {
			t.Error("handed back")
		}
	}
	now := w.upload(u)
	if now.State != upload.Rejected || now.Reason.Code != fault.PartsIncomplete || len(now.Reservation) > 0 {
		t.Errorf("ended as %+v", now)
	}
	if usage := w.usage(); !usage.Reserved.IsZero() || !usage.Stored.IsZero() {
		t.Errorf("usage is %+v", usage)
	}
}

// TestPartReplacedAfterCompletion: the client said which parts; others are not assembled.
func TestPartReplacedAfterCompletion(t *testing.T) {
	w := newWorld(t)
	u := w.open("p", []byte("bytes"), nil)
	if _, err := w.calm.store.BeginCompletion(t.Context(), alpha, u.ID, upload.Completion{Parts: "others", BegunAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if w.calm.finish(t.Context(), message(u), 0) {
		t.Error("handed back")
	}
	now := w.upload(u)
	if now.State != upload.Uploading || now.Reason == nil || now.Reason.Code != fault.InvalidArgument || len(w.versions(u)) != 0 {
		t.Errorf("it is %+v, stored: %v", now, w.versions(u))
	}
}

func TestMessagesThatNothingCures(t *testing.T) {
	w := newWorld(t)
	bodies := []string{"", "not JSON", "{}", `{"workspace":"alpha","upload":"x"}`, `{"upload":"` + id() + `"}`, message(upload.Upload{Workspace: alpha, ID: id()})}
	for _, body := range bodies {
		if w.calm.finish(t.Context(), body, 0) {
			t.Errorf("%q was handed back", body)
		}
	}
	if len(w.calm.letters.got) != len(bodies) {
		t.Errorf("%d dead letters for %d messages", len(w.calm.letters.got), len(bodies))
	}
}

// broken lets nothing through to S3.
type broken struct{}

func (broken) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Header.Get("X-Amz-Target") != "" { // DynamoDB
		return http.DefaultTransport.RoundTrip(r)
	}
	return &http.Response{StatusCode: http.StatusServiceUnavailable, Body: io.NopCloser(strings.NewReader("")), Request: r, Header: http.Header{}}, nil
}

func TestStorageThatIsDown(t *testing.T) {
	w := newWorld(t)
	u := w.open("p", []byte("bytes"), nil)
	parts, err := w.calm.keeper.AllParts(t.Context(), u)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.calm.store.BeginCompletion(t.Context(), alpha, u.ID, upload.Completion{Parts: upload.PartsDigest(parts), BegunAt: time.Now()}); err != nil {
		t.Fatal(err)
	}
	s := w.side(broken{})
	if !s.finish(t.Context(), message(u), time.Hour) || len(s.letters.got) != 0 {
		t.Error("the message was not handed back")
	}
	if now := w.upload(u); now.State != upload.Completing {
		t.Errorf("after that it is %s", now.State)
	}
	if w.calm.finish(t.Context(), message(u), 0) || w.upload(u).State != upload.Uploaded {
		t.Errorf("afterwards it is %s", w.upload(u).State)
	}
}

func TestSampleIsAMessage(t *testing.T) {
	t.Parallel()
	var ev events.SQSEvent
	if err := json.Unmarshal(samples.Read("sqs/upload-completion"), &ev); err != nil {
		t.Fatal(err)
	}
	var m completion.Message
	if err := json.Unmarshal([]byte(ev.Records[0].Body), &m); err != nil || m.Workspace != alpha || !object.IsID(m.Upload) {
		t.Errorf("it asks for %+v, %v", m, err)
	}
}

func TestBackoff(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := completer.Backoff(ctx, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("of a context that has ended: %v", err)
	}
}

func TestConfigNamesAllThatIsMissing(t *testing.T) {
	t.Parallel()
	_, err := completer.ParseConfig(boot.NewSettings(func(string) (string, bool) { return "", false }))
	for _, name := range []string{"STOWAGE_TABLE", "STOWAGE_BUCKET", "STOWAGE_DEAD_LETTER_BUCKET"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("the error does not name %s: %v", name, err)
		}
	}
}
