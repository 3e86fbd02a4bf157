package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func TestMain(m *testing.M) { os.Exit(ddbtest.Main(m)) }

// TestMessageIsWhatEventBridgeDelivers: of the object of a sample, the sample of the event.
func TestMessageIsWhatEventBridgeDelivers(t *testing.T) {
	t.Parallel()
	var stream struct {
		Records []struct {
			DynamoDB struct{ NewImage catalog.Item } `json:"dynamodb"`
		}
	}
	if err := json.Unmarshal(samples.Read("dynamodb/object-available"), &stream); err != nil {
		t.Fatal(err)
	}
	o, err := catalog.Declare().Objects.Decode(stream.Records[0].DynamoDB.NewImage)
	if err != nil {
		t.Fatal(err)
	}
	body, made, err := envelopeOf("eu-west-1", "https://sqs.eu-west-1.amazonaws.com/123456789012/ledger").message(o)
	if err != nil || !made {
		t.Fatal(made, err)
	}
	var got, want map[string]any
	if err := json.Unmarshal([]byte(body), &got); err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(samples.Read("eventbridge/object-available"), &want); err != nil {
		t.Fatal(err)
	}
	want["id"] = got["id"] // which EventBridge chooses
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-sample +message):\n%s", diff)
	}
}

// world is a catalog, and a queue that now and then leaves a message of a batch out.
type world struct {
	t      *testing.T
	broker *queue.Broker
	dev    string
	calls  atomic.Int32
	fail   func(call int32) bool // whether SQS does not answer
	ids    []string              // of the objects
}

const queueARN = "arn:aws:sqs:eu-central-1:000000000000:ledger"

func newWorld(t *testing.T, objects int) *world {
	t.Helper()
	w := &world{t: t}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	var err error
	if w.broker, err = queue.Open(queue.Config{Queues: []queue.Queue{{Name: "ledger", ARN: queueARN, URL: server.URL + "/000000000000/ledger"}}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.broker.Close(); err != nil {
			t.Error(err)
		}
	})
	client := ddbtest.Client(nil)
	table := ddbtest.NewTable(t, client, catalog.MainTable())
	store := ddbstore.New(client, ddbstore.Config{Table: table})
	for _, id := range []string{"alpha", "beta"} {
		space := workspace.Workspace{ID: id, Name: id, Shards: 1, Quota: workspace.Quota{Bytes: 1 << 40, Objects: 1000, OpenUploads: 1000, MaxObjectBytes: 1 << 40}}
		if err := store.CreateWorkspace(t.Context(), space, workspace.Member{Workspace: id, Sub: "owner", Role: workspace.Owner}); err != nil {
			t.Fatal(err)
		}
		for i := range objects {
			w.publish(store, space, i)
		}
	}
	w.dev = filepath.Join(t.TempDir(), "dev.json")
	text, err := json.Marshal(map[string]any{
		"s3Endpoint": server.URL, "region": "eu-central-1", "accessKeyId": "key", "secretAccessKey": "secret", "table": table,
		"queues": map[string]string{"Relational/LedgerEvents/Default/Resource": server.URL + "/000000000000/ledger"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.dev, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) publish(store *ddbstore.Store, space workspace.Workspace, n int) {
	w.t.Helper()
	now := time.Now()
	id := fmt.Sprintf("01KB3Z5V0QJ8W4N6T2M9R7%s%03d", strings.ToUpper(space.ID[:1]), n)
	u, err := store.OpenUpload(w.t.Context(), space, upload.Upload{
		Workspace: space.ID, ID: id, ObjectID: id, Path: fmt.Sprintf("docs/%d.txt", n), Size: 10, ContentType: "text/plain",
		SHA256: "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", Mode: upload.Single, IfExists: upload.Fail,
		CreatedBy: "owner", CreatedAt: now, ExpiresAt: now.Add(time.Hour),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	o, err := store.Publish(w.t.Context(), u, object.Facts{Size: u.Size, DetectedType: "text/plain", SHA256: u.SHA256, CRC64NVME: "AAAAAAAAAAA=", ETag: "e", S3VersionID: "v", Integrity: object.Recorded})
	if err != nil {
		w.t.Fatal(err)
	}
	w.ids = append(w.ids, o.ID)
}

// ServeHTTP tells the services apart, and leaves the first message of every third batch of
// several out.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	target := r.Header.Get("X-Amz-Target")
	if !strings.HasPrefix(target, "AmazonSQS.") {
		w.dynamoDB(rw, r)
		return
	}
	call := w.calls.Add(1)
	if w.fail != nil && w.fail(call) {
		rw.WriteHeader(http.StatusForbidden)
		return
	}
	var in struct {
		QueueUrl string
		Entries  []map[string]any
	}
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &in) != nil {
		w.t.Errorf("%s, %v", body, err)
	}
	var failed []map[string]any
	if call%3 == 0 && len(in.Entries) > 1 {
		failed = append(failed, map[string]any{"Id": in.Entries[0]["Id"], "Code": "InternalError", "SenderFault": false, "Message": "busy"})
		in.Entries = in.Entries[1:]
	}
	if body, err = json.Marshal(in); err != nil {
		w.t.Error(err)
	}
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	answer := httptest.NewRecorder()
	w.broker.ServeHTTP(answer, r)
	var out map[string]any
	if err := json.Unmarshal(answer.Body.Bytes(), &out); err != nil {
		w.t.Error(err)
	}
	if len(failed) > 0 {
		out["Failed"] = failed
	}
	rw.Header().Set("Content-Type", "application/x-amz-json-1.0")
	rw.WriteHeader(answer.Code)
	if err := json.NewEncoder(rw).Encode(out); err != nil {
		w.t.Error(err)
	}
}

// dynamoDB has the engine answer, and a scan read nine items at a time.
func (w *world) dynamoDB(rw http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Error(err)
	}
	body = append([]byte(`{"Limit":9,`), bytes.TrimPrefix(body, []byte("{"))...)
	resp, err := ddbtest.Client(nil).Options().HTTPClient.Do(engineRequest(w.t, r, body))
	if err != nil {
		w.t.Error(err)
		return
	}
	defer resp.Body.Close()
	for name, values := range resp.Header {
		rw.Header()[name] = values
	}
	rw.WriteHeader(resp.StatusCode)
	_, _ = io.Copy(rw, resp.Body)
}

func engineRequest(t *testing.T, r *http.Request, body []byte) *http.Request {
	t.Helper()
	out, err := http.NewRequestWithContext(r.Context(), r.Method, *ddbtest.Client(nil).Options().BaseEndpoint, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	out.Header = r.Header.Clone()
	return out
}

func (w *world) run(args ...string) (string, string, error) {
	var out, progress bytes.Buffer
	err := run(w.t.Context(), append(args, "-dev", w.dev), &out, &progress)
	return out.String(), progress.String(), err
}

// take receives all messages and returns the objects that they are about.
func (w *world) take() []string {
	w.t.Helper()
	var subjects []string
	for {
		got, err := w.broker.Receive(w.t.Context(), queueARN, queue.ReceiveInput{Max: 10, Wait: new(time.Duration)})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(got) == 0 {
			slices.Sort(subjects)
			return subjects
		}
		for _, m := range got {
			var envelope struct{ Detail event.Event }
			if err := json.Unmarshal([]byte(m.Body), &envelope); err != nil {
				w.t.Fatal(err)
			}
			subjects = append(subjects, envelope.Detail.Subject)
			if err := w.broker.Delete(w.t.Context(), queueARN, m.ReceiptHandle); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

func TestEveryObjectIsSent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 23)
	if out, _, err := w.run("-dry-run"); err != nil || out != "46 objects read, 46 events would be sent\n" || len(w.take()) != 0 {
		t.Fatalf("-dry-run: %s %v", out, err)
	}
	if out, _, err := w.run(); err != nil || out != "46 objects read, 46 events sent\n" {
		t.Fatalf("%s %v", out, err)
	}
	slices.Sort(w.ids)
	if got := w.take(); !slices.Equal(got, w.ids) {
		t.Errorf("sent are\n%v, want\n%v", got, w.ids)
	}
	if out, _, err := w.run("-workspace", "beta"); err != nil || out != "23 objects read, 23 events sent\n" {
		t.Errorf("%s %v", out, err)
	}
	for _, id := range w.take() {
		if !strings.HasPrefix(id, "01KB3Z5V0QJ8W4N6T2M9R7B") {
			t.Errorf("%s is not of beta", id)
		}
	}
}

// TestItGoesOnWhereItEnded: whenever SQS stops to answer, each object is sent at least once,
// and none of a page that was done is sent again.
func TestItGoesOnWhereItEnded(t *testing.T) {
	t.Parallel()
	w := newWorld(t, 15)
	stop := int32(4)
	w.fail = func(call int32) bool { return call >= stop && call < 1000 }
	_, progress, err := w.run()
	if err == nil {
		t.Fatal("it says nothing of a queue that does not answer")
	}
	place := regexp.MustCompile(`go on with -after (\S+)$`).FindStringSubmatch(err.Error())
	if place == nil || !strings.Contains(progress, "-after "+place[1]) {
		t.Fatalf("%v\n%s", err, progress)
	}
	first := w.take()
	w.calls.Store(1000)
	if _, _, err := w.run("-after", place[1]); err != nil {
		t.Fatal(err)
	}
	second := w.take()
	all := slices.Compact(slices.Sorted(slices.Values(slices.Concat(first, second))))
	slices.Sort(w.ids)
	if !slices.Equal(all, w.ids) || len(second) == len(w.ids) || len(first) == 0 {
		t.Errorf("first %d, then %d, of %d", len(first), len(second), len(w.ids))
	}
}

func TestWhatIsAskedForWrongly(t *testing.T) {
	t.Parallel()
	none := filepath.Join(t.TempDir(), "dev.json")
	if err := os.WriteFile(none, []byte(`{"table":"t","s3Endpoint":"http://127.0.0.1:1"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, args := range map[string][]string{
		"unexpected argument":                 {"now"},
		"-rate is 0":                          {"-rate", "0"},
		"-rate is 10001":                      {"-rate", "10001"},
		"give one of them":                    {"-stage", "dev", "-dev", none},
		"there is no .stowage/outputs-x.json": {"-stage", "x"},
		"-workspace":                          {"-workspace", "A B"},
		"relational=true":                     {"-dev", none},
	} {
		if err := run(t.Context(), args, io.Discard, io.Discard); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v: %v, want %q", args, err, want)
		}
	}
}

func TestBatchesFit(t *testing.T) {
	t.Parallel()
	of := func(n, size int) []string { return slices.Repeat([]string{strings.Repeat("x", size)}, n) }
	for _, tt := range []struct {
		bodies []string
		want   int
	}{
		{of(1, 1), 1}, {of(9, 1), 9}, {of(10, 1), 10}, {of(11, 1), 10},
		{of(2, batchBytes/2), 2}, {of(2, batchBytes/2+1), 1}, {of(1, batchBytes+1), 1}, {of(3, batchBytes/2), 2},
	} {
		if got := fitting(tt.bodies); got != tt.want {
			t.Errorf("of %d messages of %d bytes %d fit, want %d", len(tt.bodies), len(tt.bodies[0]), got, tt.want)
		}
	}
}
