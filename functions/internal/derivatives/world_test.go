package derivatives_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"io"
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
	"github.com/stowage-dev/stowage/functions/internal/derivatives"
	s3engine "github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/event"
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
	session, _, err := issuer.IssueSession(identity.Session{RoleARN: "arn:aws:iam::000000000000:role/Derivatives", Name: "test", Duration: time.Hour})
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
	handler *derivatives.Handler
	store   *ddbstore.Store
	objects *s3.Client
	dead    *box
	ws      workspace.Workspace
	// flaky stands between the handler and both stores.
	flaky *flaky
}

// box keeps dead letters in memory, by identity.
type box struct {
	mu      sync.Mutex
	letters map[string]batch.Letter
}

func (b *box) Put(_ context.Context, l batch.Letter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters[l.ID] = l
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
	w.flaky = &flaky{pictures: s3store.NewPictures(objects, bucket), store: w.store}
	log := slog.New(slog.DiscardHandler)
	metrics := observe.NewMetrics(io.Discard, "test", time.Now)
	w.handler = derivatives.New(derivatives.Parts{
		Catalog: w.flaky, Storage: w.flaky, DeadLetters: w.dead,
		Observer: observe.NewRecords(metrics, observe.NoTracer(), log, time.Now),
		Metrics:  metrics, Log: log, Now: time.Now,
	})
	return w
}

func id() string { return ulid.MustNew(ulid.Now(), rand.Reader).String() }

// photo is a JPEG of one colour.
func photo(t *testing.T, width, height int) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range img.Pix {
		img.Pix[i] = 200
	}
	img.Set(0, 0, color.White)
	var out bytes.Buffer
	if err := jpeg.Encode(&out, img, nil); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// publish stores data at path, as a client and ingest would, and returns its object.
func (w *world) publish(t *testing.T, path string, data []byte) object.Object {
	t.Helper()
	u, err := w.store.OpenUpload(t.Context(), w.ws, upload.Upload{
		Workspace: alpha, ID: id(), ObjectID: id(), Path: path,
		Size: int64(len(data)), ContentType: "image/jpeg", SHA256: "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=",
		Mode: upload.Single, IfExists: upload.NewVersion,
		CreatedBy: "zoe", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	})
	if err != nil {
		t.Fatal(err)
	}
	out, err := w.objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &u.S3Key, Body: bytes.NewReader(data)})
	if err != nil {
		t.Fatal(err)
	}
	o, err := w.store.Publish(t.Context(), u, object.Facts{
		Size: int64(len(data)), DetectedType: "image/jpeg", SHA256: u.SHA256, ETag: "etag",
		S3VersionID: aws.ToString(out.VersionId), Integrity: object.Verified,
	})
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// message is what the bus sends of an object that has become what it is.
func message(t *testing.T, o object.Object) string {
	t.Helper()
	e, ok := event.FromTransition(nil, &o)
	if !ok {
		t.Fatalf("%+v makes no event", o)
	}
	detail, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(events.EventBridgeEvent{Source: event.Source, DetailType: string(e.Type), Detail: detail})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// deliver hands messages to the handler and returns the positions of those handed back.
func (w *world) deliver(t *testing.T, bodies ...string) []int {
	t.Helper()
	var ev events.SQSEvent
	if err := json.Unmarshal(samples.Read("sqs/object-available-image"), &ev); err != nil {
		t.Fatal(err)
	}
	sample := ev.Records[0]
	ev.Records = nil
	position := map[string]int{}
	for i, body := range bodies {
		sample.MessageId, sample.Body = id(), body
		position[sample.MessageId] = i
		ev.Records = append(ev.Records, sample)
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

func (w *world) object(t *testing.T, id string) object.Object {
	t.Helper()
	o, err := w.store.Object(t.Context(), alpha, id)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// stored are the keys below d/ of an object, once for each of their versions.
func (w *world) stored(t *testing.T, id string) []string {
	t.Helper()
	out, err := w.objects.ListObjectVersions(t.Context(), &s3.ListObjectVersionsInput{
		Bucket: aws.String(bucket), Prefix: aws.String(object.DerivativePrefix + alpha + "/" + id + "/"),
	})
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	for _, v := range out.Versions {
		keys = append(keys, aws.ToString(v.Key))
	}
	return keys
}

var errLost = errors.New("the connection was lost")

// flaky passes calls on and fails the one whose number it is told, before or after that
// call has had its effect.
type flaky struct {
	pictures *s3store.Pictures
	store    *ddbstore.Store

	mu     sync.Mutex
	calls  int
	failAt int // 0: never
	after  bool
	// before is called ahead of a call of that name.
	before map[string]func()
}

// reset makes the n-th call from now on fail.
func (f *flaky) reset(n int, after bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls, f.failAt, f.after = 0, n, after
}

func (f *flaky) pass(name string, call func() error) error {
	f.mu.Lock()
	f.calls++
	now, after, before := f.calls == f.failAt, f.after, f.before[name]
	f.mu.Unlock()
	if before != nil {
		before()
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

func (f *flaky) Object(ctx context.Context, ws, id string) (o object.Object, err error) {
	err = f.pass("Object", func() error { o, err = f.store.Object(ctx, ws, id); return err })
	return o, err
}

func (f *flaky) RecordPicture(ctx context.Context, o object.Object, p object.Picture, ds []object.Derivative, by string) (old []object.Derivative, err error) {
	err = f.pass("RecordPicture", func() error { old, err = f.store.RecordPicture(ctx, o, p, ds, by); return err })
	return old, err
}

func (f *flaky) Read(ctx context.Context, at object.Location, most int64) (data []byte, err error) {
	err = f.pass("Read", func() error { data, err = f.pictures.Read(ctx, at, most); return err })
	return data, err
}

func (f *flaky) Write(ctx context.Context, key, contentType string, data []byte) (version string, err error) {
	err = f.pass("Write", func() error { version, err = f.pictures.Write(ctx, key, contentType, data); return err })
	return version, err
}

func (f *flaky) Delete(ctx context.Context, at object.Location) error {
	return f.pass("Delete", func() error { return f.pictures.Delete(ctx, at) })
}
