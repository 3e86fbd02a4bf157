package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	s3engine "github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/queue"
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

const (
	region     = "eu-central-1"
	bucket     = "dead-letters"
	queueARN   = "arn:aws:sqs:eu-central-1:000000000000:"
	mappingARN = "arn:aws:lambda:eu-central-1:000000000000:function:"
	developer  = "arn:aws:iam::000000000000:user/developer"
)

// world is a stack: the queues, the S3 engine, and functions, behind one endpoint.
type world struct {
	t       *testing.T
	began   time.Time // of every record
	dev     string    // file
	broker  *queue.Broker
	objects *s3.Client

	mu        sync.Mutex
	functions map[string]func(payload []byte) (answer, failure string)
	invoked   []string // payloads

	proxy http.Handler // to the S3 engine
}

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, began: time.Now(), functions: map[string]func([]byte) (string, string){}}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)

	declared := func(name, target string) queue.Queue {
		q := queue.Queue{Name: name, ARN: queueARN + name, URL: server.URL + "/000000000000/" + name}
		if target != "" {
			q.RedriveTarget, q.MaxReceiveCount = queueARN+target, 1
		}
		return q
	}
	var err error
	w.broker, err = queue.Open(queue.Config{Queues: []queue.Queue{
		declared("ingest", "ingest-dead"), declared("ingest-dead", ""), declared("pictures", "pictures-dead"), declared("pictures-dead", ""),
	}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.broker.Close(); err != nil {
			t.Error(err)
		}
	})

	session, endpoint := startS3(t)
	w.objects = s3.New(s3.Options{
		Region: region, BaseEndpoint: aws.String(endpoint), UsePathStyle: true,
		Credentials: credentials.NewStaticCredentialsProvider(session.AccessKeyID, session.SecretAccessKey, ""),
	})
	target, err := url.Parse(endpoint)
	if err != nil {
		t.Fatal(err)
	}
	w.proxy = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) {
		r.SetURL(target)
		r.Out.Host = r.In.Host // it is signed
	}}
	text, err := json.Marshal(map[string]any{
		"s3Endpoint": server.URL, "region": region, "accessKeyId": session.AccessKeyID, "secretAccessKey": session.SecretAccessKey,
		"deadLetterBucket": bucket,
		"deadLetterQueues": []string{server.URL + "/000000000000/ingest-dead", server.URL + "/000000000000/pictures-dead"},
	})
	if err != nil {
		t.Fatal(err)
	}
	w.dev = filepath.Join(t.TempDir(), "dev.json")
	if err := os.WriteFile(w.dev, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

// startS3 runs the real S3 engine and returns keys to it.
func startS3(t *testing.T) (identity.Credentials, string) {
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
		Dir: t.TempDir(), Region: region, MasterKey: master, Buckets: []s3engine.Bucket{{Name: bucket}}, Users: []string{developer},
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
	return issuer.IssueUser(developer), engine.Endpoint()
}

// ServeHTTP tells the services apart, as the local gateway does by their signatures.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	switch {
	case strings.HasPrefix(r.Header.Get("X-Amz-Target"), "AmazonSQS."):
		w.broker.ServeHTTP(rw, r)
	case strings.HasPrefix(r.URL.Path, "/2015-03-31/functions/"):
		w.invoke(rw, r)
	default:
		w.proxy.ServeHTTP(rw, r)
	}
}

// invoke answers as Lambda does.
func (w *world) invoke(rw http.ResponseWriter, r *http.Request) {
	name := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/2015-03-31/functions/"), "/invocations")
	payload, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Error(err)
	}
	w.mu.Lock()
	w.invoked = append(w.invoked, string(payload))
	function := w.functions[strings.TrimPrefix(name, mappingARN)]
	w.mu.Unlock()
	if function == nil {
		rw.Header().Set("X-Amzn-Errortype", "ResourceNotFoundException")
		rw.WriteHeader(http.StatusNotFound)
		return
	}
	answer, failure := function(payload)
	if failure != "" {
		rw.Header().Set("X-Amz-Function-Error", failure)
	}
	_, _ = io.WriteString(rw, answer)
}

// run runs the command and returns what it printed.
func (w *world) run(args ...string) (string, error) {
	w.t.Helper()
	var out bytes.Buffer
	err := run(w.t.Context(), append(args, "-dev", w.dev, "-wait", "0s"), &out, io.Discard, time.Now)
	return out.String(), err
}

func (w *world) must(args ...string) string {
	w.t.Helper()
	out, err := w.run(args...)
	if err != nil {
		w.t.Fatalf("%v: %v\n%s", args, err, out)
	}
	return out
}

// send puts a message into a queue.
func (w *world) send(name, body string, attributes map[string]string) {
	w.t.Helper()
	m := queue.Message{Body: body, Attributes: map[string]queue.Attribute{}}
	for key, value := range attributes {
		m.Attributes[key] = queue.StringAttribute(value)
	}
	if _, err := w.broker.Send(w.t.Context(), queueARN+name, m); err != nil {
		w.t.Fatal(err)
	}
}

// take receives and removes everything that can be received now.
func (w *world) take(name string) []string {
	w.t.Helper()
	var bodies []string
	for {
		got, err := w.broker.Receive(w.t.Context(), queueARN+name, queue.ReceiveInput{Max: 10, Wait: new(time.Duration)})
		if err != nil {
			w.t.Fatal(err)
		}
		if len(got) == 0 {
			return bodies
		}
		for _, m := range got {
			bodies = append(bodies, m.Body)
			if err := w.broker.Delete(w.t.Context(), queueARN+name, m.ReceiptHandle); err != nil {
				w.t.Fatal(err)
			}
		}
	}
}

// put writes a letter as a function does.
func (w *world) put(function, id, record string, age time.Duration, why error) {
	w.t.Helper()
	box := deadletter.NewBox(w.objects, bucket, function, func() time.Time { return time.Now().Add(-age) })
	if err := box.Put(w.t.Context(), batch.Letter{ID: id, Time: w.began, Err: why, Payload: []byte(record)}); err != nil {
		w.t.Fatal(err)
	}
}

// giveUp writes a batch as a stream's mapping does.
func (w *world) giveUp(function, key, payload string) {
	w.t.Helper()
	body, err := json.Marshal(map[string]any{
		"requestContext":     map[string]any{"functionArn": mappingARN + function, "condition": "RetryAttemptsExhausted", "approximateInvokeCount": 11},
		"responseContext":    map[string]any{"functionError": "Unhandled"},
		"version":            "1.0",
		"timestamp":          time.Now().UTC().Format("2006-01-02T15:04:05.000Z"),
		"DDBStreamBatchInfo": map[string]any{"batchSize": 1},
		"payload":            payload,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	_, err = w.objects.PutObject(w.t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("aws/lambda/" + key), Body: bytes.NewReader(body)})
	if err != nil {
		w.t.Fatal(err)
	}
}

// keys are what lies in the bucket.
func (w *world) keys() []string {
	w.t.Helper()
	out, err := w.objects.ListObjectsV2(w.t.Context(), &s3.ListObjectsV2Input{Bucket: aws.String(bucket)})
	if err != nil {
		w.t.Fatal(err)
	}
	var keys []string
	for _, o := range out.Contents {
		keys = append(keys, aws.ToString(o.Key))
	}
	return keys
}

const done = `{"batchItemFailures":[]}`

// function makes a function that always answers the same.
func (w *world) function(name, answer, failure string) {
	w.on(name, func([]byte) (string, string) { return answer, failure })
}

func (w *world) on(name string, do func(payload []byte) (string, string)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.functions[name] = do
}

var errRefused = fault.Wrap(fault.NotFound, errors.New("no upload is known"), "there is no such upload")
