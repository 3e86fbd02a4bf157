package deadletter_test

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"
	"github.com/oklog/ulid/v2"
	"pgregory.net/rapid"

	s3engine "github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/deadletter"
	"github.com/stowage-dev/stowage/shared/fault"
)

// TestMain is the S3 engine when it is started as that.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3engine.Command {
		os.Exit(s3engine.Main(os.Args, os.Stdin))
	}
	os.Exit(m.Run())
}

const bucket = "dead-letters"

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
		Dir: t.TempDir(), Region: "eu-west-1", MasterKey: master,
		Buckets: []s3engine.Bucket{{Name: bucket}},
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
	got, _, err := issuer.IssueSession(identity.Session{RoleARN: "arn:aws:iam::000000000000:role/R", Name: "test", Duration: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return s3.New(s3.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(engine.Endpoint()), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(got.AccessKeyID, got.SecretAccessKey, got.SessionToken),
	})
}

// read returns every letter in the bucket, by key.
func read(t *testing.T, client *s3.Client) map[string]deadletter.Document {
	t.Helper()
	list, err := client.ListObjectsV2(t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil {
		t.Fatal(err)
	}
	docs := map[string]deadletter.Document{}
	for _, o := range list.Contents {
		got, err := client.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: o.Key})
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(got.Body)
		if err != nil {
			t.Fatal(err)
		}
		var doc deadletter.Document
		if err := json.Unmarshal(body, &doc); err != nil {
			t.Fatal(err)
		}
		docs[*o.Key] = doc
	}
	return docs
}

func TestLetters(t *testing.T) {
	client := startS3(t)
	now := time.Date(2026, 11, 23, 0, 0, 1, 0, time.UTC)
	box := deadletter.NewBox(client, bucket, "Ingest", func() time.Time { return now })
	ctx := lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "request-1"})
	sent := time.Date(2026, 11, 22, 23, 59, 59, 0, time.UTC)
	letters := []batch.Letter{
		{ID: "queue/1", Time: sent, Err: fault.New(fault.NotFound, "no upload is known"), Payload: []byte(`{"body":"x"}`)},
		{ID: "queue/1", Time: sent, Err: fault.New(fault.NotFound, "no upload is known"), Payload: []byte(`{"body":"x"}`)}, // again
		{ID: "queue/2", Time: sent, Err: errors.New("odd"), Payload: []byte("\x00 not JSON")},
	}
	for _, l := range letters {
		if err := box.Put(ctx, l); err != nil {
			t.Fatal(err)
		}
	}
	got := read(t, client)
	if len(got) != 2 {
		t.Fatalf("%d letters are kept, want 2", len(got))
	}
	want := map[string]deadletter.Document{
		"queue/1": {ID: "queue/1", Function: "Ingest", RequestID: "request-1", At: now, Error: deadletter.Error{Code: fault.NotFound, Message: "no upload is known"}, Record: json.RawMessage(`{"body":"x"}`)},
		"queue/2": {ID: "queue/2", Function: "Ingest", RequestID: "request-1", At: now, Error: deadletter.Error{Code: fault.Internal, Message: "odd"}, Record: json.RawMessage(`"\u0000 not JSON"`)},
	}
	for key, doc := range got {
		if !strings.HasPrefix(key, "dead/Ingest/2026/11/22/") || !strings.HasSuffix(key, ".json") {
			t.Errorf("a letter of the day before is kept under %s", key)
		}
		if diff := cmp.Diff(want[doc.ID], doc); diff != "" {
			t.Errorf("letter (-want +got):\n%s", diff)
		}
	}
}

func TestBucketOutOfReach(t *testing.T) {
	box := deadletter.NewBox(s3.New(s3.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String("http://127.0.0.1:1"), Retryer: aws.NopRetryer{}, UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}), bucket, "Ingest", time.Now)
	err := box.Put(t.Context(), batch.Letter{ID: "1", Err: errors.New("x"), Payload: []byte("{}")})
	if err == nil || !strings.Contains(err.Error(), "s3://"+bucket+"/dead/Ingest/") {
		t.Errorf("got %v, want an error that names the key", err)
	}
}

// TestKeys: a record has one key, whenever it is written; two records have two.
func TestKeys(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		at := time.UnixMilli(rapid.Int64Range(0, 4e12).Draw(t, "time"))
		a, b := rapid.String().Draw(t, "a"), rapid.String().Draw(t, "b")
		key := func(id string, now time.Time) string {
			k, err := deadletter.Key("F", batch.Letter{ID: id, Time: at}, now)
			if err != nil {
				t.Fatal(err)
			}
			return k
		}
		first, again := key(a, at), key(a, at.Add(time.Hour))
		if first != again {
			t.Errorf("%q is kept under %s and then %s", a, first, again)
		}
		if (a == b) != (first == key(b, at)) {
			t.Errorf("%q and %q are kept under %s", a, b, first)
		}
		name := strings.TrimSuffix(first[strings.LastIndexByte(first, '/')+1:], ".json")
		id, err := ulid.ParseStrict(name)
		if err != nil || id.Timestamp().UnixMilli() != at.UnixMilli() {
			t.Errorf("%s names the time %s, want %s", name, id.Timestamp(), at)
		}
	})
}

func TestKeyOfAnImpossibleTime(t *testing.T) {
	now := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, at := range []time.Time{{}, time.Date(1969, 12, 31, 23, 59, 59, 0, time.UTC), time.Date(20000, 1, 1, 0, 0, 0, 0, time.UTC)} {
		key, err := deadletter.Key("F", batch.Letter{ID: "1", Time: at}, now)
		if err != nil || !strings.HasPrefix(key, "dead/F/2026/11/22/") {
			t.Errorf("a letter of %s is kept under %s, error %v", at, key, err)
		}
	}
}
