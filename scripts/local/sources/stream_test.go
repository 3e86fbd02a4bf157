package sources_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/sources"
)

// mapping is a stream mapping of a table, which the test may change.
func mapping(table string) sources.StreamMapping {
	return sources.StreamMapping{ID: "mapping", Table: table, StreamARN: streamARN, FunctionARN: functionARN, MaxRetries: -1}
}

func streamConfig(f sources.Invoker, m sources.StreamMapping) sources.Config {
	return sources.Config{
		Streams: []sources.StreamMapping{m}, Invoker: f, StreamEndpoint: engine, Region: "eu-west-1",
		StreamRetryDelay: func(int) time.Duration { return time.Millisecond },
	}
}

func TestStreamRecordsHaveLambdasShape(t *testing.T) {
	name := table(t)
	put(t, name, "a", 1)
	put(t, name, "a", 1) // changes nothing: DynamoDB would make no record
	put(t, name, "a", 2)
	_, err := database().DeleteItem(context.Background(), &dynamodb.DeleteItemInput{TableName: &name, Key: map[string]types.AttributeValue{"pk": &types.AttributeValueMemberS{Value: "a"}}})
	if err != nil {
		t.Fatal(err)
	}
	f := succeeding()
	runner(t, streamConfig(f, mapping(name)))
	f.waitFor(t, 1)
	var event events.DynamoDBEvent
	strict(t, f.event(0), &event)
	var kinds []string
	for _, r := range event.Records {
		kinds = append(kinds, r.EventName)
		if r.EventSourceArn != streamARN || r.AWSRegion != "eu-west-1" || r.EventSource != "aws:dynamodb" || r.EventVersion != "1.1" || r.EventID == "" {
			t.Errorf("record %+v", r)
		}
		if age := time.Since(r.Change.ApproximateCreationDateTime.Time); age < 0 || age > time.Minute {
			t.Errorf("created %s ago", age)
		}
	}
	if !slices.Equal(kinds, []string{"INSERT", "MODIFY", "REMOVE"}) {
		t.Fatalf("records %v", kinds)
	}
	modify := event.Records[1].Change
	if modify.OldImage["n"].Number() != "1" || modify.NewImage["n"].Number() != "2" || modify.Keys["pk"].String() != "a" || modify.StreamViewType != "NEW_AND_OLD_IMAGES" {
		t.Errorf("change %+v", modify)
	}
}

func TestStreamGoesOnAfterARestart(t *testing.T) {
	name := table(t)
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	var want []string
	var got []string
	for round := range 4 {
		for i := range 25 {
			put(t, name, fmt.Sprint("i", i%5), round*100+i)
			want = append(want, fmt.Sprintf("i%d.%d", i%5, round*100+i))
		}
		f := succeeding()
		m := mapping(name)
		m.BatchSize = 7
		cfg := streamConfig(f, m)
		cfg.CheckpointPath = path
		_, stop := runner(t, cfg)
		eventually(t, "not everything arrived", func() bool { return len(f.names()) >= 25 })
		time.Sleep(20 * time.Millisecond) // for the checkpoint, and for what must not come
		stop()
		got = append(got, f.names()...)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

func TestStreamFromLatest(t *testing.T) {
	name := table(t)
	put(t, name, "before", 1)
	m := mapping(name)
	m.FromLatest = true
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	f := succeeding()
	cfg := streamConfig(f, m)
	cfg.CheckpointPath = path
	_, stop := runner(t, cfg)
	time.Sleep(100 * time.Millisecond)
	stop()
	put(t, name, "after", 1) // written while nobody read: it is after where the mapping began
	runner(t, cfg)
	f.waitFor(t, 1)
	if got := f.names(); !slices.Equal(got, []string{"after.1"}) {
		t.Errorf("got %v", got)
	}
}

func TestReportedFailureIsTheCheckpoint(t *testing.T) {
	name := table(t)
	for i := range 5 {
		put(t, name, "a", i)
	}
	failed := false
	f := scriptedFunction(func(batch []record) (string, string, error) {
		if failed {
			return `{"batchItemFailures":[]}`, "", nil
		}
		failed = true // the order of the identifiers does not matter, the lowest does
		return failures(batch[3].DynamoDB.Sequence, batch[1].DynamoDB.Sequence), "", nil
	})
	m := mapping(name)
	m.ReportBatchItemFailures = true
	runner(t, streamConfig(f, m))
	f.waitFor(t, 2)
	want := [][]string{{"a.0", "a.1", "a.2", "a.3", "a.4"}, {"a.1", "a.2", "a.3", "a.4"}}
	if got := f.seen(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("batches %v, want %v", got, want)
	}
}

func TestAnswersThatFailOrPassAWholeStreamBatch(t *testing.T) {
	tests := map[string]struct {
		answer string
		fails  bool
	}{
		"null": {"null", false}, "no list": {"{}", false}, "null list": {`{"batchItemFailures":null}`, false},
		"empty list": {`{"batchItemFailures":[]}`, false}, "no answer": {"", false},
		"null id": {`{"batchItemFailures":[{"itemIdentifier":null}]}`, true}, "empty id": {`{"batchItemFailures":[{"itemIdentifier":""}]}`, true},
		"bad key": {`{"batchItemFailures":[{"itemIdentifer":"1"}]}`, true}, "unknown id": {failures("999"), true},
		"text": {`"done"`, true}, "list": {`[]`, true}, "no JSON": {`{`, true},
	}
	for test, tt := range tests {
		t.Run(test, func(t *testing.T) {
			name := table(t)
			put(t, name, "a", 1)
			put(t, name, "b", 1)
			var calls atomic.Int32
			f := scriptedFunction(func([]record) (string, string, error) {
				if calls.Add(1) > 1 {
					return "null", "", nil
				}
				return tt.answer, "", nil
			})
			m := mapping(name)
			m.ReportBatchItemFailures = true
			runner(t, streamConfig(f, m))
			f.waitFor(t, 1)
			if tt.fails {
				f.waitFor(t, 1)
				if got := f.seen(); fmt.Sprint(got[0]) != fmt.Sprint(got[1]) {
					t.Errorf("batches %v", got)
				}
				return
			}
			time.Sleep(30 * time.Millisecond)
			if got := f.seen(); len(got) != 1 {
				t.Errorf("batches %v", got)
			}
		})
	}
}

// poison fails every batch that holds the record named a.3.
func poison(batch []record) (string, string, error) {
	for _, r := range batch {
		if r.name() == "a.3" {
			return `{"errorMessage":"poison"}`, "Unhandled", nil
		}
	}
	return "null", "", nil
}

type failedBatch struct {
	RequestContext struct {
		RequestID string `json:"requestId"`
		Function  string `json:"functionArn"`
		Condition string `json:"condition"`
		Invokes   int    `json:"approximateInvokeCount"`
	} `json:"requestContext"`
	ResponseContext *struct {
		Status        int    `json:"statusCode"`
		Version       string `json:"executedVersion"`
		FunctionError string `json:"functionError"`
	} `json:"responseContext"`
	Version   string `json:"version"`
	Timestamp string `json:"timestamp"`
	Info      struct {
		Shard  string `json:"shardId"`
		Start  string `json:"startSequenceNumber"`
		End    string `json:"endSequenceNumber"`
		First  string `json:"approximateArrivalOfFirstRecord"`
		Last   string `json:"approximateArrivalOfLastRecord"`
		Size   int    `json:"batchSize"`
		Stream string `json:"streamArn"`
	} `json:"DDBStreamBatchInfo"`
	Payload string `json:"payload"`
}

func TestBisectIsolatesThePoison(t *testing.T) {
	name := table(t)
	for i := range 8 {
		put(t, name, "a", i)
	}
	f := scriptedFunction(poison)
	bucket := newObjects()
	m := mapping(name)
	m.BisectOnError, m.MaxRetries, m.OnFailureARN = true, 2, "arn:aws:s3:::letters"
	cfg := streamConfig(f, m)
	cfg.Objects = bucket
	runner(t, cfg)
	var letter failedBatch
	strict(t, string(receive(t, bucket.put)), &letter)
	if letter.RequestContext.Condition != "RetryAttemptsExhausted" || letter.RequestContext.Invokes != 3 || letter.Info.Size != 1 ||
		letter.Info.Stream != streamARN || letter.Info.Start != letter.Info.End || letter.ResponseContext.FunctionError != "Unhandled" {
		t.Errorf("letter %+v", letter)
	}
	var event events.DynamoDBEvent
	strict(t, letter.Payload, &event)
	if len(event.Records) != 1 || event.Records[0].Change.NewImage["n"].Number() != "3" || event.Records[0].Change.SequenceNumber != letter.Info.Start {
		t.Errorf("payload %s", letter.Payload)
	}
	if key := bucket.keys[0]; !strings.HasPrefix(key, "letters/aws/lambda/mapping/"+letter.Info.Shard+"/20") {
		t.Errorf("key %s", key)
	}
	// What came in a batch with the poison failed with it, and comes again without it.
	var good []string
	eventually(t, "the rest did not come", func() bool {
		good = nil
		for _, batch := range f.seen() {
			if !slices.Contains(batch, "a.3") {
				good = append(good, batch...)
			}
		}
		return slices.Contains(good, "a.7")
	})
	if want := []string{"a.0", "a.1", "a.2", "a.4", "a.5", "a.6", "a.7"}; !slices.Equal(good, want) {
		t.Errorf("succeeded with %v, want %v", good, want)
	}
}

func TestRetriesEndInAQueue(t *testing.T) {
	for _, retries := range []int{0, 1, 3} {
		t.Run(fmt.Sprint(retries), func(t *testing.T) {
			name := table(t)
			put(t, name, "a", 3)
			put(t, name, "b", 1)
			f := scriptedFunction(poison)
			broker, err := queue.Open(queue.Config{Queues: []queue.Queue{{Name: "letters", ARN: queuePrefix + "letters"}}})
			if err != nil {
				t.Fatal(err)
			}
			m := mapping(name)
			m.MaxRetries, m.OnFailureARN = retries, queuePrefix+"letters"
			cfg := streamConfig(f, m)
			cfg.Sender = broker
			runner(t, cfg)
			f.waitFor(t, retries+1)
			got, err := broker.Receive(context.Background(), queuePrefix+"letters", queue.ReceiveInput{Wait: ptr(5 * time.Second)})
			if err != nil || len(got) != 1 {
				t.Fatalf("%v %v", got, err)
			}
			var letter failedBatch
			strict(t, got[0].Body, &letter)
			if letter.RequestContext.Invokes != retries+1 || letter.Info.Size != 2 || letter.Payload != "" || letter.RequestContext.Function != functionARN {
				t.Errorf("letter %+v", letter)
			}
			put(t, name, "c", 1)
			f.waitFor(t, 1)
			if last := f.seen()[retries+1]; !slices.Equal(last, []string{"c.1"}) {
				t.Errorf("afterwards came %v", last)
			}
		})
	}
}

func TestOldRecordsAreGivenUp(t *testing.T) {
	name := table(t)
	put(t, name, "a", 1)
	f := succeeding()
	bucket := newObjects()
	m := mapping(name)
	m.MaxRecordAge, m.OnFailureARN = time.Minute, "arn:aws:s3:::letters"
	cfg := streamConfig(f, m)
	cfg.Objects = bucket
	cfg.Now = func() time.Time { return time.Now().Add(2 * time.Minute) }
	runner(t, cfg)
	var letter failedBatch
	strict(t, string(receive(t, bucket.put)), &letter)
	if letter.RequestContext.Condition != "RecordAgeExceeded" || letter.ResponseContext != nil {
		t.Errorf("letter %+v", letter)
	}
	if got := f.seen(); len(got) != 0 {
		t.Errorf("the function got %v", got)
	}
}

func TestThrottlesCountAsNoRetry(t *testing.T) {
	name := table(t)
	put(t, name, "a", 1)
	var calls atomic.Int32
	f := scriptedFunction(func([]record) (string, string, error) {
		if calls.Add(1) < 4 {
			return "", "", lambda.ErrThrottled
		}
		return "null", "", nil
	})
	m := mapping(name)
	m.MaxRetries = 0
	runner(t, streamConfig(f, m))
	f.waitFor(t, 1)
	if got := f.names(); !slices.Equal(got, []string{"a.1"}) {
		t.Errorf("got %v", got)
	}
}

func TestStreamFilter(t *testing.T) {
	name := table(t)
	for i := range 6 {
		put(t, name, []string{"keep", "drop"}[i%2], i)
	}
	f := succeeding()
	m := mapping(name)
	m.Filters = []string{`{"eventName":["MODIFY"],"dynamodb":{"Keys":{"pk":{"S":["keep"]}}}}`, `{"dynamodb":{"NewImage":{"n":{"N":["5"]}}}}`}
	runner(t, streamConfig(f, m))
	f.waitFor(t, 1)
	if got := f.names(); !slices.Equal(got, []string{"keep.2", "keep.4", "drop.5"}) {
		t.Errorf("got %v", got)
	}
}

func TestStreamBatchSizeAndWindow(t *testing.T) {
	name := table(t)
	m := mapping(name)
	m.BatchSize, m.Window = 3, 2*time.Second
	f := succeeding()
	runner(t, streamConfig(f, m))
	time.Sleep(50 * time.Millisecond)
	start := time.Now()
	for i := range 4 {
		put(t, name, "a", i)
	}
	f.waitFor(t, 1)
	if waited := time.Since(start); waited > 1900*time.Millisecond {
		t.Errorf("a full batch waited %s", waited)
	}
	f.waitFor(t, 1)
	if waited := time.Since(start); waited < 2*time.Second {
		t.Errorf("a batch that was not full came after %s", waited)
	}
	if got := f.seen(); fmt.Sprint(got) != "[[a.0 a.1 a.2] [a.3]]" {
		t.Errorf("batches %v", got)
	}
}

func TestParallelLanesKeepEachItemsOrder(t *testing.T) {
	name := table(t)
	var mu sync.Mutex
	running, most := 0, 0
	var random atomic.Uint32
	f := scriptedFunction(func(batch []record) (string, string, error) {
		mu.Lock()
		running++
		most = max(most, running)
		mu.Unlock()
		time.Sleep(3 * time.Millisecond)
		mu.Lock()
		running--
		mu.Unlock()
		if random.Add(1)%5 == 0 {
			return failures(batch[len(batch)/2].DynamoDB.Sequence), "", nil
		}
		return "null", "", nil
	})
	const items, versions = 10, 20
	for v := range versions {
		for i := range items {
			put(t, name, fmt.Sprint("i", i), v)
		}
	}
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	m := mapping(name)
	m.ParallelizationFactor, m.BatchSize, m.ReportBatchItemFailures = 4, 5, true
	cfg := streamConfig(f, m)
	cfg.CheckpointPath = path
	_, stop := runner(t, cfg)
	next := map[string]int{}
	eventually(t, "not everything arrived", func() bool {
		clear(next)
		for _, name := range f.names() {
			item, version, _ := strings.Cut(name, ".")
			if version == fmt.Sprint(next[item]) {
				next[item]++
			}
		}
		done := 0
		for _, n := range next {
			done += n
		}
		return done == items*versions
	})
	time.Sleep(50 * time.Millisecond)
	stop()
	if most < 2 {
		t.Error("the lanes did not work at the same time")
	}
	// Nothing is ahead of its item's order: a version comes only when all before it have come.
	highest := map[string]int{}
	for _, name := range f.names() {
		item, text, _ := strings.Cut(name, ".")
		var version int
		if _, err := fmt.Sscan(text, &version); err != nil {
			t.Fatal(err)
		}
		if version > highest[item] {
			t.Fatalf("%s came while version %d was awaited", name, highest[item])
		}
		if version == highest[item] {
			highest[item]++
		}
	}
	// The checkpoint is at the end: nothing comes again.
	again := succeeding()
	cfg.Invoker = again
	runner(t, cfg)
	time.Sleep(100 * time.Millisecond)
	if got := again.names(); len(got) != 0 {
		t.Errorf("after a restart came %v", got)
	}
}

func TestStreamBatchIsGivenUpWithTheRunner(t *testing.T) {
	name := table(t)
	put(t, name, "a", 1)
	path := filepath.Join(t.TempDir(), "checkpoints.db")
	hanging := &waitingInvoker{called: make(chan struct{})}
	cfg := streamConfig(hanging, mapping(name))
	cfg.CheckpointPath = path
	_, stop := runner(t, cfg)
	receive(t, hanging.called)
	stop()
	f := succeeding()
	cfg.Invoker = f
	runner(t, cfg)
	f.waitFor(t, 1)
	if got := f.names(); !slices.Equal(got, []string{"a.1"}) {
		t.Errorf("got %v", got)
	}
}

// waitingInvoker never answers.
type waitingInvoker struct{ called chan struct{} }

func (w *waitingInvoker) Invoke(ctx context.Context, _ string, _ []byte) (lambda.Response, error) {
	close(w.called)
	<-ctx.Done()
	return lambda.Response{}, ctx.Err()
}

// hostile delivers everything twice, loses the first answer, and counts.
type hostile struct{ calls atomic.Int32 }

func (h *hostile) Deliver(ctx context.Context, b sources.Batch, invoke func(context.Context, []json.RawMessage) sources.Outcome) sources.Outcome {
	h.calls.Add(1)
	invoke(ctx, b.Records)
	if h.calls.Load() == 1 {
		return sources.Outcome{Err: errors.New("the answer was lost"), RequestID: "request"}
	}
	return invoke(ctx, b.Records)
}

func TestDeliveryCanBeHostile(t *testing.T) {
	name := table(t)
	put(t, name, "a", 1)
	f := succeeding()
	cfg := streamConfig(f, mapping(name))
	cfg.Delivery = &hostile{}
	runner(t, cfg)
	f.waitFor(t, 3)
	if got := f.names(); !slices.Equal(got, []string{"a.1", "a.1", "a.1"}) {
		t.Errorf("got %v", got)
	}
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	tests := map[string]struct {
		cfg  sources.Config
		want string
	}{
		"filter":      {sources.Config{StreamEndpoint: engine, Streams: []sources.StreamMapping{{ID: "m", Table: "t", StreamARN: "s", Filters: []string{`{"a":[{"near":1}]}`}}}}, "filter 0"},
		"batch size":  {sources.Config{StreamEndpoint: engine, Streams: []sources.StreamMapping{{ID: "m", Table: "t", StreamARN: "s", BatchSize: 10001}}}, "batch size 10001"},
		"factor":      {sources.Config{StreamEndpoint: engine, Streams: []sources.StreamMapping{{ID: "m", Table: "t", StreamARN: "s", ParallelizationFactor: 11}}}, "parallelization factor"},
		"endpoint":    {sources.Config{Streams: []sources.StreamMapping{{ID: "m", Table: "t", StreamARN: "s"}}}, "no endpoint"},
		"window":      {sources.Config{Queues: []sources.QueueMapping{{ID: "m", BatchSize: 11}}}, "needs a batching window"},
		"FIFO batch":  {sources.Config{Queues: []sources.QueueMapping{{ID: "m", QueueARN: "q.fifo", BatchSize: 11, Window: time.Second}}}, "batch size 11"},
		"concurrency": {sources.Config{Queues: []sources.QueueMapping{{ID: "m", MaxConcurrency: 1}}}, "maximum concurrency"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			if _, err := sources.New(tt.cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
		})
	}
}
