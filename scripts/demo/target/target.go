// Package target finds the running stack that a journey or a benchmark goes to: a local
// runtime that it starts, one that `make dev` started, or a deployed stage.
package target

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/stowage-dev/stowage/scripts/demo/journey"
	"github.com/stowage-dev/stowage/scripts/deployment"
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

	target, err := awaitReady(ctx, deployment.Where{Dev: filepath.Join(state, "dev.json")}, ended)
	if err != nil {
		return nil, errors.Join(err, stop())
	}
	return &Local{Target: target, PID: cmd.Process.Pid, stop: stop}, nil
}

func awaitReady(ctx context.Context, started deployment.Where, ended chan error) (journey.Target, error) {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	for {
		if target, err := Find(ctx, started); err == nil {
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

// Find is a stack that runs already. Tokens of a deployed stage are taken from the
// environment, since only its users can get those.
func Find(ctx context.Context, where deployment.Where) (journey.Target, error) {
	stack, err := where.Find(ctx)
	if err != nil {
		return journey.Target{}, err
	}
	if stack.API == "" {
		return journey.Target{}, errors.New("the stack has no API: was the Service stack deployed?")
	}
	alpha, beta := stack.Tokens["alpha"], stack.Tokens["beta"]
	if stack.Tokens == nil {
		alpha, beta = os.Getenv("STOWAGE_TOKEN_ALPHA"), os.Getenv("STOWAGE_TOKEN_BETA")
	}
	if alpha == "" || beta == "" {
		return journey.Target{}, errors.New("set STOWAGE_TOKEN_ALPHA and STOWAGE_TOKEN_BETA to access tokens of a writer of the workspaces alpha and beta of that stage (docs/deploy.md shows how to get them)")
	}
	return journey.Target{API: stack.API, Alpha: client.StaticToken(alpha), Beta: client.StaticToken(beta), Events: stack.Events}, nil
}
