package lambda_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
)

// copyBinary puts the test function's binary somewhere else.
func copyBinary(t *testing.T) string {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "bootstrap")
	binary, err := os.ReadFile(functionBinary)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(copied, binary, 0o700); err != nil {
		t.Fatal(err)
	}
	return copied
}

func TestSwapLetsTheOldProcessFinish(t *testing.T) {
	fn := function("slow")
	h := hostOf(t, fn)
	old := invoke(t, h, "slow", "1")
	inFlight := make(chan lambda.Response, 1)
	go func() {
		response, err := h.Invoke(context.Background(), "slow", []byte("300"))
		if err != nil {
			t.Error(err)
		}
		inFlight <- response
	}()
	time.Sleep(50 * time.Millisecond)
	if err := h.Swap("slow", []string{copyBinary(t)}); err != nil {
		t.Fatal(err)
	}
	fresh := invoke(t, h, "slow", "1")
	if string(fresh.Payload) == string(old.Payload) {
		t.Error("the old process answered after the swap")
	}
	if r := <-inFlight; r.FunctionError != "" || string(r.Payload) != string(old.Payload) {
		t.Errorf("the invocation under way got %s %s from process %s", r.FunctionError, r.Payload, old.Payload)
	}
	if again := invoke(t, h, "slow", "1"); string(again.Payload) != string(fresh.Payload) {
		t.Error("the new process was not kept")
	}
}

func TestSwapsUnderLoadDropNothing(t *testing.T) {
	h := hostOf(t, function("slow"))
	var invoked, failed atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 4 {
		callers.Go(func() {
			for ctx.Err() == nil {
				r, err := h.Invoke(context.Background(), "slow", []byte("2"))
				if err != nil || r.FunctionError != "" {
					failed.Add(1)
					t.Errorf("%v %s", err, r.Payload)
				}
				invoked.Add(1)
			}
		})
	}
	for binary := copyBinary(t); invoked.Load() < 200; {
		if err := h.Swap("slow", []string{binary}); err != nil {
			t.Error(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
	stop()
	callers.Wait()
	if failed.Load() > 0 {
		t.Errorf("%d of %d invocations failed", failed.Load(), invoked.Load())
	}
}

func TestPutGivesAFunctionAnotherConfiguration(t *testing.T) {
	fn := function("echo")
	fn.Env["STAGE"] = "one"
	h := hostOf(t, fn)
	if before := string(invoke(t, h, "echo", "{}").Payload); !strings.Contains(before, `"STAGE":"one"`) {
		t.Fatalf("environment = %s", before)
	}
	changed := function("echo")
	changed.Command = nil // it keeps its own
	changed.Env["STAGE"], changed.MemoryMB = "two", 512
	if err := h.Put(changed); err != nil {
		t.Fatal(err)
	}
	after := string(invoke(t, h, "echo", "{}").Payload)
	for _, want := range []string{`"STAGE":"two"`, `"AWS_LAMBDA_FUNCTION_MEMORY_SIZE":"512"`} {
		if !strings.Contains(after, want) {
			t.Errorf("environment lacks %s: %s", want, after)
		}
	}
}

func TestPutChangesTheTimeout(t *testing.T) {
	fn := function("slow")
	h := hostOf(t, fn)
	fn.Timeout = 50 * time.Millisecond
	if err := h.Put(fn); err != nil {
		t.Fatal(err)
	}
	if kind, _ := failureOf(t, invoke(t, h, "slow", "2000")); kind != "Sandbox.Timedout" {
		t.Errorf("error = %s", kind)
	}
}

func TestPutAddsAFunction(t *testing.T) {
	h := hostOf(t, function("slow"))
	if _, err := h.Invoke(t.Context(), "echo", nil); err == nil {
		t.Fatal("it is there already")
	}
	if err := h.Put(function("echo")); err != nil {
		t.Fatal(err)
	}
	if r := invoke(t, h, "echo", `{"a":1}`); r.FunctionError != "" {
		t.Errorf("%s", r.Payload)
	}
	if r := invoke(t, h, function("echo").ARN, `{}`); r.FunctionError != "" {
		t.Errorf("%s", r.Payload)
	}
}

func TestPutRefuses(t *testing.T) {
	h := startHost(t, lambda.Config{Functions: []lambda.Function{function("slow")}, AccountConcurrency: 4})
	reserved := func(n int) lambda.Function {
		f := function("slow")
		f.MaxConcurrency = n
		return f
	}
	for _, n := range []int{4, 3, 4} { // what it had is given back first
		if err := h.Put(reserved(n)); err != nil {
			t.Errorf("reserve %d of 4: %v", n, err)
		}
	}
	if err := h.Put(reserved(5)); err == nil || !strings.Contains(err.Error(), "reserves 1 more") {
		t.Errorf("err = %v", err)
	}
	if err := h.Put(lambda.Function{Name: "new", ARN: "arn"}); err == nil || !strings.Contains(err.Error(), "neither a command nor a build error") {
		t.Errorf("err = %v", err)
	}
}
