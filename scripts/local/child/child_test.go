package child_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

// roleEnv makes the test binary play a process of the tests.
const roleEnv = "CHILD_TEST_ROLE"

func TestMain(m *testing.M) {
	if os.Getenv(roleEnv) == "runtime" {
		playRuntime()
		return
	}
	os.Exit(m.Run())
}

// playRuntime starts a child, prints its pid and waits to be killed.
func playRuntime() {
	p, err := child.Start(exec.Command("sleep", "300"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	fmt.Println(p.PID())
	<-p.Done()
}

func TestKilledRuntimeLeavesNoChild(t *testing.T) {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	parent := exec.Command(exe)
	parent.Env = append(os.Environ(), roleEnv+"=runtime")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatalf("child %d is not running", pid)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed: the error is what was asked for
	waitGone(t, pid)
}

func TestStopIsGracefulThenForceful(t *testing.T) {
	for _, tc := range []struct {
		name, script string
		grace        time.Duration
		code         int
	}{
		{"exits on SIGTERM", `trap 'exit 7' TERM; echo ready >&2; while :; do sleep 0.01; done`, 10 * time.Second, 7},
		{"ignores SIGTERM", `trap '' TERM; echo ready >&2; while :; do sleep 0.01; done`, 100 * time.Millisecond, -1},
		{"no grace", `trap 'exit 7' TERM; echo ready >&2; while :; do sleep 0.01; done`, 0, -1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := start(t, exec.Command("sh", "-c", tc.script))
			waitFor(t, func() bool { return strings.Contains(p.Stderr(), "ready") })
			if err := p.Stop(tc.grace); err != nil {
				t.Fatal(err)
			}
			if got := p.ExitCode(); got != tc.code {
				t.Errorf("exit code %d, want %d", got, tc.code)
			}
			if err := p.Stop(tc.grace); err != nil {
				t.Errorf("second Stop: %v", err)
			}
		})
	}
}

func TestStopReachesGrandchildren(t *testing.T) {
	p := start(t, exec.Command("sh", "-c", `sleep 300 & echo $! >&2; wait`))
	waitFor(t, func() bool { return strings.HasSuffix(p.Stderr(), "\n") })
	pid, err := strconv.Atoi(strings.TrimSpace(p.Stderr()))
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Stop(0); err != nil {
		t.Fatal(err)
	}
	waitGone(t, pid)
}

func TestErrTellsHowItEnded(t *testing.T) {
	p := start(t, exec.Command("sh", "-c", `echo "no space left" >&2; exit 3`))
	<-p.Done()
	var exit *exec.ExitError
	if err := p.Err(); !errors.As(err, &exit) || !strings.Contains(err.Error(), "no space left") {
		t.Errorf("Err() = %v, want the exit status and the end of standard error", err)
	}
	if got := p.ExitCode(); got != 3 {
		t.Errorf("exit code %d, want 3", got)
	}
	p = start(t, exec.Command("true"))
	<-p.Done()
	if err := p.Err(); err != nil {
		t.Errorf("Err() after exit 0 = %v", err)
	}
}

func TestStderrKeepsTheEndAndStillReachesTheCaller(t *testing.T) {
	var all strings.Builder
	cmd := exec.Command("sh", "-c", `i=0; while [ $i -lt 2000 ]; do echo "line $i" >&2; i=$((i+1)); done`)
	cmd.Stderr = &all
	p := start(t, cmd)
	<-p.Done()
	if got := p.Stderr(); len(got) > 4<<10 || !strings.HasSuffix(got, "line 1999\n") {
		t.Errorf("tail of %d bytes ends in %q", len(got), got[max(0, len(got)-20):])
	}
	if !strings.HasPrefix(all.String(), "line 0\n") {
		t.Error("the caller's writer missed the beginning")
	}
}

// full is a log on a full disk.
type full struct{}

func (full) Write([]byte) (int, error) { return 0, syscall.ENOSPC }

func TestAFullLogEndsNoChild(t *testing.T) {
	cmd := exec.Command("sh", "-c", "for i in 1 2 3; do echo line $i >&2; sleep 0.05; done")
	cmd.Stderr = full{}
	p := start(t, cmd)
	<-p.Done()
	if p.Err() != nil || !strings.Contains(p.Stderr(), "line 3") {
		t.Errorf("it ended with %v after %q", p.Err(), p.Stderr())
	}
}

func TestOneWriterForBothOutputsStaysOne(t *testing.T) {
	var all bytes.Buffer
	cmd := exec.Command("sh", "-c", `i=0; while [ $i -lt 500 ]; do echo out; echo err >&2; i=$((i+1)); done`)
	cmd.Stdout, cmd.Stderr = &all, &all
	p := start(t, cmd)
	<-p.Done()
	if got := strings.Count(all.String(), "out\n") + strings.Count(all.String(), "err\n"); got != 1000 {
		t.Errorf("%d lines arrived, want 1000", got)
	}
}

func TestContextEndsTheGroup(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	p := start(t, exec.CommandContext(ctx, "sleep", "300"))
	cancel()
	select {
	case <-p.Done():
	case <-time.After(10 * time.Second):
		t.Fatal("still running after its context ended")
	}
}

func TestMissingProgramIsNamed(t *testing.T) {
	_, err := child.Start(exec.Command("/nonexistent/engine"))
	if err == nil || !strings.Contains(err.Error(), "engine") {
		t.Errorf("err = %v, want one that names the program", err)
	}
}

func start(t *testing.T, cmd *exec.Cmd) *child.Process {
	t.Helper()
	p, err := child.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Stop(0) })
	return p
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("condition not met within 10 s")
		}
	}
}

func waitGone(t *testing.T, pid int) {
	t.Helper()
	waitFor(t, func() bool { return !alive(pid) })
}

// alive reports whether pid runs; a zombie that nobody reaps counts as gone.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}
