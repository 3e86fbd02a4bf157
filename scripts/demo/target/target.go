// Package target finds the running stack that a journey or a benchmark goes to: a local
// runtime that it starts, one that `make dev` started, or a deployed stage.
package target

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/stowage-dev/stowage/scripts/demo/journey"
	"github.com/stowage-dev/stowage/shared/client"
)

const (
	startTimeout = 3 * time.Minute // a cold start builds every function for this machine
	stopTimeout  = 15 * time.Second
)

// Local is a local runtime that was started for one purpose.
type Local struct {
	journey.Target
	PID  int
	stop func() error
}

// Stop stops the runtime and waits for it.
func (l *Local) Stop() error { return l.stop() }

// StartLocal starts the local runtime with an empty state directory and ports of its
// own, so that it can run beside `make dev`, and returns when it is ready. How to call it,
// which the runtime says then, is left out: it ends with whoever started it.
func StartLocal(ctx context.Context, binary, state string, flags ...string) (*Local, error) {
	state, err := filepath.Abs(state)
	if err != nil {
		return nil, fmt.Errorf("locate the state directory: %w", err)
	}
	if err := os.RemoveAll(state); err != nil {
		return nil, fmt.Errorf("remove the last run's state: %w", err)
	}
	own := []string{"--state", state, "--api-port", "0", "--gateway-port", "0", "--console-port", "0", "--reload=false", "--must-be-ready"}
	cmd := exec.Command(binary, append(own, flags...)...)
	cmd.Stderr = os.Stderr                                // progress, and what went wrong
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // Ctrl-C reaches it through stop, once
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the local runtime: %w", err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	stop := func() error { return stopLocal(cmd, ended) }

	target, err := awaitReady(ctx, filepath.Join(state, "dev.json"), ended)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return &Local{Target: target, PID: cmd.Process.Pid, stop: stop}, nil
}

func awaitReady(ctx context.Context, dev string, ended chan error) (journey.Target, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if target, err := ReadDev(dev); err == nil {
			return target, nil
		}
		select {
		case err := <-ended:
			ended <- err
			return journey.Target{}, errors.New("the local runtime ended before it was ready; its last lines above say why")
		case <-ctx.Done():
			return journey.Target{}, fmt.Errorf("the local runtime was not ready: %w", context.Cause(ctx))
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func stopLocal(cmd *exec.Cmd, ended chan error) error {
	_ = cmd.Process.Signal(syscall.SIGINT) // it may have ended already
	select {
	case err := <-ended:
		if err != nil {
			return fmt.Errorf("the local runtime ended with: %w", err)
		}
		return nil
	case <-time.After(stopTimeout):
		_ = cmd.Process.Kill()
		return fmt.Errorf("the local runtime did not stop within %s and was killed", stopTimeout)
	}
}

// ReadDev reads the file that a local runtime writes when it is ready.
func ReadDev(file string) (journey.Target, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return journey.Target{}, fmt.Errorf("read %s (is `make dev` running?): %w", file, err)
	}
	var dev struct {
		APIURL string            `json:"apiUrl"`
		Tokens map[string]string `json:"tokens"`
		Events string            `json:"events"`
	}
	if err := json.Unmarshal(data, &dev); err != nil {
		return journey.Target{}, fmt.Errorf("decode %s: %w", file, err)
	}
	if dev.APIURL == "" || dev.Tokens["alpha"] == "" || dev.Tokens["beta"] == "" {
		return journey.Target{}, fmt.Errorf("%s lacks apiUrl or the tokens alpha and beta", file)
	}
	return journey.Target{
		API: dev.APIURL, Alpha: client.StaticToken(dev.Tokens["alpha"]), Beta: client.StaticToken(dev.Tokens["beta"]), Events: dev.Events,
	}, nil
}

// ReadOutputs takes the API of a deployed stage from the outputs of `cdk deploy`, and
// the tokens of two members from the environment, since only its users can get those.
func ReadOutputs(file string) (journey.Target, error) {
	data, err := os.ReadFile(file)
	if err != nil {
		return journey.Target{}, fmt.Errorf("read the stage's outputs (run `make deploy` first): %w", err)
	}
	var stacks map[string]map[string]string
	if err := json.Unmarshal(data, &stacks); err != nil {
		return journey.Target{}, fmt.Errorf("decode %s: %w", file, err)
	}
	target := journey.Target{
		Alpha: client.StaticToken(os.Getenv("STOWAGE_TOKEN_ALPHA")),
		Beta:  client.StaticToken(os.Getenv("STOWAGE_TOKEN_BETA")),
	}
	for _, outputs := range stacks {
		if url := outputs["ApiUrl"]; url != "" {
			target.API = url
		}
	}
	if target.API == "" {
		return journey.Target{}, fmt.Errorf("%s holds no output ApiUrl; was the Service stack deployed?", file)
	}
	if os.Getenv("STOWAGE_TOKEN_ALPHA") == "" || os.Getenv("STOWAGE_TOKEN_BETA") == "" {
		return journey.Target{}, errors.New("set STOWAGE_TOKEN_ALPHA and STOWAGE_TOKEN_BETA to access tokens of a writer of the workspaces alpha and beta of that stage (docs/deploy.md shows how to get them)")
	}
	return target, nil
}
