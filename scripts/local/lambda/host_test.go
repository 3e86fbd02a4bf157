package lambda_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/xray"
)

type echoed struct {
	PID      int               `json:"pid"`
	Event    map[string]any    `json:"event"`
	Env      map[string]string `json:"env"`
	Dir      string            `json:"dir"`
	Deadline int64             `json:"deadline"`
	Request  string            `json:"request"`
	ARN      string            `json:"arn"`
	Version  string            `json:"version"`
}

func TestInvokeGivesTheFunctionWhatLambdaGives(t *testing.T) {
	fn := function("echo")
	fn.MemoryMB = 512
	fn.Env["AWS_LAMBDA_FUNCTION_NAME"] = "somebody else"
	fn.Env["TABLE"] = "catalog"
	h := startHost(t, lambda.Config{
		Functions: []lambda.Function{fn}, Region: "eu-west-1",
		Env: map[string]string{"AWS_ENDPOINT_URL": "http://127.0.0.1:1"},
		Credentials: func(_ context.Context, name string) (lambda.Credentials, error) {
			return lambda.Credentials{AccessKeyID: "key-of-" + name, SecretAccessKey: "secret", SessionToken: "token"}, nil
		},
	})
	before := time.Now()
	ctx := lambda.WithTrace(context.Background(), "Root=1-5759e988-bd862e3fe1be46a994272793;Sampled=0")
	response, err := h.Invoke(ctx, arn("echo"), []byte(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	got := decode[echoed](t, response.Payload)
	if got.Event["a"] != 1.0 || got.Request != response.RequestID || got.ARN != arn("echo") {
		t.Errorf("event %v, request %s of %s, ARN %s", got.Event, got.Request, response.RequestID, got.ARN)
	}
	if limit := before.Add(fn.Timeout).UnixMilli(); got.Deadline < limit || got.Deadline > limit+5000 {
		t.Errorf("deadline is %d ms after the earliest possible one", got.Deadline-limit)
	}
	if want := filepath.Dir(functionBinary); got.Dir != want {
		t.Errorf("working directory %s, want %s", got.Dir, want)
	}
	for name, want := range map[string]string{
		"AWS_LAMBDA_FUNCTION_NAME": "echo", "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512",
		"AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand", "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/echo", "AWS_REGION": "eu-west-1",
		"LAMBDA_TASK_ROOT": filepath.Dir(functionBinary), "_HANDLER": "bootstrap", "TABLE": "catalog", "TZ": ":UTC",
		"AWS_ENDPOINT_URL": "http://127.0.0.1:1", "AWS_ACCESS_KEY_ID": "key-of-echo", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_SESSION_TOKEN": "token",
	} {
		if got.Env[name] != want {
			t.Errorf("%s = %q, want %q", name, got.Env[name], want)
		}
	}
	if trace, ok := xray.ParseHeader(got.Env["_X_AMZN_TRACE_ID"]); !ok || trace.Root != "1-5759e988-bd862e3fe1be46a994272793" || trace.Parent == "" || !trace.Unsampled {
		t.Errorf("trace %q, want the caller's, below a segment of the invocation", got.Env["_X_AMZN_TRACE_ID"])
	}
	for _, name := range []string{"HOME", "GOPATH", "AWS_EXECUTION_ENV", "AWS_PROFILE"} {
		if value, ok := got.Env[name]; ok {
			t.Errorf("%s = %q leaked into the function", name, value)
		}
	}
}

func TestInvocationWithoutTraceStartsOne(t *testing.T) {
	h := hostOf(t, function("echo"))
	got := decode[echoed](t, invoke(t, h, "echo", "").Payload)
	want := regexp.MustCompile(`^Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=1$`)
	if id := got.Env["_X_AMZN_TRACE_ID"]; !want.MatchString(id) {
		t.Errorf("trace id %q", id)
	}
}

func TestProcessIsReused(t *testing.T) {
	h := hostOf(t, function("echo"))
	first := decode[echoed](t, invoke(t, h, "echo", "{}").Payload)
	for range 50 {
		if next := decode[echoed](t, invoke(t, h, "echo", "{}").Payload); next.PID != first.PID {
			t.Fatalf("process %d answered after %d", next.PID, first.PID)
		}
	}
}

func TestConcurrentInvocationsHaveProcessesOfTheirOwn(t *testing.T) {
	h := hostOf(t, function("slow"))
	var mu sync.Mutex
	pids := map[string]bool{}
	var calls sync.WaitGroup
	for range 4 {
		calls.Go(func() {
			response, err := h.Invoke(context.Background(), "slow", []byte("300"))
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				t.Error(err)
			}
			pids[string(response.Payload)] = true
		})
	}
	calls.Wait()
	if len(pids) != 4 {
		t.Errorf("4 concurrent invocations ran in %d processes", len(pids))
	}
}

func TestFailuresHaveLambdasShapes(t *testing.T) {
	slow := function("slow")
	slow.Timeout = 200 * time.Millisecond
	missing := function("missing")
	missing.Command = []string{filepath.Join(t.TempDir(), "bootstrap")}
	unbuilt := function("unbuilt")
	unbuilt.Command, unbuilt.BuildError = nil, "main.go:3: undefined: x"
	hang := function("hang-at-init")
	hang.Timeout = 300 * time.Millisecond
	h := startHost(t, lambda.Config{
		Functions: []lambda.Function{
			slow, missing, unbuilt, hang, function("error"), function("panic"), function("exit"),
			function("panic-at-init"), function("exit-at-init"), function("reader"),
		},
		InitTimeout: 300 * time.Millisecond,
	})
	tests := []struct{ function, payload, errorType, message string }{
		{"slow", "5000", "Sandbox.Timedout", `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z %s Task timed out after 0\.20 seconds$`},
		{"error", "{}", "errorString", `^no such object$`},
		{"panic", "{}", "string", `^a defect$`},
		{"exit", "{}", "Runtime.ExitError", `^RequestId: %s Error: Runtime exited with error: exit status 7$`},
		{"panic-at-init", "{}", "Runtime.ExitError", `^RequestId: %s Error: Runtime exited with error: exit status 2$`},
		{"exit-at-init", "{}", "Runtime.ExitError", `^RequestId: %s Error: Runtime exited with error: exit status 3$`},
		{"hang-at-init", "{}", "Sandbox.Timedout", `%s Task timed out after 0\.30 seconds$`},
		{"missing", "{}", "Runtime.InvalidEntrypoint", `no such file or directory`},
		{"unbuilt", "{}", "Function.BuildError", `^function unbuilt was not built: main.go:3: undefined: x$`},
		{"reader", "{}", "errorString", `^the source broke$`},
	}
	for _, tt := range tests {
		t.Run(tt.function, func(t *testing.T) {
			response := invoke(t, h, tt.function, tt.payload)
			errorType, message := failureOf(t, response)
			want := strings.ReplaceAll(tt.message, "%s", response.RequestID)
			if errorType != tt.errorType || !regexp.MustCompile(want).MatchString(message) {
				t.Errorf("got %s: %s, want %s: %s", errorType, message, tt.errorType, want)
			}
		})
	}
}

func TestFunctionWorksAgainAfterItsProcessWasLost(t *testing.T) {
	slow := function("slow")
	slow.Timeout = 300 * time.Millisecond
	h := hostOf(t, slow, function("exit-after"))
	first := invoke(t, h, "slow", "1")
	failureOf(t, invoke(t, h, "slow", "60000"))
	second := invoke(t, h, "slow", "1")
	if second.FunctionError != "" || string(second.Payload) == string(first.Payload) {
		t.Errorf("after a time-out: %s %s, before it process %s", second.FunctionError, second.Payload, first.Payload)
	}
	// A process that dies while it is idle costs no invocation.
	for i := range 5 {
		if r := invoke(t, h, "exit-after", "{}"); r.FunctionError != "" {
			t.Errorf("invocation %d: %s", i, r.Payload)
		}
		time.Sleep(500 * time.Millisecond) // by then it is gone, even on a busy machine
	}
}

func TestPanicCostsTheNextInvocationNothing(t *testing.T) {
	h := hostOf(t, function("panic"))
	for i := range 20 { // the process ends right after it has told of its panic
		if errorType, message := failureOf(t, invoke(t, h, "panic", "{}")); errorType != "string" {
			t.Fatalf("invocation %d: %s: %s", i, errorType, message)
		}
	}
}

func TestAnswerSizeLimit(t *testing.T) {
	h := hostOf(t, function("big"))
	for _, size := range []int{lambda.MaxResponse - 1, lambda.MaxResponse} {
		if r := invoke(t, h, "big", fmt.Sprint(size)); r.FunctionError != "" || len(r.Payload) != size {
			t.Errorf("answer of %d bytes: got %d bytes and error %q", size, len(r.Payload), r.FunctionError)
		}
	}
	errorType, message := failureOf(t, invoke(t, h, "big", fmt.Sprint(lambda.MaxResponse+1)))
	if errorType != "Function.ResponseSizeTooLarge" || !strings.Contains(message, "6291556 bytes") {
		t.Errorf("one byte too many: %s: %s", errorType, message)
	}
	if r := invoke(t, h, "big", "10"); r.FunctionError != "" {
		t.Errorf("the function does not work afterwards: %s", r.Payload)
	}
}

func TestPayloadSizeLimit(t *testing.T) {
	h := hostOf(t, function("echo"))
	text := func(n int) []byte { return []byte(`"` + strings.Repeat("x", n-2) + `"`) }
	var refused *lambda.Error
	if _, err := h.Invoke(context.Background(), "echo", text(lambda.MaxSyncPayload+1)); !errors.As(err, &refused) || refused.Code != "RequestTooLargeException" {
		t.Errorf("synchronous, one byte too many: %v", err)
	}
	if err := h.InvokeAsync(context.Background(), "echo", text(lambda.MaxAsyncPayload+1)); !errors.As(err, &refused) || refused.Code != "RequestTooLargeException" {
		t.Errorf("asynchronous, one byte too many: %v", err)
	}
	// The echo of the largest event is larger than an answer may be: the function ran.
	if errorType, _ := failureOf(t, invoke(t, h, "echo", string(text(lambda.MaxSyncPayload)))); errorType != "Function.ResponseSizeTooLarge" {
		t.Errorf("largest event: %s", errorType)
	}
}

func TestConcurrencyLimits(t *testing.T) {
	reserved, off := function("slow"), function("error")
	reserved.MaxConcurrency, off.MaxConcurrency = 2, -1
	other := function("log")
	var out logs
	h := startHost(t, lambda.Config{Functions: []lambda.Function{reserved, off, other}, AccountConcurrency: 3, Logs: out.writer})
	var busy sync.WaitGroup
	for range 2 {
		busy.Go(func() {
			if _, err := h.Invoke(context.Background(), "slow", []byte("1000")); err != nil {
				t.Error(err)
			}
		})
	}
	eventually(t, func() bool { return strings.Count(out.String(), "START") == 2 }, func() string { return "the two did not start" })
	if _, err := h.Invoke(context.Background(), "slow", []byte("1")); !errors.Is(err, lambda.ErrThrottled) {
		t.Errorf("a third invocation of two reserved ones: %v", err)
	}
	if _, err := h.Invoke(context.Background(), "error", nil); !errors.Is(err, lambda.ErrThrottled) {
		t.Errorf("a function that is switched off: %v", err)
	}
	if _, err := h.Invoke(context.Background(), "log", nil); err != nil {
		t.Errorf("what the account has left is not used: %v", err)
	}
	busy.Wait()
	if _, err := h.Invoke(context.Background(), "slow", []byte("1")); err != nil {
		t.Errorf("after the busy ones ended: %v", err)
	}
}

func TestStartRefusesWhatCannotWork(t *testing.T) {
	tests := map[string]struct {
		cfg  lambda.Config
		want string
	}{
		"twice":     {lambda.Config{Functions: []lambda.Function{function("echo"), function("echo")}}, `function "echo" is declared twice`},
		"reserved":  {lambda.Config{Functions: []lambda.Function{{Name: "a", ARN: "b", Command: []string{"c"}, MaxConcurrency: 5}}, AccountConcurrency: 4}, "reserve 1 more"},
		"time-out":  {lambda.Config{Functions: []lambda.Function{{Name: "a", ARN: "b", Command: []string{"c"}, Timeout: lambda.MaxTimeout + 1}}}, `function "a": time-out`},
		"nothing":   {lambda.Config{Functions: []lambda.Function{{Name: "a", ARN: "b"}}}, "neither a command nor a build error"},
		"anonymous": {lambda.Config{Functions: []lambda.Function{{Command: []string{"c"}}}}, "name and ARN are required"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			h := lambda.New(tt.cfg)
			if err := h.Start(t.Context()); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one with %q", err, tt.want)
			}
			if err := h.Close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestUnknownFunction(t *testing.T) {
	h := hostOf(t, function("echo"))
	var refused *lambda.Error
	if _, err := h.Invoke(context.Background(), "nobody", nil); !errors.As(err, &refused) || refused.Code != "ResourceNotFoundException" {
		t.Errorf("got %v", err)
	}
	if _, err := h.Invoke(context.Background(), arn("echo")+":$LATEST", nil); err != nil {
		t.Errorf("qualified ARN: %v", err)
	}
}

func TestLogsHaveLambdasLines(t *testing.T) {
	var out logs
	h := startHost(t, lambda.Config{Functions: []lambda.Function{function("log")}, Logs: out.writer})
	id := invoke(t, h, "log", "{}").RequestID
	out.waitFor(t, "REPORT RequestId: "+id)
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`(?m)^START RequestId: ` + id + ` Version: \$LATEST$`, `(?m)^one line$`, `(?m)^half a line$`, `(?m)^no end of line$`, `(?m)^END RequestId: ` + id + `$`,
		`(?m)^REPORT RequestId: ` + id + `\tDuration: \d+\.\d\d ms\tBilled Duration: \d+ ms\tMemory Size: 128 MB\tMax Memory Used: \d+ MB\tInit Duration: \d+\.\d\d ms$`,
	} {
		if !regexp.MustCompile(want).MatchString(out.String()) {
			t.Errorf("no line %s in\n%s", want, out.String())
		}
	}
}

func TestObserveSeesEveryInvocation(t *testing.T) {
	reports := make(chan lambda.Report, 2)
	h := startHost(t, lambda.Config{Functions: []lambda.Function{function("error")}, Observe: func(r lambda.Report) { reports <- r }})
	for i := range 2 {
		id := invoke(t, h, "error", "{}").RequestID
		r := <-reports
		if r.RequestID != id || r.FunctionError != "Unhandled" || r.ErrorType != "errorString" || (r.InitDuration > 0) != (i == 0) {
			t.Errorf("report %d: %+v", i, r)
		}
	}
}

func TestInvokeReturnsWithItsContextAndTheFunctionGoesOn(t *testing.T) {
	reports := make(chan lambda.Report, 1)
	h := startHost(t, lambda.Config{Functions: []lambda.Function{function("slow")}, Observe: func(r lambda.Report) { reports <- r }})
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if _, err := h.Invoke(ctx, "slow", []byte("400")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	if r := <-reports; r.FunctionError != "" {
		t.Errorf("the function was not left alone: %+v", r)
	}
}

func TestIdleProcessesAreEnded(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	polite := function("sigterm")
	polite.Env["MARK"] = mark
	h := startHost(t, lambda.Config{Functions: []lambda.Function{polite}, IdleTimeout: 100 * time.Millisecond})
	pid := decode[echoed](t, invoke(t, h, "sigterm", "{}").Payload).PID
	eventually(t, func() bool { return errors.Is(syscall.Kill(pid, 0), syscall.ESRCH) }, func() string { return "the idle process is still there" })
	if text, err := os.ReadFile(mark); err != nil || string(text) != "terminated" {
		t.Errorf("a function that asked for SIGTERM did not get it: %q, %v", text, err)
	}
}

func TestInstanceIsReplacedAtTheEndOfItsLife(t *testing.T) {
	h := startHost(t, lambda.Config{Functions: []lambda.Function{function("echo")}, InstanceLifetime: time.Nanosecond})
	first := decode[echoed](t, invoke(t, h, "echo", "{}").Payload)
	if next := decode[echoed](t, invoke(t, h, "echo", "{}").Payload); next.PID == first.PID {
		t.Error("the process outlived its life")
	}
}

func TestCloseLeavesNoProcess(t *testing.T) {
	h := lambda.New(lambda.Config{Functions: []lambda.Function{function("echo"), function("slow")}})
	ctx, cancel := context.WithCancel(context.Background())
	if err := h.Start(ctx); err != nil {
		t.Fatal(err)
	}
	idle := decode[echoed](t, invoke(t, h, "echo", "{}").Payload).PID
	busy := make(chan lambda.Response, 1)
	go func() {
		response, err := h.Invoke(context.Background(), "slow", []byte("60000"))
		if err != nil {
			t.Error(err)
		}
		busy <- response
	}()
	time.Sleep(100 * time.Millisecond)
	cancel()
	if err := h.Close(); err != nil {
		t.Fatal(err)
	}
	failureOf(t, <-busy)
	if err := syscall.Kill(idle, 0); !errors.Is(err, syscall.ESRCH) {
		t.Errorf("process %d is still there: %v", idle, err)
	}
	if _, err := h.Invoke(context.Background(), "echo", nil); err == nil {
		t.Error("a closed host took an invocation")
	}
}

func TestLostProcessesLeakNothing(t *testing.T) {
	h := hostOf(t, function("exit"))
	count := func() (files, goroutines int) {
		open, err := os.ReadDir("/proc/self/fd")
		if err != nil { // a system that does not list them
			return 0, runtime.NumGoroutine()
		}
		return len(open), runtime.NumGoroutine()
	}
	lose := func(n int) {
		for range n {
			failureOf(t, invoke(t, h, "exit", "{}"))
		}
	}
	lose(5)
	files, goroutines := count()
	lose(100)
	eventually(t, func() bool {
		filesNow, goroutinesNow := count()
		return filesNow <= files+3 && goroutinesNow <= goroutines+3
	}, func() string {
		filesNow, goroutinesNow := count()
		return fmt.Sprintf("files %d to %d, goroutines %d to %d", files, filesNow, goroutines, goroutinesNow)
	})
}

func BenchmarkWarmInvoke(b *testing.B) {
	h := hostOf(b, function("echo"))
	invoke(b, h, "echo", "{}")
	durations := make([]time.Duration, 0, b.N)
	for b.Loop() {
		start := time.Now()
		invoke(b, h, "echo", `{"key":"value"}`)
		durations = append(durations, time.Since(start))
	}
	reportQuantiles(b, durations)
}

func BenchmarkColdInvoke(b *testing.B) {
	h := startHost(b, lambda.Config{Functions: []lambda.Function{function("echo")}, InstanceLifetime: time.Nanosecond})
	for b.Loop() {
		invoke(b, h, "echo", "{}")
	}
}
