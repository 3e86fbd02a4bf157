package dynamodb

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

// restartPause is the wait between two attempts to start the engine again: its
// port may be held for a moment by connections that are being closed.
const restartPause = 20 * time.Millisecond

// Restart kills the engine as kill -9 does and starts it again at the same
// address, over the same data. It returns when the engine answers, or why it
// does not by the end of ctx; the engine is dead then, and Wait says so. Calls
// of Restart must not overlap.
func (e *Engine) Restart(ctx context.Context) error {
	process, err := e.detach()
	if err != nil || process == nil {
		return err
	}
	defer e.tasks.Done()
	if err = process.Stop(0); err == nil {
		err = e.relaunch(ctx)
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("restart the DynamoDB engine: %w", err)
	select {
	case e.died <- err:
	default:
	}
	return err
}

// detach takes the process away from those who watch it, so that its end is no
// failure. There is none to restart when the engine is being closed.
func (e *Engine) detach() (*child.Process, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.closed() {
		return nil, nil
	}
	if e.process == nil {
		return nil, errors.New("restart the DynamoDB engine: it was not started by this runtime")
	}
	process := e.process
	e.process = nil
	e.tasks.Add(1) // Close waits for the restart
	return process, nil
}

func (e *Engine) relaunch(ctx context.Context) error {
	for {
		err := e.launch(e.life) //nolint:contextcheck // the process lives longer than the call
		switch {
		case err == nil && e.closed(): // Close did not see the new process
			return e.current().Stop(stopGrace)
		case err == nil, e.closed():
			return nil
		}
		select {
		case <-ctx.Done():
			return err
		case <-e.closing:
			return nil
		case <-time.After(restartPause):
		}
	}
}

func (e *Engine) closed() bool {
	select {
	case <-e.closing:
		return true
	default:
		return false
	}
}
