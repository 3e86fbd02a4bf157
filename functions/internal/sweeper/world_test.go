package sweeper_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	s3types "github.com/aws/aws-sdk-go-v2/service/s3/types"
	"github.com/oklog/ulid/v2"

	"github.com/stowage-dev/stowage/functions/internal/ingest"
	"github.com/stowage-dev/stowage/functions/internal/sweeper"
	s3engine "github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/closing"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/fault"
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
	// A history takes about half a second: -rapid.checks asks for more of them.
	if err := flag.Set("rapid.checks", "40"); err != nil {
		panic(err)
	}
	os.Exit(ddbtest.Main(m))
}

// storage is a real S3 server with one versioned bucket, empty at the start.
type storage struct {
	endpoint string
	issued   credentials.StaticCredentialsProvider
}

func startS3(t *testing.T) storage {
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
	session, _, err := issuer.IssueSession(identity.Session{RoleARN: "arn:aws:iam::000000000000:role/Sweeper", Name: "test", Duration: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return storage{engine.Endpoint(), credentials.NewStaticCredentialsProvider(session.AccessKeyID, session.SecretAccessKey, session.SessionToken)}
}

// client talks to the server over transport. It does not repeat what failed.
func (s storage) client(transport http.RoundTripper) *s3.Client {
	return s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(s.endpoint), UsePathStyle: true, Credentials: s.issued,
		HTTPClient: &http.Client{Transport: transport}, Retryer: retry.AddWithMaxAttempts(aws.NopRetryer{}, 1),
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
	})
}

// world is a catalog with the workspace alpha, a bucket, and a clock that the test moves.
type world struct {
	t       *testing.T
	storage storage
	objects *s3.Client
	table   string
	offset  atomic.Int64
	store   *ddbstore.Store
	ws      workspace.Workspace

	metrics  *observe.Metrics
	reported bytes.Buffer // what metrics were flushed

	mu sync.Mutex
	// landed are the events of S3 that nobody has been told of.
	landed []events.S3EventRecord
	// written is when each version was written, by the world's clock.
	written map[string]time.Time
}

func newWorld(t *testing.T, s storage) *world {
	t.Helper()
	db := ddbtest.Client(nil)
	w := &world{t: t, storage: s, written: map[string]time.Time{}, table: "sweep-" + ulid.Make().String()}
	if _, err := db.CreateTable(t.Context(), ddbtest.Input(w.table, catalog.MainTable())); err != nil {
		t.Fatal(err)
	}
	w.store, w.objects = w.storeOver(nil), s.client(&life{world: w})
	w.metrics = observe.NewMetrics(&w.reported, "test", w.now)
	w.ws = workspace.Workspace{ID: alpha, Name: "Alpha", CreatedAt: w.now(), CreatedBy: "ops", Quota: workspace.DefaultQuota(), Types: workspace.DefaultTypePolicy(), Shards: 3}
	if err := w.store.CreateWorkspace(t.Context(), w.ws, workspace.Member{Workspace: alpha, Sub: "zoe", Role: workspace.Owner, CreatedAt: w.now()}); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *world) storeOver(transport http.RoundTripper) *ddbstore.Store {
	return ddbstore.New(ddbtest.Client(transport), ddbstore.Config{Table: w.table, Now: w.now})
}

func (w *world) now() time.Time        { return time.Now().UTC().Add(time.Duration(w.offset.Load())) }
func (w *world) move(by time.Duration) { w.offset.Add(int64(by)) }
func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// life is a process that dies after some calls to S3 and DynamoDB: from then on nothing
// gets out and no answer comes in. A life of 0 calls is eternal.
type life struct {
	calls atomic.Int64
	last  int64
	after bool // the last call has its effect
	world *world
}

var errDead = errors.New("the process was killed")

func (l *life) RoundTrip(r *http.Request) (*http.Response, error) {
	n := l.calls.Add(1)
	if l.last > 0 && (n > l.last || n == l.last && !l.after) {
		return nil, errDead
	}
	resp, err := http.DefaultTransport.RoundTrip(r)
	if err == nil && l.world != nil {
		l.world.note(resp.Header.Get("X-Amz-Version-Id"))
	}
	if err == nil && n == l.last {
		resp.Body.Close()
		return nil, errDead
	}
	return resp, err
}

// note remembers when a version was first heard of, by the world's clock.
func (w *world) note(version string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if _, known := w.written[version]; !known {
		w.written[version] = w.now()
	}
}

// aged tells the age of versions by the world's clock.
type aged struct {
	*s3store.Keeper
	*s3store.Contents
	world *world
}

func (a aged) at(v object.Stored) object.Stored {
	a.world.mu.Lock()
	defer a.world.mu.Unlock()
	if at, known := a.world.written[v.VersionID]; known {
		v.ModifiedAt = at
	}
	return v
}

func (a aged) Held(ctx context.Context, key string) ([]object.Stored, error) {
	held, err := a.Keeper.Held(ctx, key)
	for i := range held {
		held[i] = a.at(held[i])
	}
	return held, err
}

func (a aged) Versions(ctx context.Context, after string) iter.Seq2[object.Stored, error] {
	return func(yield func(object.Stored, error) bool) {
		for v, err := range a.Contents.Versions(ctx, after) {
			if !yield(a.at(v), err) {
				return
			}
		}
	}
}

// sweeper is a function instance with the given life.
func (w *world) sweeper(l *life) *sweeper.Handler {
	l.world = w
	return w.sweeperOver(l)
}

// sweeperOver is one whose calls go over transport.
func (w *world) sweeperOver(transport http.RoundTripper) *sweeper.Handler {
	store, objects := w.storeOver(transport), w.storage.client(transport)
	keeper := s3store.NewKeeper(objects, bucket)
	contents := aged{keeper, s3store.NewContents(objects, bucket), w}
	return sweeper.New(sweeper.Deps{
		Index: store, Catalog: store, Ender: store, Checkpoints: store,
		Closer: closing.New(keeper, store), Versions: contents, Contents: contents, Multiparts: contents,
		Metrics: w.metrics, Log: slog.New(slog.DiscardHandler), Now: w.now,
	})
}

// metricsOf tells what has been counted since it was last called, by metric.
func (w *world) metricsOf() map[string]int {
	w.t.Helper()
	w.reported.Reset()
	w.check(w.metrics.Flush())
	counted := map[string]int{}
	for lines := json.NewDecoder(&w.reported); lines.More(); {
		var document map[string]any
		w.check(lines.Decode(&document))
		for name, value := range document {
			if n, ok := value.(float64); ok && n > 0 {
				counted[name] += int(n)
			}
		}
	}
	return counted
}

// sweep runs a sweep by a process that lives.
func (w *world) sweep(what string) sweeper.Report {
	w.t.Helper()
	w.skipEmptyHours()
	report, err := w.sweeper(&life{}).Handle(context.Background(), sweeper.Request{Sweep: what})
	w.check(err)
	if !report.Complete || report.Failed > 0 {
		w.t.Fatalf("swept %+v", report)
	}
	return report
}

type nowhere struct{}

func (nowhere) Put(context.Context, batch.Letter) error { return nil }

// ingest is a function instance of s3-ingest with the given life.
func (w *world) ingest(l *life) *ingest.Handler {
	l.world = w
	store, objects := w.storeOver(l), w.storage.client(l)
	quarantine, log := s3store.NewQuarantine(objects, bucket), slog.New(slog.DiscardHandler)
	metrics := observe.NewMetrics(io.Discard, "test", w.now)
	return ingest.New(ingest.Parts{
		Inspector: quarantine, Quarantine: quarantine, Sealer: s3store.NewSealer(objects, bucket),
		Catalog: store, Settler: store, DeadLetters: nowhere{},
		Observer: observe.NewRecords(metrics, observe.NoTracer(), log, w.now), Metrics: metrics, Log: log,
	})
}

// deliver tells ingest of one version, and reports whether it was dealt with.
func (w *world) deliver(l *life, r events.S3EventRecord) bool {
	body, err := json.Marshal(events.S3Event{Records: []events.S3EventRecord{r}})
	w.check(err)
	resp, err := w.ingest(l).Handle(context.Background(), events.SQSEvent{Records: []events.SQSMessage{{MessageId: "m", Body: string(body), EventSourceARN: "arn:aws:sqs:x:y:z"}}})
	w.check(err)
	return len(resp.BatchItemFailures) == 0
}

// tell notes that a version was created, as S3 does.
func (w *world) tell(key, version string, size int64) {
	r := events.S3EventRecord{EventName: "ObjectCreated:Put", EventTime: time.Now()}
	r.S3.Object.Key, r.S3.Object.VersionID, r.S3.Object.Size = key, version, size
	w.mu.Lock()
	defer w.mu.Unlock()
	w.landed = append(w.landed, r)
}

func newID() string { return ulid.MustNew(ulid.Now(), rand.Reader).String() }

func sum(b []byte) string {
	s := sha256.Sum256(b)
	return base64.StdEncoding.EncodeToString(s[:])
}

// content is what the client of an upload has to send.
func content(u upload.Upload) []byte { return bytes.Repeat([]byte("x"), int(u.Size)) }

// openSingle opens an upload of size bytes as the API does.
func (w *world) openSingle(path string, size int64) upload.Upload {
	w.t.Helper()
	body := bytes.Repeat([]byte("x"), int(size))
	u, err := w.store.OpenUpload(context.Background(), w.ws, upload.Upload{
		Workspace: alpha, ID: newID(), ObjectID: newID(), Path: path, Size: size, ContentType: "text/plain", SHA256: sum(body),
		Mode: upload.Single, IfExists: upload.NewVersion, CreatedBy: "zoe", CreatedAt: w.now(), ExpiresAt: w.now().Add(75 * time.Minute),
	})
	w.check(err)
	return u
}

// openMultipart opens a multipart upload, and stops after some of its three steps.
func (w *world) openMultipart(path string, size int64, steps int) upload.Upload {
	w.t.Helper()
	u, err := w.store.OpenUpload(context.Background(), w.ws, upload.Upload{
		Workspace: alpha, ID: newID(), ObjectID: newID(), Path: path, Size: size, ContentType: "text/plain",
		Mode: upload.Multipart, PartSize: upload.DefaultPartSize(size), IfExists: upload.NewVersion,
		CreatedBy: "zoe", CreatedAt: w.now(), ExpiresAt: w.now().Add(7 * 24 * time.Hour),
	})
	w.check(err)
	if steps == 1 {
		return u
	}
	id, err := s3store.NewMultipart(w.objects, bucket).CreateMultipart(context.Background(), u)
	w.check(err)
	if steps == 2 {
		return u
	}
	u, err = w.store.StartMultipart(context.Background(), alpha, u.ID, id)
	w.check(err)
	return u
}

// put sends bytes as a signed PUT does, and returns the version that landed, if one did.
func (w *world) put(u upload.Upload, body []byte) string {
	out, err := w.objects.PutObject(context.Background(), &s3.PutObjectInput{
		Bucket: aws.String(bucket), Key: &u.S3Key, Body: bytes.NewReader(body), IfNoneMatch: aws.String("*"),
		ContentType: &u.ContentType, ChecksumSHA256: aws.String(sum(body)),
	})
	if err != nil {
		return ""
	}
	w.tell(u.S3Key, aws.ToString(out.VersionId), int64(len(body)))
	return aws.ToString(out.VersionId)
}

// part sends the one part of a multipart upload.
func (w *world) part(u upload.Upload) {
	_, _ = w.objects.UploadPart(context.Background(), &s3.UploadPartInput{ // refused once it was aborted
		Bucket: aws.String(bucket), Key: &u.S3Key, UploadId: &u.S3UploadID, PartNumber: aws.Int32(1), Body: bytes.NewReader(content(u)),
	})
}

// assemble has S3 complete a multipart upload, whatever the catalog says, as a call does
// that was on its way when everything else changed.
func (w *world) assemble(u upload.Upload) {
	m := s3store.NewMultipart(w.objects, bucket)
	parts, err := m.AllParts(context.Background(), u)
	if err != nil || len(parts) == 0 || m.CompleteMultipart(context.Background(), u, parts) != nil {
		return
	}
	head, err := w.objects.HeadObject(context.Background(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &u.S3Key})
	if err == nil {
		w.tell(u.S3Key, aws.ToString(head.VersionId), aws.ToInt64(head.ContentLength))
	}
}

// abort is DELETE /v1/uploads/{id}, by a function instance with the given life.
func (w *world) abort(l *life, id string) error {
	l.world = w
	store, objects := w.storeOver(l), w.storage.client(l)
	u, err := store.EndUpload(context.Background(), alpha, id, upload.Abort, upload.Client)
	if err != nil {
		return err
	}
	return closing.New(s3store.NewKeeper(objects, bucket), store).Close(context.Background(), u)
}

// expireRecords deletes the items whose time to live is over, as DynamoDB does.
func (w *world) expireRecords() {
	w.t.Helper()
	db := ddbtest.Client(nil)
	for pages := dynamodb.NewScanPaginator(db, &dynamodb.ScanInput{TableName: &w.table}); pages.HasMorePages(); {
		page, err := pages.NextPage(context.Background())
		w.check(err)
		for _, item := range page.Items {
			ttl, ok := item["ttl"].(*types.AttributeValueMemberN)
			if !ok {
				continue
			}
			if at, err := strconv.ParseInt(ttl.Value, 10, 64); err == nil && at < w.now().Unix() {
				_, err := db.DeleteItem(context.Background(), &dynamodb.DeleteItemInput{TableName: &w.table, Key: map[string]types.AttributeValue{"pk": item["pk"], "sk": item["sk"]}})
				w.check(err)
			}
		}
	}
}

// skipEmptyHours moves the place of the sweep over uploads to the first hour that holds
// anything, as passes that ran all the time would have.
func (w *world) skipEmptyHours() {
	w.t.Helper()
	first := w.now()
	pages := dynamodb.NewScanPaginator(ddbtest.Client(nil), &dynamodb.ScanInput{TableName: &w.table, IndexName: aws.String(catalog.ExpiryIndex)})
	for pages.HasMorePages() {
		page, err := pages.NextPage(context.Background())
		w.check(err)
		for _, item := range page.Items {
			due, err := time.Parse(time.RFC3339Nano, item["gsi3sk"].(*types.AttributeValueMemberS).Value)
			w.check(err)
			if due.Before(first) {
				first = due
			}
		}
	}
	c, err := w.store.Checkpoint(context.Background(), sweeper.Uploads)
	if err == nil && !strings.Contains(c.Mark, "hour") || fault.Is(err, fault.NotFound) {
		mark, err := json.Marshal(map[string]time.Time{"since": first.Truncate(time.Hour)})
		w.check(err)
		w.check(w.store.SaveCheckpoint(context.Background(), upload.Checkpoint{Sweep: sweeper.Uploads, Mark: string(mark), SavedAt: w.now()}))
	}
}

// stored are all versions of the bucket, by key and version.
func (w *world) stored() map[object.Location]int64 {
	w.t.Helper()
	found := map[object.Location]int64{}
	for v, err := range s3store.NewContents(w.objects, bucket).Versions(context.Background(), "") {
		w.check(err)
		found[v.Location] = v.Size
	}
	return found
}

// parts are the multipart uploads that S3 keeps.
func (w *world) parts() (keys []string) {
	w.t.Helper()
	for p, err := range s3store.NewContents(w.objects, bucket).Multiparts(context.Background(), "") {
		w.check(err)
		keys = append(keys, p.Key)
	}
	return keys
}

// wantClean checks that ended uploads hold nothing, that nothing belongs to nobody, and
// that nothing that belongs to somebody is gone. opened are all uploads there have been.
func (w *world) wantClean(opened []upload.Upload) error {
	stored := w.stored()
	var bytesKept int64
	objects := map[string]bool{}
	for _, u := range opened {
		v, err := w.store.Version(context.Background(), alpha, w.objectOf(u), u.ID)
		if err != nil || v.State != object.Available {
			continue
		}
		at := object.Location{Key: u.S3Key, VersionID: v.S3VersionID}
		if size, ok := stored[at]; !ok || size != u.Size {
			return fmt.Errorf("upload %s is available and its bytes are gone (%d)", u.ID, size)
		}
		delete(stored, at)
		bytesKept += u.Size
		objects[v.ObjectID] = true
	}
	if len(stored) > 0 {
		return fmt.Errorf("bytes without an owner: %v", stored)
	}
	if keys := w.parts(); len(keys) > 0 {
		return fmt.Errorf("parts without an owner: %v", keys)
	}
	usage, err := w.store.Usage(context.Background(), alpha)
	if err != nil {
		return err
	}
	want := workspace.Amount{Bytes: bytesKept, Objects: int64(len(objects))}
	if usage.Reserved != (workspace.Amount{}) || usage.Stored != want || usage.Total() != usage.Limit {
		return fmt.Errorf("usage is %+v, want nothing reserved and %+v stored", usage, want)
	}
	return nil
}

// objectOf is the object that an upload became a version of, or was opened for.
func (w *world) objectOf(u upload.Upload) string {
	if now, err := w.store.Upload(context.Background(), alpha, u.ID); err == nil {
		return now.ObjectID
	}
	return u.ObjectID
}

// empty removes all that is left, so that the next world finds an empty bucket.
func (w *world) empty() {
	w.t.Helper()
	w.emptyBucket()
	_, err := ddbtest.Client(nil).DeleteTable(context.Background(), &dynamodb.DeleteTableInput{TableName: &w.table})
	w.check(err)
}

func (w *world) emptyBucket() {
	w.t.Helper()
	for at := range w.stored() {
		_, err := w.objects.DeleteObject(context.Background(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &at.Key, VersionId: &at.VersionID})
		w.check(err)
	}
	out, err := w.objects.ListMultipartUploads(context.Background(), &s3.ListMultipartUploadsInput{Bucket: aws.String(bucket)})
	w.check(err)
	for _, u := range out.Uploads {
		w.check(w.discard(u))
	}
}

func (w *world) discard(u s3types.MultipartUpload) error {
	_, err := w.objects.AbortMultipartUpload(context.Background(), &s3.AbortMultipartUploadInput{Bucket: aws.String(bucket), Key: u.Key, UploadId: u.UploadId})
	return err
}
