package lambda_test

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
)

// faults does to runs what a test says.
type faults struct {
	throttle bool
	begin    func(r *lambda.Run) lambda.Disturbance
}

func (f faults) Throttle(string) bool                   { return f.throttle }
func (f faults) Begin(r *lambda.Run) lambda.Disturbance { return f.begin(r) }

// disturbance ends a run when it answers, if it is to.
type disturbance struct {
	atAnswer func()
	ended    atomic.Int32
}

func (d *disturbance) Answering() bool {
	if d.atAnswer == nil {
		return true
	}
	d.atAnswer()
	return false
}
func (d *disturbance) End() { d.ended.Add(1) }

func TestFaults(t *testing.T) {
	var d *disturbance
	var end func(r *lambda.Run) func()
	host := startHost(t, lambda.Config{Functions: []lambda.Function{function("echo")}, Faults: faults{begin: func(r *lambda.Run) lambda.Disturbance {
		if r.Function != "echo" || r.RequestID == "" || r.Timeout <= 0 {
			t.Errorf("run %+v", r)
		}
		d = &disturbance{}
		if end != nil {
			d.atAnswer = end(r)
		}
		return d
	}}})
	if r := invoke(t, host, "echo", "{}"); r.FunctionError != "" || d.ended.Load() != 1 {
		t.Errorf("left alone: %s, ended %d times", r.Payload, d.ended.Load())
	}
	for name, tc := range map[string]struct {
		end  func(r *lambda.Run) func()
		want string
	}{
		"killed at its answer": {func(r *lambda.Run) func() { return r.Kill }, "signal: killed"},
		"frozen at its answer": {func(r *lambda.Run) func() {
			r.Timeout = 50 * time.Millisecond
			return r.Freeze
		}, "Task timed out after 0.05 seconds"},
		"killed before it begins": {func(r *lambda.Run) func() {
			r.Kill()
			end = nil // the next process is spared
			return nil
		}, `"pid"`},
	} {
		end = tc.end
		r := invoke(t, host, "echo", "{}")
		if !strings.Contains(string(r.Payload), tc.want) || d.ended.Load() != 1 {
			t.Errorf("%s: %s, ended %d times", name, r.Payload, d.ended.Load())
		}
		end = nil
		if r := invoke(t, host, "echo", "{}"); r.FunctionError != "" {
			t.Errorf("after %s: %s", name, r.Payload)
		}
	}
}

func TestFaultThrottles(t *testing.T) {
	host := startHost(t, lambda.Config{Functions: []lambda.Function{function("echo")}, Faults: faults{throttle: true}})
	if _, err := host.Invoke(t.Context(), "echo", []byte("{}")); err == nil || !strings.Contains(err.Error(), "TooManyRequestsException") {
		t.Errorf("invoked: %v", err)
	}
}
