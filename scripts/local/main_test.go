package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/engines/pgbouncer"
	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// asCommand makes the test binary be the command, and its engine.
const asCommand = "LOCAL_TEST_AS_COMMAND"

var recorderDir string

func TestMain(m *testing.M) {
	if os.Getenv(asCommand) != "" {
		main()
		return
	}
	dir, err := stacktest.Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	recorderDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// command is a running runtime.
type command struct {
	*exec.Cmd
	state string
	out   *output
	ended chan error
}

// output can be read while it is written.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}

func launch(t *testing.T, a stacktest.App, state string, args ...string) command {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := command{state: state, out: &output{}, ended: make(chan error, 1)}
	c.Cmd = exec.Command(exe, append([]string{"--cdk-out", a.Dir, "--source", filepath.Join("..", ".."), "--state", state, "--api-port", "0", "--gateway-port", "0", "--console-port", "0", "--reload=false"}, args...)...)
	c.Env = append(os.Environ(), asCommand+"=1")
	c.Stdout, c.Stderr = c.out, c.out
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	go func() { c.ended <- c.Wait() }()
	t.Cleanup(func() { _ = c.Process.Kill() })
	return c
}

func (c command) awaitReady(t *testing.T) {
	t.Helper()
	deadline := time.After(60 * time.Second)
	for {
		if _, err := os.Stat(filepath.Join(c.state, "dev.json")); err == nil {
			return
		}
		select {
		case err := <-c.ended:
			t.Fatalf("it ended: %v\n%s", err, c.out)
		case <-deadline:
			t.Fatalf("it is not ready:\n%s", c.out)
		case <-time.After(10 * time.Millisecond):
		}
	}
}

func (c command) awaitEnd(t *testing.T) error {
	t.Helper()
	select {
	case err := <-c.ended:
		return err
	case <-time.After(20 * time.Second):
		t.Fatalf("it does not end:\n%s", c.out)
		return nil
	}
}

// children are the processes that a process has started.
func children(t *testing.T, pid int) []int {
	t.Helper()
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	var out []int
	for _, path := range stats {
		raw, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended since
		}
		_, rest, _ := strings.Cut(string(raw), ") ")
		if fields := strings.Fields(rest); len(fields) > 1 && fields[0] != "Z" && fields[1] == strconv.Itoa(pid) {
			child, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, child)
		}
	}
	return out
}

func awaitGone(t *testing.T, pids []int) {
	t.Helper()
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(10 * time.Millisecond) {
		left := 0
		for _, pid := range pids {
			if syscall.Kill(pid, 0) == nil {
				left++
			}
		}
		if left == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%d of the processes %v are left", left, pids)
		}
	}
}

func TestInterruptLeavesNothing(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	c := launch(t, a, t.TempDir())
	c.awaitReady(t)
	started := children(t, c.Process.Pid)
	if len(started) < 3 { // two engines and at least one function
		t.Errorf("children: %v", started)
	}
	if out := c.out.String(); !strings.Contains(out, "curl -H") || !strings.Contains(out, `curl -d '{"sub": "alpha-user"}' http://127.0.0.1:`) {
		t.Errorf("it said %s", out)
	}
	if err := c.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := c.awaitEnd(t); err != nil {
		t.Errorf("it ended with %v:\n%s", err, c.out)
	}
	awaitGone(t, started)
	if _, err := os.Stat(filepath.Join(c.state, "dev.json")); err == nil {
		t.Error("dev.json is left")
	}
}

func TestKilledRuntimeLeavesNothingAndStartsAgain(t *testing.T) {
	a, state := stacktest.New(t, recorderDir), t.TempDir()
	for range 3 {
		c := launch(t, a, state)
		c.awaitReady(t)
		started := children(t, c.Process.Pid)
		if err := c.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		if err := c.awaitEnd(t); err == nil {
			t.Error("killed, it ended well")
		}
		awaitGone(t, started)
	}
}

func TestDeadEngineStopsEverything(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	c := launch(t, a, t.TempDir())
	c.awaitReady(t)
	started := children(t, c.Process.Pid)
	for _, pid := range started {
		if cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && bytes.Contains(cmdline, []byte("dynoxide")) {
			if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	err := c.awaitEnd(t)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		t.Errorf("it ended with %v, want exit status 1", err)
	}
	if out := c.out.String(); !strings.Contains(out, "the DynamoDB engine ended") {
		t.Errorf("it said %s", out)
	}
	awaitGone(t, started)
}

func TestBusyPort(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	_, port, err := net.SplitHostPort(taken.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := launch(t, stacktest.New(t, recorderDir), t.TempDir(), "--api-port", port)
	if err := c.awaitEnd(t); err == nil {
		t.Error("it ended well")
	}
	if out := c.out.String(); !strings.Contains(out, "port "+port) || !strings.Contains(out, "--api-port") {
		t.Errorf("it said %s", out)
	}
}

// TestCheck: who is in the way is told before there is an assembly to read, and nothing
// is changed.
func TestCheck(t *testing.T) {
	none := stacktest.App{Dir: filepath.Join(t.TempDir(), "cdk.out")}
	state := t.TempDir()
	if c := launch(t, none, state, "--check"); c.awaitEnd(t) != nil {
		t.Errorf("with nobody in the way: %s", c.out)
	}
	c := launch(t, stacktest.New(t, recorderDir), state)
	c.awaitReady(t)
	before, err := os.ReadFile(filepath.Join(state, "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	var dev stack.DevFile
	if err := json.Unmarshal(before, &dev); err != nil {
		t.Fatal(err)
	}
	port := dev.APIURL[strings.LastIndexByte(dev.APIURL, ':')+1:]
	for name, tc := range map[string]struct {
		state string
		args  []string
		want  []string
	}{
		"the same state": {state, []string{"--reset"}, []string{fmt.Sprintf("another runtime (process %d)", c.Process.Pid), "STOWAGE_STATE=" + filepath.Join(state, "second")}},
		"the same port":  {t.TempDir(), []string{"--api-port", port}, []string{"port " + port, "STOWAGE_API_PORT"}},
	} {
		second := launch(t, none, tc.state, append(tc.args, "--check")...)
		if err := second.awaitEnd(t); err == nil {
			t.Errorf("%s: it ended well", name)
		}
		for _, want := range tc.want {
			if out := second.out.String(); !strings.Contains(out, want) {
				t.Errorf("%s: it said %s, want %q", name, out, want)
			}
		}
	}
	if after, err := os.ReadFile(filepath.Join(state, "dev.json")); err != nil || !bytes.Equal(after, before) {
		t.Errorf("dev.json is now %s, %v", after, err)
	}
}

// TestMakeDevChecksFirst: synthesizing takes minutes, so whether a runtime is in the way
// is looked at before.
func TestMakeDevChecksFirst(t *testing.T) {
	dev := exec.Command("make", "--dry-run", "dev", "RELATIONAL=1")
	dev.Dir = filepath.Join("..", "..")
	out, err := dev.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	check, synth := bytes.Index(out, []byte("stowage-local --check")), bytes.Index(out, []byte("--silent synth"))
	if check < 0 || synth < check {
		t.Errorf("make dev does\n%s", out)
	}
}

func TestDatabasesOnTheScreen(t *testing.T) {
	commands := []string{"psql straight", "psql pooled"}
	want := "  database psql straight\n  database psql pooled  (functions call through pgbouncer)\n"
	if got := databases(commands, []*stack.Database{{}, {Pooler: &pgbouncer.Engine{}}}); got != want {
		t.Errorf("it says\n%s, want\n%s", got, want)
	}
}

func TestOptions(t *testing.T) {
	env := func(vars map[string]string) func(string) (string, bool) {
		return func(name string) (string, bool) { v, ok := vars[name]; return v, ok }
	}
	for _, tc := range []struct {
		name string
		args []string
		vars map[string]string
		want func(options) bool
		err  string
	}{
		{name: "defaults", want: func(o options) bool {
			return o.stack.Assembly == "cdk.out" && o.stack.State == ".stowage" && o.stack.APIPort == defaultAPIPort && !o.stack.Reset && o.logLevel == slog.LevelInfo
		}},
		{name: "variables", vars: map[string]string{"STOWAGE_API_PORT": "1", "RESET": "1", "STOWAGE_STATE": "s", "STOWAGE_DYNAMODB_ENDPOINT": "http://x", "STOWAGE_LOG_LEVEL": "debug"},
			want: func(o options) bool {
				return o.stack.APIPort == 1 && o.stack.Reset && o.stack.State == "s" && o.stack.DynamoDBEndpoint == "http://x" && o.logLevel == slog.LevelDebug
			}},
		{name: "an empty variable is none", vars: map[string]string{"RESET": "", "STOWAGE_API_PORT": ""}, want: func(o options) bool { return !o.stack.Reset && o.stack.APIPort == defaultAPIPort }},
		{name: "flags win", args: []string{"--api-port", "2"}, vars: map[string]string{"STOWAGE_API_PORT": "1"}, want: func(o options) bool { return o.stack.APIPort == 2 }},
		{name: "the console may move", want: func(o options) bool { return o.stack.ConsoleMayMove && o.stack.ConsolePort == defaultConsolePort }},
		{name: "unless a flag says where it is", args: []string{"--console-port", "9"}, want: func(o options) bool { return !o.stack.ConsoleMayMove && o.stack.ConsolePort == 9 }},
		{name: "or a variable", vars: map[string]string{"STOWAGE_CONSOLE_PORT": "9"}, want: func(o options) bool { return !o.stack.ConsoleMayMove && o.stack.ConsolePort == 9 }},
		{name: "lowest port", args: []string{"--api-port", "0"}, want: func(o options) bool { return o.stack.APIPort == 0 }},
		{name: "highest port", args: []string{"--gateway-port", "65535"}, want: func(o options) bool { return o.stack.GatewayPort == 65535 }},
		{name: "below the ports", args: []string{"--api-port", "-1"}, err: "--api-port: -1"},
		{name: "above the ports", args: []string{"--gateway-port", "65536"}, err: "--gateway-port: 65536"},
		{name: "no number", vars: map[string]string{"STOWAGE_API_PORT": "http"}, err: `STOWAGE_API_PORT: want a number, have "http"`},
		{name: "no switch", vars: map[string]string{"RESET": "perhaps"}, err: `RESET: want 1 or 0, have "perhaps"`},
		{name: "no level", vars: map[string]string{"STOWAGE_LOG_LEVEL": "loud"}, err: "STOWAGE_LOG_LEVEL"},
		{name: "unknown flag", args: []string{"--colour"}, err: "colour"},
		{name: "nothing is reloaded unless it is asked for", want: func(o options) bool { return !o.reload && !o.mustBe && o.synth == "" }},
		{name: "make dev reloads", vars: map[string]string{"STOWAGE_RELOAD": "1", "STOWAGE_SYNTH": "make synth STAGE=dev"}, want: func(o options) bool { return o.reload && o.synth == "make synth STAGE=dev" }},
		{name: "a flag switches it off", args: []string{"--reload=false"}, vars: map[string]string{"STOWAGE_RELOAD": "1"}, want: func(o options) bool { return !o.reload }},
		{name: "calm unless it is asked for", vars: map[string]string{"STOWAGE_SEED": "7"}, want: func(o options) bool { return len(o.chaos.Rates) == 0 }},
		{name: "hostile from a seed", args: []string{"--chaos", "seed=7"}, vars: map[string]string{"STOWAGE_SEED": "8"}, want: func(o options) bool { return o.chaos.Seed == 7 && len(o.chaos.Rates) > 10 }},
		{name: "a seed of its own", vars: map[string]string{"STOWAGE_CHAOS": "kills=0.1", "STOWAGE_SEED": "8"}, want: func(o options) bool { return o.chaos.Seed == 8 && len(o.chaos.Rates) == 1 }},
		{name: "no fault", args: []string{"--chaos", "kils=1"}, err: "--chaos: "},
		{name: "no seed", vars: map[string]string{"STOWAGE_CHAOS": "on", "STOWAGE_SEED": "x"}, err: "STOWAGE_SEED: "},
		{name: "only a look", args: []string{"--check"}, want: func(o options) bool { return o.check }},
		{name: "argument", args: []string{"now"}, err: `unexpected argument "now"`},
	} {
		t.Run(tc.name, func(t *testing.T) {
			o, err := parse(tc.args, env(tc.vars), &bytes.Buffer{})
			switch {
			case tc.err == "" && (err != nil || !tc.want(o)):
				t.Errorf("options = %+v, %v", o, err)
			case tc.err != "" && (err == nil || !strings.Contains(err.Error(), tc.err)):
				t.Errorf("err = %v, want %q", err, tc.err)
			}
		})
	}
	if _, err := parse([]string{"--help"}, env(nil), &bytes.Buffer{}); !errors.Is(err, errHelp) {
		t.Errorf("help: %v", err)
	}
}
