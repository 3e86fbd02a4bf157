package ingest_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/oklog/ulid/v2"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/functions/internal/ingest"
	s3engine "github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/deadletter"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/s3store"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

const (
	region = "eu-central-1"
	bucket = "content"
	alpha  = "alpha"
)

// TestMain runs a DynamoDB engine beside the tests, and is the S3 engine when it is
// started as that.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3engine.Command {
		os.Exit(s3engine.Main(os.Args, os.Stdin))
	}
	os.Exit(ddbtest.Main(m))
}

// startS3 returns a client of a real S3 server with one versioned bucket.
func startS3(t *testing.T) *s3.Client {
	t.Helper()
	master := make([]byte, identity.MasterKeySize)
	if _, err := rand.Read(master); err != nil {
		t.Fatal(err)
	}
	issuer, err := identity.New(identity.Config{MasterKey: master})
	if err != nil {
		t.Fatal(err)
	}
	engine, err := s3engine.Start(t.Context(), s3engine.Config{
		Dir: t.TempDir(), Region: region, MasterKey: master,
		Buckets: []s3engine.Bucket{{Name: bucket, Versioned: true}},
		OnEvent: func(context.Context, s3engine.Event) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	session, _, err := issuer.IssueSession(identity.Session{RoleARN: "arn:aws:iam::000000000000:role/Ingest", Name: "test", Duration: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(engine.Endpoint()), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(session.AccessKeyID, session.SecretAccessKey, session.SessionToken),
	})
}

// world is a catalog with the workspace alpha, a bucket, and the handler.
type world struct {
	handler *ingest.Handler
	store   *ddbstore.Store
	objects *s3.Client
	dead    *box
	ws      workspace.Workspace
	// flaky stands between the handler and both stores.
	flaky   *flaky
	parts   ingest.Parts
	metrics *observe.Metrics
	told    bytes.Buffer // what the handler measures
}

// box keeps dead letters in memory, under the keys that they have in S3. Its clock
// goes on, so that a letter without a time of its own has another key each time.
type box struct {
	mu      sync.Mutex
	letters map[string]batch.Letter
	now     time.Time
}

func (b *box) Put(_ context.Context, l batch.Letter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(time.Second)
	key, err := deadletter.Key("S3Ingest", l, b.now)
	if err != nil {
		return err
	}
	b.letters[key] = l
	return nil
}

func newWorld(t *testing.T, objects *s3.Client) *world {
	t.Helper()
	db := ddbtest.Client(nil)
	w := &world{objects: objects, dead: &box{letters: map[string]batch.Letter{}}}
	w.store = ddbstore.New(db, ddbstore.Config{Table: ddbtest.NewTable(t, db, catalog.MainTable())})
	w.ws = workspace.Workspace{
		ID: alpha, Name: "Alpha", CreatedAt: time.Now(), CreatedBy: "ops",
		Quota: workspace.DefaultQuota(), Types: workspace.DefaultTypePolicy(), Shards: 2,
	}
	owner := workspace.Member{Workspace: alpha, Sub: "zoe", Role: workspace.Owner, CreatedAt: time.Now(), CreatedBy: "ops"}
	if err := w.store.CreateWorkspace(t.Context(), w.ws, owner); err != nil {
		t.Fatal(err)
	}
	w.flaky = &flaky{quarantine: s3store.NewQuarantine(objects, bucket), sealer: s3store.NewSealer(objects, bucket), store: w.store}
	log := slog.New(slog.DiscardHandler)
	w.metrics = observe.NewMetrics(&w.told, "test", time.Now)
	w.parts = ingest.Parts{
		Inspector: w.flaky, Quarantine: w.flaky, Catalog: w.flaky, Settler: w.flaky, Sealer: w.flaky,
		DeadLetters: w.dead,
		Observer:    observe.NewRecords(w.metrics, observe.NoTracer(), log, time.Now),
		Metrics:     w.metrics,
		Log:         log,
	}
	w.handler = ingest.New(w.parts)
	return w
}

// id returns a new ULID.
func id() string { return ulid.MustNew(ulid.Now(), rand.Reader).String() }

func sha(b []byte) string {
	sum := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// open opens an upload of body at path, changed by edit.
func (w *world) open(t *testing.T, path, contentType string, body []byte, edit func(*upload.Upload)) upload.Upload {
	t.Helper()
	u := upload.Upload{
		Workspace: alpha, ID: id(), ObjectID: id(), Path: path,
		Size: int64(len(body)), ContentType: contentType, SHA256: sha(body),
		Mode: upload.Single, IfExists: upload.Fail,
		CreatedBy: "zoe", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}
	if edit != nil {
		edit(&u)
	}
	u, err := w.store.OpenUpload(t.Context(), w.ws, u)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// put stores body under the upload's key, as a client would, and returns the version.
func (w *world) put(t *testing.T, u upload.Upload, body []byte) object.Location {
	t.Helper()
	out, err := w.objects.PutObject(t.Context(), &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: &u.S3Key, Body: bytes.NewReader(body),
		ContentType: &u.ContentType, ChecksumSHA256: aws.String(sha(body)),
	})
	if err != nil {
		t.Fatal(err)
	}
	return object.Location{Key: u.S3Key, VersionID: aws.ToString(out.VersionId)}
}

// exists reports whether a version is still stored, and with which verdict.
func (w *world) exists(t *testing.T, at object.Location) (verdict string, stored bool) {
	t.Helper()
	_, err := w.objects.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &at.Key, VersionId: &at.VersionID})
	if err != nil {
		return "", false
	}
	tags, err := w.objects.GetObjectTagging(t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String(bucket), Key: &at.Key, VersionId: &at.VersionID})
	if err != nil {
		return "", true // without tags
	}
	for _, tag := range tags.TagSet {
		if aws.ToString(tag.Key) == object.VerdictTag {
			verdict = aws.ToString(tag.Value)
		}
	}
	return verdict, true
}

// notification is the sample of an S3 notification, about another version.
func notification(t *testing.T, event string, at object.Location) string {
	t.Helper()
	return notificationOf(t, event, at, 1234)
}

// notificationOf is notification about a version of the given size.
func notificationOf(t *testing.T, event string, at object.Location, size int64) string {
	t.Helper()
	var ev events.S3Event
	if err := json.Unmarshal(samples.Read("s3/object-created-put"), &ev); err != nil {
		t.Fatal(err)
	}
	r := &ev.Records[0]
	r.EventName = event
	r.S3.Object.Key, r.S3.Object.VersionID, r.S3.Object.Size = at.Key, at.VersionID, size
	text, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// deliver hands messages to the handler and returns the positions of those handed
// back.
func (w *world) deliver(t *testing.T, bodies ...string) []int {
	t.Helper()
	return w.deliverFrom(t, "", bodies...)
}

// deliverFrom is deliver for the messages of another queue than that of S3.
func (w *world) deliverFrom(t *testing.T, queueARN string, bodies ...string) []int {
	t.Helper()
	var ev events.SQSEvent
	if err := json.Unmarshal(samples.Read("sqs/s3-object-created"), &ev); err != nil {
		t.Fatal(err)
	}
	message := ev.Records[0]
	ev.Records = nil
	if queueARN != "" {
		message.EventSourceARN = queueARN
	}
	position := map[string]int{}
	for i, body := range bodies {
		message.MessageId, message.Body = id(), body
		position[message.MessageId] = i
		ev.Records = append(ev.Records, message)
	}
	resp, err := w.handler.Handle(t.Context(), ev)
	if err != nil {
		t.Fatal(err)
	}
	var back []int
	for _, f := range resp.BatchItemFailures {
		back = append(back, position[f.ItemIdentifier])
	}
	return back
}

func (w *world) created(t *testing.T, at object.Location) []int {
	t.Helper()
	return w.deliver(t, notification(t, "ObjectCreated:Put", at))
}

// used is what the workspace's quota says is in use.
func (w *world) used(t *testing.T) workspace.Usage {
	t.Helper()
	u, err := w.store.Usage(t.Context(), alpha)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// flaky passes calls on and fails the one whose number it is told, before or after
// that call has had its effect.
type flaky struct {
	quarantine *s3store.Quarantine
	sealer     *s3store.Sealer
	store      *ddbstore.Store

	mu     sync.Mutex
	calls  []string
	failAt int // 0: never
	after  bool
	// before is called before each call of a delivery, not of those that it makes
	// itself; nil: nothing is.
	before func(n int)
}

// reset makes the n-th call from now on fail.
func (f *flaky) reset(n int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.failAt, f.after = nil, n, after
}

// pass makes one call.
func (f *flaky) pass(name string, call func() error) error {
	f.mu.Lock()
	f.calls = append(f.calls, name)
	now, after, n := len(f.calls) == f.failAt, f.after, len(f.calls)
	before := f.before
	f.before = nil
	f.mu.Unlock()
	if before != nil {
		before(n)
		f.mu.Lock()
		f.before = before
		f.mu.Unlock()
	}
	if now && !after {
		return errLost
	}
	err := call()
	if now {
		return errLost
	}
	return err
}
