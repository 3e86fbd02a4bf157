package completer_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/oklog/ulid/v2"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/functions/internal/completer"
	"github.com/stowage-dev/stowage/functions/internal/ingest"
	s3engine "github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/completion"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/limits"
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

// TestMain runs a DynamoDB engine beside the tests, and is the S3 engine when it is started
// as that.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3engine.Command {
		os.Exit(s3engine.Main(os.Args, os.Stdin))
	}
	os.Exit(ddbtest.Main(m))
}

// world is a catalog with the workspace alpha, and a bucket.
type world struct {
	t        *testing.T
	endpoint string
	session  aws.CredentialsProvider
	table    string
	ws       workspace.Workspace
	// calm sees both stores with nobody in between.
	calm *side
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, table: ddbtest.NewTable(t, ddbtest.Client(nil), catalog.MainTable())}
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
	session, _, err := issuer.IssueSession(identity.Session{RoleARN: "arn:aws:iam::000000000000:role/Completer", Name: "test", Duration: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	w.endpoint = engine.Endpoint()
	w.session = credentials.NewStaticCredentialsProvider(session.AccessKeyID, session.SecretAccessKey, session.SessionToken)
	w.calm = w.side(http.DefaultTransport)
	w.ws = workspace.Workspace{
		ID: alpha, Name: "Alpha", CreatedAt: time.Now(), CreatedBy: "ops",
		Quota: workspace.DefaultQuota(), Types: workspace.DefaultTypePolicy(), Shards: 2,
	}
	owner := workspace.Member{Workspace: alpha, Sub: "zoe", Role: workspace.Owner, CreatedAt: time.Now(), CreatedBy: "ops"}
	if err := w.calm.store.CreateWorkspace(t.Context(), w.ws, owner); err != nil {
		t.Fatal(err)
	}
	return w
}

// side is both stores as one actor sees them.
type side struct {
	w       *world
	client  *s3.Client
	keeper  *s3store.Keeper
	store   *ddbstore.Store
	queue   queue
	letters letters
}

// side returns the stores over a transport of its own.
func (w *world) side(transport http.RoundTripper) *side {
	client := s3.New(s3.Options{
		Region: region, BaseEndpoint: &w.endpoint, UsePathStyle: true, Credentials: w.session,
		HTTPClient: &http.Client{Transport: transport},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxAttempts, o.MaxBackoff, o.RateLimiter = 2, time.Millisecond, ratelimit.None
		}),
	})
	return &side{
		w: w, client: client, keeper: s3store.NewKeeper(client, bucket),
		store: ddbstore.New(ddbtest.Client(transport), ddbstore.Config{
			Table: w.table, Retry: ddbstore.Retry{Base: time.Millisecond, Cap: 5 * time.Millisecond, Attempts: 50},
		}),
	}
}

// queue keeps the messages that were sent.
type queue struct {
	mu     sync.Mutex
	bodies []string
	err    error
}

func (q *queue) Send(_ context.Context, body []byte, delay time.Duration) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if delay != completion.Delay {
		return errors.New("sent without the delay")
	}
	if q.err == nil {
		q.bodies = append(q.bodies, string(body))
	}
	return q.err
}

// letters keeps dead letters in memory.
type letters struct {
	mu  sync.Mutex
	got []batch.Letter
}

func (l *letters) Put(_ context.Context, letter batch.Letter) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, letter)
	return nil
}

// completions completes uploads for clients.
func (s *side) completions() *completion.Completer {
	return completion.New(completion.Deps{
		Catalog: s.store, Storage: s.keeper.Multipart, Queue: &s.queue, Log: slog.New(slog.DiscardHandler), Now: time.Now,
	})
}

// finish hands a message to the function's handler, by a clock that is ahead, and reports
// whether it was handed back.
func (s *side) finish(ctx context.Context, body string, ahead time.Duration) bool {
	log, metrics := slog.New(slog.DiscardHandler), observe.NewMetrics(io.Discard, "test", time.Now)
	h := completer.New(completer.Parts{
		Storage: s.keeper.Multipart, Catalog: s.store, Settler: s.store, DeadLetters: &s.letters,
		Observer: observe.NewRecords(metrics, observe.NoTracer(), log, time.Now),
		Metrics:  metrics, Log: log,
		Now:   func() time.Time { return time.Now().Add(ahead) },
		Pause: func(ctx context.Context, _ int) error { return ctx.Err() },
	})
	var ev events.SQSEvent
	if err := json.Unmarshal(samples.Read("sqs/upload-completion"), &ev); err != nil {
		s.w.t.Error(err)
	}
	ev.Records[0].Body = body
	resp, err := h.Handle(ctx, ev)
	if err != nil {
		s.w.t.Error(err)
	}
	return len(resp.BatchItemFailures) > 0
}

func message(u upload.Upload) string {
	body, err := json.Marshal(completion.Message{Workspace: u.Workspace, Upload: u.ID})
	if err != nil {
		panic(err)
	}
	return string(body)
}

// ingest delivers the event of every version at the upload's key.
func (s *side) ingest(ctx context.Context, u upload.Upload) {
	log, metrics := slog.New(slog.DiscardHandler), observe.NewMetrics(io.Discard, "test", time.Now)
	q := s3store.NewQuarantine(s.client, bucket)
	h := ingest.New(ingest.Parts{
		Inspector: q, Quarantine: q, Sealer: s.keeper.Sealer, Catalog: s.store, Settler: s.store, DeadLetters: &s.letters,
		Observer: observe.NewRecords(metrics, observe.NoTracer(), log, time.Now), Metrics: metrics, Log: log,
	})
	for _, v := range s.w.versions(u) {
		var created events.S3Event
		if err := json.Unmarshal(samples.Read("s3/object-created-multipart"), &created); err != nil {
			s.w.t.Error(err)
		}
		r := &created.Records[0]
		r.S3.Object.Key, r.S3.Object.VersionID, r.S3.Object.Size = u.S3Key, v.VersionID, v.Size
		body, err := json.Marshal(created)
		if err != nil {
			s.w.t.Error(err)
		}
		var ev events.SQSEvent
		if err := json.Unmarshal(samples.Read("sqs/s3-object-created"), &ev); err != nil {
			s.w.t.Error(err)
		}
		ev.Records[0].Body = string(body)
		if _, err := h.Handle(ctx, ev); err != nil { // what is handed back comes again
			s.w.t.Error(err)
		}
	}
}

// end ends an upload as its client or the sweeper does, and clears up behind it.
func (s *side) end(ctx context.Context, u upload.Upload, e upload.Event, by upload.Actor) error {
	ended, err := s.store.EndUpload(ctx, alpha, u.ID, e, by)
	if err != nil {
		return err
	}
	return s.clear(ctx, ended)
}

func (s *side) clear(ctx context.Context, ended upload.Upload) error {
	if err := s.keeper.AbortUntilGone(ctx, ended); err != nil {
		return err
	}
	if err := s.keeper.Seal(ctx, ended.S3Key); err != nil {
		return err
	}
	return s.store.ReleaseUpload(ctx, alpha, ended.ID)
}

// open opens a multipart upload of body at path and stores all parts.
func (w *world) open(path string, body []byte, edit func(*upload.Upload)) upload.Upload {
	w.t.Helper()
	ctx := w.t.Context()
	u := upload.Upload{
		Workspace: alpha, ID: id(), ObjectID: id(), Path: path, Size: int64(len(body)), ContentType: "text/plain",
		Mode: upload.Multipart, PartSize: limits.S3MinPartBytes, IfExists: upload.Fail,
		CreatedBy: "zoe", CreatedAt: time.Now(), ExpiresAt: time.Now().Add(limits.MultipartLife),
	}
	if edit != nil {
		edit(&u)
	}
	u, err := w.calm.store.OpenUpload(ctx, w.ws, u)
	if err != nil {
		w.t.Fatal(err)
	}
	s3id, err := w.calm.keeper.CreateMultipart(ctx, u)
	if err != nil {
		w.t.Fatal(err)
	}
	if u, err = w.calm.store.StartMultipart(ctx, alpha, u.ID, s3id); err != nil {
		w.t.Fatal(err)
	}
	for _, p := range u.FirstParts(limits.S3MaxParts) {
		from := int64(p.Number-1) * u.PartSize
		if err := w.calm.send(ctx, u, p.Number, body[from:from+p.Size]); err != nil {
			w.t.Fatal(err)
		}
	}
	return u
}

// send stores one part.
func (s *side) send(ctx context.Context, u upload.Upload, number int, body []byte) error {
	_, err := s.client.UploadPart(ctx, &s3.UploadPartInput{
		Bucket: aws.String(bucket), Key: &u.S3Key, UploadId: &u.S3UploadID, PartNumber: aws.Int32(int32(number)), Body: bytes.NewReader(body),
	})
	return err
}

// version is one version of a key, with the verdict on it.
type version struct {
	VersionID string
	Size      int64
	Verdict   string
}

// versions lists what is stored at the upload's key.
func (w *world) versions(u upload.Upload) []version {
	w.t.Helper()
	list, err := w.calm.client.ListObjectVersions(w.t.Context(), &s3.ListObjectVersionsInput{Bucket: aws.String(bucket), Prefix: &u.S3Key})
	if err != nil {
		w.t.Fatal(err)
	}
	var all []version
	for _, v := range list.Versions {
		found := version{VersionID: aws.ToString(v.VersionId), Size: aws.ToInt64(v.Size)}
		tags, err := w.calm.client.GetObjectTagging(w.t.Context(), &s3.GetObjectTaggingInput{Bucket: aws.String(bucket), Key: &u.S3Key, VersionId: v.VersionId})
		for i := range tagsOf(tags, err) {
			if tag := tags.TagSet[i]; aws.ToString(tag.Key) == object.VerdictTag {
				found.Verdict = aws.ToString(tag.Value)
			}
		}
		all = append(all, found)
	}
	return all
}

// tagsOf is how many tags there are: none of a version that is gone.
func tagsOf(tags *s3.GetObjectTaggingOutput, err error) int {
	if err != nil {
		return 0
	}
	return len(tags.TagSet)
}

func (w *world) upload(u upload.Upload) upload.Upload {
	w.t.Helper()
	now, err := w.calm.store.Upload(w.t.Context(), alpha, u.ID)
	if err != nil {
		w.t.Fatal(err)
	}
	return now
}

func (w *world) usage() workspace.Usage {
	w.t.Helper()
	usage, err := w.calm.store.Usage(w.t.Context(), alpha)
	if err != nil {
		w.t.Fatal(err)
	}
	return usage
}

// id returns a new ULID.
func id() string { return ulid.MustNew(ulid.Now(), rand.Reader).String() }
