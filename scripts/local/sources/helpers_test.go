package sources_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/scripts/local/child"
	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/sources"
)

const (
	functionARN = "arn:aws:lambda:us-east-1:000000000000:function:fn"
	queuePrefix = "arn:aws:sqs:us-east-1:000000000000:"
	streamARN   = "arn:aws:dynamodb:eu-west-1:000000000000:table/catalog/stream/2026-01-01T00:00:00.000"
)

// engine is the URL of the DynamoDB engine that TestMain runs.
var engine string

// functionBinary is testdata/function, built by TestMain.
var functionBinary string

func TestMain(m *testing.M) {
	code, err := runTests(m)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

func runTests(m *testing.M) (int, error) {
	dir, err := os.MkdirTemp("", "stowage-sources-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	functionBinary = filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", functionBinary, "./testdata/function")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the test function: %w\n%s", err, out)
	}
	process, url, err := startEngine(dir)
	if err != nil {
		return 0, err
	}
	engine = url
	if err := flag.Set("rapid.checks", "25"); err != nil { // each takes a good part of a second
		return 0, err
	}
	code := m.Run()
	return code, process.Stop(time.Second)
}

// startEngine runs the DynamoDB engine of the local runtime, or uses the one that
// STOWAGE_DYNAMODB_ENDPOINT names.
func startEngine(dir string) (*child.Process, string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, "", err
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		return nil, "", err
	}
	binary, err := filepath.Abs("../../../node_modules/@dynoxide/linux-x64/dynoxide")
	if err != nil {
		return nil, "", err
	}
	process, err := child.Start(exec.Command(binary, "--port", fmt.Sprint(port), "--db-path", filepath.Join(dir, "tables.db")))
	if err != nil {
		return nil, "", fmt.Errorf("the tests need the DynamoDB engine (npm ci): %w", err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			return process, "http://" + address, connection.Close()
		}
		if time.Now().After(deadline) {
			return nil, "", fmt.Errorf("the DynamoDB engine did not start: %w: %s", err, process.Stderr())
		}
	}
}

func database() *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region: "us-east-1", BaseEndpoint: &engine, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	})
}

// tables counts the tables of the tests, to name them.
var tables atomic.Int64

// table makes a table with a stream, named after the test.
func table(tb testing.TB) string {
	tb.Helper()
	name := strings.NewReplacer("/", "-", "#", "-", " ", "-").Replace(tb.Name()) + fmt.Sprint("-", tables.Add(1))
	_, err := database().CreateTable(context.Background(), &dynamodb.CreateTableInput{
		TableName: &name, BillingMode: types.BillingModePayPerRequest,
		KeySchema:            []types.KeySchemaElement{{AttributeName: aws.String("pk"), KeyType: types.KeyTypeHash}},
		AttributeDefinitions: []types.AttributeDefinition{{AttributeName: aws.String("pk"), AttributeType: types.ScalarAttributeTypeS}},
		StreamSpecification:  &types.StreamSpecification{StreamEnabled: aws.Bool(true), StreamViewType: types.StreamViewTypeNewAndOldImages},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return name
}

// put writes version n of an item.
func put(tb testing.TB, table, item string, n int) {
	tb.Helper()
	_, err := database().PutItem(context.Background(), &dynamodb.PutItemInput{TableName: &table, Item: map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: item}, "n": &types.AttributeValueMemberN{Value: fmt.Sprint(n)},
	}})
	if err != nil {
		tb.Fatal(err)
	}
}

// record is what the tests read of a function's event.
type record struct {
	EventName string `json:"eventName"`
	DynamoDB  struct {
		Sequence string                       `json:"SequenceNumber"`
		NewImage map[string]map[string]string `json:"NewImage"`
	} `json:"dynamodb"`
	MessageID string `json:"messageId"`
	Body      string `json:"body"`
}

// name is "item.version" of a stream's record, the body of a message.
func (r record) name() string {
	if r.Body != "" {
		return r.Body
	}
	return r.DynamoDB.NewImage["pk"]["S"] + "." + r.DynamoDB.NewImage["n"]["N"]
}

// scripted is a function: it is called with the names of a batch's records and
// answers as it is told.
type scripted struct {
	answer func(batch []record) (payload string, functionError string, err error)

	mu      sync.Mutex
	batches [][]string
	events  []string
	called  chan struct{}
}

func scriptedFunction(answer func(batch []record) (string, string, error)) *scripted {
	return &scripted{answer: answer, called: make(chan struct{}, 1000)}
}

// succeeding is a function that never fails.
func succeeding() *scripted {
	return scriptedFunction(func([]record) (string, string, error) { return "null", "", nil })
}

func (f *scripted) Invoke(_ context.Context, function string, payload []byte) (lambda.Response, error) {
	if function != functionARN {
		return lambda.Response{}, fmt.Errorf("unknown function %s", function)
	}
	var event struct {
		Records []record `json:"Records"`
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return lambda.Response{}, err
	}
	answer, functionError, err := f.answer(event.Records)
	if err != nil {
		return lambda.Response{}, err
	}
	names := make([]string, len(event.Records))
	for i, r := range event.Records {
		names[i] = r.name()
	}
	f.mu.Lock()
	f.batches = append(f.batches, names)
	f.events = append(f.events, string(payload))
	f.mu.Unlock()
	f.called <- struct{}{}
	return lambda.Response{RequestID: "request", Payload: []byte(answer), FunctionError: functionError}, nil
}

// seen lists the batches so far.
func (f *scripted) seen() [][]string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return append([][]string(nil), f.batches...)
}

func (f *scripted) names() []string {
	var all []string
	for _, batch := range f.seen() {
		all = append(all, batch...)
	}
	return all
}

func (f *scripted) event(i int) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.events[i]
}

// waitFor waits for n invocations.
func (f *scripted) waitFor(tb testing.TB, n int) {
	tb.Helper()
	for i := range n {
		select {
		case <-f.called:
		case <-time.After(10 * time.Second):
			tb.Fatalf("%d of %d invocations: %v", i, n, f.seen())
		}
	}
}

// failures is a partial batch response.
func failures(ids ...string) string {
	list := []map[string]string{}
	for _, id := range ids {
		list = append(list, map[string]string{"itemIdentifier": id})
	}
	answer, err := json.Marshal(map[string]any{"batchItemFailures": list})
	if err != nil {
		panic(err)
	}
	return string(answer)
}

// runner runs mappings until stop, or the test's end.
func runner(tb testing.TB, cfg sources.Config) (r *sources.Runner, stop func()) {
	tb.Helper()
	r, err := sources.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				tb.Error(err)
			}
		})
	}
	tb.Cleanup(stop)
	return r, stop
}

// objects collects what is put into buckets.
type objects struct {
	mu   sync.Mutex
	keys []string
	put  chan []byte
}

func newObjects() *objects { return &objects{put: make(chan []byte, 100)} }

func (o *objects) PutObject(_ context.Context, _, bucket, key string, body []byte) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.keys = append(o.keys, bucket+"/"+key)
	o.put <- body
	return nil
}

func receive[T any](tb testing.TB, from <-chan T) T {
	tb.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(10 * time.Second):
		tb.Fatal("nothing arrived")
		panic("unreachable")
	}
}

func eventually(tb testing.TB, what string, ok func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(2 * time.Millisecond) {
		if ok() {
			return
		}
	}
	tb.Fatal(what)
}

// strict decodes and refuses what v has no field for.
func strict(tb testing.TB, raw string, v any) {
	tb.Helper()
	decoder := json.NewDecoder(bytes.NewReader([]byte(raw)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(v); err != nil {
		tb.Fatalf("%v in %s", err, raw)
	}
}

func ptr[T any](v T) *T { return &v }
