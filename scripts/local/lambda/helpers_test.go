package lambda_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
)

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
	dir, err := os.MkdirTemp("", "stowage-lambda-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	functionBinary = filepath.Join(dir, "bootstrap")
	build := exec.Command("go", "build", "-trimpath", "-tags", "lambda.norpc", "-ldflags", "-s -w", "-o", functionBinary, "./testdata/function")
	if out, err := build.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("build the test function: %w\n%s", err, out)
	}
	return m.Run(), nil
}

// arn is the ARN of a function of the tests.
func arn(name string) string { return "arn:aws:lambda:us-east-1:000000000000:function:" + name }

// function is the test function in one of its modes, which is its name as well.
func function(mode string) lambda.Function {
	return lambda.Function{
		Name: mode, ARN: arn(mode), Command: []string{functionBinary}, Timeout: 5 * time.Second,
		Env: map[string]string{"MODE": mode},
	}
}

// startHost starts a host that the test's end stops.
func startHost(tb testing.TB, cfg lambda.Config) *lambda.Host {
	tb.Helper()
	h := lambda.New(cfg)
	if err := h.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := h.Close(); err != nil {
			tb.Error(err)
		}
	})
	return h
}

func hostOf(tb testing.TB, functions ...lambda.Function) *lambda.Host {
	tb.Helper()
	return startHost(tb, lambda.Config{Functions: functions})
}

// invoke runs a function that must be there.
func invoke(tb testing.TB, h *lambda.Host, name, payload string) lambda.Response {
	tb.Helper()
	response, err := h.Invoke(context.Background(), name, []byte(payload))
	if err != nil {
		tb.Fatalf("invoke %s: %v", name, err)
	}
	return response
}

// failureOf decodes the payload of a function error.
func failureOf(tb testing.TB, r lambda.Response) (errorType, message string) {
	tb.Helper()
	if r.FunctionError != "Unhandled" {
		tb.Fatalf("FunctionError = %q with payload %s, want Unhandled", r.FunctionError, r.Payload)
	}
	var failure struct {
		ErrorType    string `json:"errorType"`
		ErrorMessage string `json:"errorMessage"`
	}
	if err := json.Unmarshal(r.Payload, &failure); err != nil {
		tb.Fatalf("payload %s: %v", r.Payload, err)
	}
	return failure.ErrorType, failure.ErrorMessage
}

func decode[T any](tb testing.TB, raw []byte) T {
	tb.Helper()
	var v T
	if err := json.Unmarshal(raw, &v); err != nil {
		tb.Fatalf("decode %s: %v", raw, err)
	}
	return v
}

// logs collects the functions' logs.
type logs struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logs) writer(string) io.Writer { return l }

func (l *logs) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(b)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

// waitFor waits until the log holds text.
func (l *logs) waitFor(tb testing.TB, text string) {
	tb.Helper()
	eventually(tb, func() bool { return strings.Contains(l.String(), text) }, func() string {
		return fmt.Sprintf("the log never held %q:\n%s", text, l.String())
	})
}

func eventually(tb testing.TB, ok func() bool, complaint func() string) {
	tb.Helper()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	tb.Fatal(complaint())
}

func ptr[T any](v T) *T { return &v }

func reportQuantiles(b *testing.B, durations []time.Duration) {
	b.Helper()
	slices.Sort(durations)
	b.ReportMetric(float64(durations[len(durations)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(durations[len(durations)*99/100].Microseconds()), "p99-us")
}
