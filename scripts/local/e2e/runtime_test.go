// Package e2e_test runs the deployed template whole, as `make dev` does, and
// uses it as its clients would. It needs cdk.out: run `make synth` first.
package e2e_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/shared/client"
)

// binary is the local runtime.
var binary string

func TestMain(m *testing.M) {
	if api := os.Getenv("E2E_SEND_API"); api != "" { // the process that TestAKilledClientResumes kills
		if err := sendInParts(api, os.Getenv("E2E_SEND_TOKEN")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if _, err := os.Stat("../../../cdk.out/manifest.json"); err != nil {
		fmt.Fprintln(os.Stderr, "there is no synthesized assembly to run: run `make synth` first")
		os.Exit(1)
	}
	dir, err := os.MkdirTemp("", "e2e-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "stowage-local")
	if out, err := exec.Command("go", "build", "-o", binary, "..").CombinedOutput(); err != nil {
		fmt.Fprintf(os.Stderr, "build the local runtime: %v\n%s", err, out)
		os.Exit(1)
	}
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// local is a running local runtime.
type local struct {
	cmd   *exec.Cmd
	state string
	ended chan struct{}
	out   *output
	dev   devFile
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

type devFile struct {
	APIURL     string            `json:"apiUrl"`
	S3Endpoint string            `json:"s3Endpoint"`
	Tokens     map[string]string `json:"tokens"`
	Events     string            `json:"events"`
}

// launch starts the runtime and waits until it is ready. Further flags override its own.
func launch(t *testing.T, state string, flags ...string) *local {
	t.Helper()
	l := &local{state: state, ended: make(chan struct{}), out: &output{}}
	// A runtime that was killed leaves its file until the next one starts.
	if err := os.Remove(filepath.Join(state, "dev.json")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	l.cmd = exec.Command(binary, append([]string{"--cdk-out", "../../../cdk.out", "--state", state,
		"--api-port", "0", "--gateway-port", "0", "--console-port", "0", "--reload=false", "--must-be-ready"}, flags...)...)
	l.cmd.Stdout, l.cmd.Stderr = l.out, l.out
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(l.ended)
		_ = l.cmd.Wait() // its output says what went wrong
	}()
	t.Cleanup(l.kill)
	const patience = 5 * time.Minute // the functions are compiled first
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		raw, err := os.ReadFile(filepath.Join(state, "dev.json"))
		if err == nil {
			if err := json.Unmarshal(raw, &l.dev); err != nil {
				t.Fatal(err)
			}
			return l
		}
		select {
		case <-l.ended:
			t.Fatalf("the runtime ended:\n%s", l.out)
		default:
		}
		if time.Now().After(deadline) {
			l.kill()
			t.Fatalf("the runtime is not ready:\n%s", l.out)
		}
	}
}

// kill ends the runtime as kill -9 does.
func (l *local) kill() {
	_ = l.cmd.Process.Kill() // it may have ended
	<-l.ended
}

// client calls the API as the owner of a workspace.
func (l *local) client(t *testing.T, workspace string) *client.Client {
	t.Helper()
	c, err := client.New(l.dev.APIURL, client.StaticToken(l.dev.Tokens[workspace]), &client.Options{Workspace: workspace, PollInterval: 5 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
