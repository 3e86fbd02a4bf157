package uploadapi_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/oklog/ulid/v2"

	"github.com/stowage-dev/stowage/functions/internal/uploadapi"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/idempotency"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/s3store"
)

// world is one API on tables of its own, with the workspaces alpha and beta.
type world struct {
	deps    uploadapi.Deps
	handler http.Handler
	store   *ddbstore.Store
	// recordsTable is the table of idempotency records.
	recordsTable string
	queue        *queue
	creds        aws.Credentials
	log          *bytes.Buffer
	clock        *clock
}

// restarted is another process of the same API: it shares what is stored and nothing else.
// change, unless it is nil, changes what it works with.
func (w *world) restarted(change func(*uploadapi.Deps)) *world {
	other := *w
	if change != nil {
		change(&other.deps)
	}
	other.handler = uploadapi.New(other.deps)
	return &other
}

// queue keeps the messages that are sent.
type queue struct {
	mu       sync.Mutex
	messages []string
}

func (q *queue) Send(_ context.Context, body []byte, _ time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.messages = append(q.messages, string(body))
	return nil
}

// clock is the real time, moved on by the tests, or stopped.
type clock struct {
	mu      sync.Mutex
	ahead   time.Duration
	stopped time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.stopped.IsZero() {
		return c.stopped.Add(c.ahead)
	}
	return time.Now().Add(c.ahead)
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ahead += d
}

// freeze stops it: it moves when the test advances it.
func (c *clock) freeze() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = time.Now()
}

type oneRing struct{ ring *cursor.Ring }

func (r oneRing) Ring(context.Context) (*cursor.Ring, error)  { return r.ring, nil }
func (r oneRing) Renew(context.Context) (*cursor.Ring, error) { return r.ring, nil }

func newWorld(tb testing.TB) *world {
	tb.Helper()
	db := ddbtest.Client(nil)
	w := &world{creds: session(tb), log: &bytes.Buffer{}, clock: &clock{}, queue: &queue{}}
	w.store = ddbstore.New(db, ddbstore.Config{Table: ddbtest.NewTable(tb, db, catalog.MainTable()), Now: w.clock.now})
	credential := credentials.StaticCredentialsProvider{Value: w.creds}
	client := s3.New(s3.Options{
		Region: testRegion, Credentials: credential, BaseEndpoint: &storageEngine.endpoint, UsePathStyle: true,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
	})
	presigner, err := s3store.NewPresigner(s3store.PresignerConfig{
		Bucket: testBucket, Client: client, Now: w.clock.now, Credentials: credential,
	})
	if err != nil {
		tb.Fatal(err)
	}
	ring, err := cursor.NewRing([]byte(strings.Repeat("k", cursor.MinSecretBytes)))
	if err != nil {
		tb.Fatal(err)
	}
	w.recordsTable = recordsTable(tb, db)
	newID := uploadapi.NewIDs(w.clock.now, rand.Reader)
	w.deps = uploadapi.Deps{
		Catalog: w.store, Signer: presigner, Completions: w.queue,
		Storage:     &s3store.Signer{Presigner: presigner, Multipart: s3store.NewMultipart(client, testBucket), Sealer: s3store.NewSealer(client, testBucket)},
		Idempotency: idempotency.New(db, idempotency.Config{Table: w.recordsTable, Now: w.clock.now, NewID: newID}),
		Cursors:     cursor.NewCodec(oneRing{ring}, rand.Reader),
		Log:         slog.New(slog.NewJSONHandler(w.log, nil)), NewID: newID, Now: w.clock.now,
	}
	w.handler = uploadapi.New(w.deps)
	founder := token{"sub": "founder", "client_id": "founder", "scope": everyScope}
	for _, ws := range []string{"alpha", "beta"} {
		w.must(tb, founder, "POST", "/v1/workspaces", fields{"id": ws, "name": ws}, 201)
		for _, role := range []string{"owner", "writer", "reader"} {
			w.must(tb, admin(), "PUT", "/v1/workspaces/"+ws+"/members/"+ws+"-"+role, fields{"role": role}, 200)
		}
	}
	return w
}

// recordsTable creates the table of idempotency records.
func recordsTable(tb testing.TB, db *dynamodb.Client) string {
	tb.Helper()
	in := ddbtest.Input("records-"+ulid.Make().String(), catalog.IdempotencyTable())
	if _, err := db.CreateTable(tb.Context(), in); err != nil {
		tb.Fatal(err)
	}
	return *in.TableName
}

// fields is a JSON object.
type fields = map[string]any

// token is the claims of an access token; nil is no token.
type token = httpapi.Claims

const everyScope = "stowage/read stowage/write stowage/admin"

// admin is a machine client, and a member of nothing.
func admin() token { return token{"sub": "ops", "client_id": "ops", "scope": everyScope} }

// member is the user "<ws>-<role>", with every scope and its one workspace.
func member(ws, role string) token {
	return token{"sub": ws + "-" + role, "client_id": "web", "scope": everyScope, "stowage:workspaces": ws + ":" + role}
}

type reply struct {
	status int
	header http.Header
	body   string
	json   fields
}

// at walks into nested objects.
func (r reply) at(path string) any {
	var v any = r.json
	for name := range strings.SplitSeq(path, ".") {
		m, _ := v.(fields)
		v = m[name]
	}
	return v
}

func (r reply) text(path string) string {
	s, _ := r.at(path).(string)
	return s
}

// call sends a request. body is sent as it stands when it is a string, else as JSON.
// extra are header names and values.
func (w *world) call(tb testing.TB, who token, method, path string, body any, extra ...string) reply {
	tb.Helper()
	var text []byte
	switch b := body.(type) {
	case nil:
	case string:
		text = []byte(b)
	default:
		var err error
		if text, err = json.Marshal(b); err != nil {
			tb.Fatal(err)
		}
	}
	r := httptest.NewRequestWithContext(context.Background(), method, path, bytes.NewReader(text))
	if text != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(extra); i += 2 {
		r.Header.Set(extra[i], extra[i+1])
	}
	if p, ok := httpapi.NewPrincipal(who); ok {
		r = r.WithContext(httpapi.WithPrincipal(r.Context(), p))
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	out := reply{status: rec.Code, header: rec.Header(), body: rec.Body.String()}
	if strings.Contains(rec.Header().Get("Content-Type"), "json") {
		if err := json.Unmarshal(rec.Body.Bytes(), &out.json); err != nil {
			tb.Fatalf("%s %s: %d %q: %v", method, path, rec.Code, out.body, err)
		}
	}
	return out
}

// must is call for a request whose status is certain.
func (w *world) must(tb testing.TB, who token, method, path string, body any, status int, extra ...string) reply {
	tb.Helper()
	out := w.call(tb, who, method, path, body, extra...)
	if out.status != status {
		tb.Fatalf("%s %s: got %d %s, want %d", method, path, out.status, out.body, status)
	}
	return out
}

// refused is call for a request that is a problem.
func (w *world) refused(tb testing.TB, who token, method, path string, body any, status int, code string, extra ...string) reply {
	tb.Helper()
	out := w.call(tb, who, method, path, body, extra...)
	if out.status != status || out.text("code") != code {
		tb.Errorf("%s %s: got %d %s, want %d %s", method, path, out.status, out.body, status, code)
	}
	return out
}

func sum(content string) string {
	s := sha256.Sum256([]byte(content))
	return base64.StdEncoding.EncodeToString(s[:])
}

func declare(path, content string) fields {
	return fields{"path": path, "size": len(content), "contentType": "text/plain", "sha256": sum(content)}
}

// publish stores an object as ingest would, and returns its id.
func (w *world) publish(tb testing.TB, ws, path, content string) string {
	tb.Helper()
	opened := w.must(tb, member(ws, "writer"), "POST", "/v1/uploads", declare(path, content), 201)
	return w.settle(tb, ws, opened.text("upload.id"), "s3-version-of-"+opened.text("upload.id"), content)
}

// settle publishes an upload whose bytes S3 holds under versionID.
func (w *world) settle(tb testing.TB, ws, id, versionID, content string) string {
	tb.Helper()
	u, err := w.store.Upload(context.Background(), ws, id)
	if err != nil {
		tb.Fatal(err)
	}
	o, err := w.store.Publish(context.Background(), u, object.Facts{
		Size: int64(len(content)), DetectedType: "text/plain", SHA256: sum(content),
		ETag: "etag", S3VersionID: versionID, Integrity: object.Verified,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return o.ID
}

// usage is what is used of a quota, in one comparable text.
func (w *world) usage(tb testing.TB, ws string) string {
	tb.Helper()
	return w.must(tb, member(ws, "reader"), "GET", "/v1/usage", nil, 200).body
}

// storage sends a signed request.
func storage(t *testing.T, method, url string, header fields, body string) (int, string, http.Header) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range header {
		req.Header.Set(name, fmt.Sprint(value))
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(answer), res.Header
}
