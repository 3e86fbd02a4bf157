package lambda_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
)

// record is what a destination receives.
type record struct {
	Version        string `json:"version"`
	RequestContext struct {
		RequestID   string `json:"requestId"`
		FunctionARN string `json:"functionArn"`
		Condition   string `json:"condition"`
		Invokes     int    `json:"approximateInvokeCount"`
	} `json:"requestContext"`
	RequestPayload  json.RawMessage `json:"requestPayload"`
	ResponseContext *struct {
		StatusCode    int    `json:"statusCode"`
		Version       string `json:"executedVersion"`
		FunctionError string `json:"functionError"`
	} `json:"responseContext"`
	ResponsePayload json.RawMessage `json:"responsePayload"`
}

// destinations collects what functions' destinations and dead-letter queues get.
type destinations struct {
	records chan record
	letters chan map[string]string
	mu      sync.Mutex
	fail    int // deliveries to refuse
}

func newDestinations() *destinations {
	return &destinations{records: make(chan record, 10), letters: make(chan map[string]string, 10)}
}

func (d *destinations) deliver(_ context.Context, arn string, payload []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail > 0 {
		d.fail--
		return errors.New("not now")
	}
	var r record
	if err := json.Unmarshal(payload, &r); err != nil {
		return err
	}
	if arn != "arn:destination" {
		return errors.New("wrong destination " + arn)
	}
	d.records <- r
	return nil
}

func (d *destinations) deadLetter(_ context.Context, _ string, body []byte, attributes map[string]string) error {
	attributes["body"] = string(body)
	d.letters <- attributes
	return nil
}

func flaky(t *testing.T, failures string) lambda.Function {
	t.Helper()
	fn := function("flaky")
	fn.Env["MARK"] = filepath.Join(t.TempDir(), "mark")
	fn.Env["FAILURES"] = failures
	return fn
}

func asyncConfig(d *destinations, fn lambda.Function) lambda.Config {
	return lambda.Config{
		Functions: []lambda.Function{fn}, Deliver: d.deliver, DeadLetter: d.deadLetter,
		RetryDelay: func(int) time.Duration { return 10 * time.Millisecond },
	}
}

func receive[T any](t *testing.T, from <-chan T) T {
	t.Helper()
	select {
	case v := <-from:
		return v
	case <-time.After(10 * time.Second):
		t.Fatal("nothing arrived")
		panic("unreachable")
	}
}

func TestAsyncRetriesAndDestinations(t *testing.T) {
	tests := []struct {
		name, failures string
		retries        *int
		condition      string
		invokes        int
	}{
		{"at once", "0", nil, "Success", 1},
		{"after the last retry", "2", nil, "Success", 3},
		{"one failure too many", "3", nil, "RetriesExhausted", 3},
		{"no retries", "1", ptr(0), "RetriesExhausted", 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d := newDestinations()
			d.fail = 1 // a destination that fails once gets its record all the same
			fn := flaky(t, tt.failures)
			fn.Async = lambda.AsyncConfig{MaxRetries: tt.retries, OnSuccess: "arn:destination", OnFailure: "arn:destination", DeadLetterARN: "arn:letters"}
			h := startHost(t, asyncConfig(d, fn))
			if err := h.InvokeAsync(context.Background(), fn.ARN, []byte(`{"n":1}`)); err != nil {
				t.Fatal(err)
			}
			r := receive(t, d.records)
			if r.RequestContext.Condition != tt.condition || r.RequestContext.Invokes != tt.invokes {
				t.Errorf("%s after %d invocations, want %s after %d", r.RequestContext.Condition, r.RequestContext.Invokes, tt.condition, tt.invokes)
			}
			if string(r.RequestPayload) != `{"n":1}` || r.RequestContext.FunctionARN != fn.ARN+":$LATEST" || r.Version != "1.0" || r.ResponseContext.StatusCode != http.StatusOK {
				t.Errorf("record %+v", r)
			}
			if tt.condition == "Success" {
				if string(r.ResponsePayload) != `"done"` || r.ResponseContext.FunctionError != "" {
					t.Errorf("response %s %+v", r.ResponsePayload, r.ResponseContext)
				}
				return
			}
			if r.ResponseContext.FunctionError != "Unhandled" {
				t.Errorf("response context %+v", r.ResponseContext)
			}
			letter := receive(t, d.letters)
			if letter["body"] != `{"n":1}` || letter["RequestID"] != r.RequestContext.RequestID || letter["ErrorCode"] != "200" || letter["ErrorMessage"] == "" {
				t.Errorf("dead letter %v", letter)
			}
		})
	}
}

func TestAsyncEventAges(t *testing.T) {
	d := newDestinations()
	fn := flaky(t, "100")
	fn.Async = lambda.AsyncConfig{MaxAge: time.Minute, MaxRetries: ptr(2), OnFailure: "arn:destination"}
	cfg := asyncConfig(d, fn)
	cfg.RetryDelay = func(int) time.Duration { return 2 * time.Minute }
	h := startHost(t, cfg)
	if err := h.InvokeAsync(context.Background(), fn.Name, nil); err != nil {
		t.Fatal(err)
	}
	if r := receive(t, d.records); r.RequestContext.Condition != "EventAgeExceeded" || r.RequestContext.Invokes != 1 {
		t.Errorf("%+v", r.RequestContext)
	}
}

func TestAsyncEventSurvivesARestart(t *testing.T) {
	d := newDestinations()
	fn := flaky(t, "1")
	fn.Async.OnSuccess = "arn:destination"
	cfg := asyncConfig(d, fn)
	cfg.AsyncStatePath = filepath.Join(t.TempDir(), "async.db")
	cfg.RetryDelay = func(int) time.Duration { return time.Hour }
	first := lambda.New(cfg)
	if err := first.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := first.InvokeAsync(context.Background(), fn.Name, []byte(`"kept"`)); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() bool { seen, err := os.ReadFile(fn.Env["MARK"]); return err == nil && len(seen) == 1 }, func() string { return "it never ran" })
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	// An hour later.
	cfg.Now = func() time.Time { return time.Now().Add(2 * time.Hour) }
	startHost(t, cfg)
	if r := receive(t, d.records); r.RequestContext.Invokes != 2 && r.RequestContext.Invokes != 1 || string(r.RequestPayload) != `"kept"` {
		t.Errorf("%+v %s", r.RequestContext, r.RequestPayload)
	}
}

func TestAsyncRefusesWhatIsNoJSON(t *testing.T) {
	h := hostOf(t, function("echo"))
	var refused *lambda.Error
	if err := h.InvokeAsync(context.Background(), "echo", []byte("{")); !errors.As(err, &refused) || refused.Code != "InvalidRequestContentException" {
		t.Errorf("got %v", err)
	}
}

func TestAsyncWaitsWhileThrottled(t *testing.T) {
	d := newDestinations()
	fn := function("slow")
	fn.MaxConcurrency = 1
	fn.Async.OnSuccess = "arn:destination"
	h := startHost(t, asyncConfig(d, fn))
	for range 2 {
		if err := h.InvokeAsync(context.Background(), "slow", []byte("100")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if r := receive(t, d.records); r.RequestContext.Invokes != 1 {
			t.Errorf("a throttle counted as an invocation: %+v", r.RequestContext)
		}
	}
}
