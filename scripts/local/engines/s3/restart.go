package s3

import (
	"context"
	"errors"
	"fmt"
	"net/rpc"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

// running is one process of an engine.
type running struct {
	process *child.Process
	engine  *rpc.Client
}

func (r *running) stop() error { return errors.Join(r.process.Stop(0), r.engine.Close()) }

// await returns where the engine serves, or why it does not.
func (r *running) await(ctx context.Context, ready <-chan string) (endpoint string, err error) {
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case address := <-ready:
		return scheme + address, nil
	case <-r.process.Done():
		return "", r.death()
	case <-timeout.C:
		return "", fmt.Errorf("it does not serve after %v: %s", startTimeout, r.process.Stderr())
	case <-ctx.Done():
		return "", context.Cause(ctx) //nolint:wrapcheck // wrapped by the callers
	}
}

// death is why the process ended though nobody stopped it.
func (r *running) death() error {
	if err := r.process.Err(); err != nil {
		return err
	}
	return errors.New("its process ended by itself")
}

// become makes r the engine's process; nil: there is none for the moment.
func (e *Engine) become(r *running, endpoint string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.current, e.endpoint = r, endpoint
	e.known.forget()
	close(e.changed)
	e.changed = make(chan struct{})
}

// is says whether r is the engine's process.
func (e *Engine) is(r *running) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.current == r
}

// up is the engine's process, once there is one.
func (e *Engine) up(ctx context.Context) (*running, error) {
	for {
		e.mu.Lock()
		r, changed := e.current, e.changed
		e.mu.Unlock()
		if r != nil {
			return r, nil
		}
		select {
		case <-changed:
		case <-e.life.Done():
			return nil, errors.New("the S3 engine is stopped")
		case <-ctx.Done():
			return nil, context.Cause(ctx) //nolint:wrapcheck // wrapped by the caller
		}
	}
}

// restartPause is the wait between two attempts to start again: the address may
// be held for a moment by connections that are being closed.
const restartPause = 20 * time.Millisecond

// Restart kills the engine as kill -9 does and starts it again at the same
// address, over the same objects. It returns when the engine serves, or why it
// does not by the end of ctx; the engine is dead then, and Wait says so. Calls of
// Restart must not overlap.
func (e *Engine) Restart(ctx context.Context) error {
	e.mu.Lock()
	old, endpoint := e.current, e.endpoint
	stopped := old == nil || e.life.Err() != nil
	if !stopped {
		e.tasks.Add(1) // Close waits for the restart
	}
	e.mu.Unlock()
	if stopped {
		return nil
	}
	defer e.tasks.Done()
	e.become(nil, endpoint)
	err := old.process.Stop(0)
	if err == nil {
		err = e.relaunch(ctx, strings.TrimPrefix(endpoint, scheme))
	}
	if err == nil {
		return nil
	}
	err = fmt.Errorf("restart the S3 engine: %w", err)
	e.end(err)
	return err
}

func (e *Engine) relaunch(ctx context.Context, address string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.life, cancel)() //nolint:contextcheck // the engine may be stopped meanwhile
	for {
		err := e.launch(ctx, address)
		switch {
		case e.life.Err() != nil: // a process that was started in spite of it is stopped by its watch
			if err != nil {
				e.end(nil)
			}
			return nil
		case err == nil, ctx.Err() != nil:
			return err
		}
		time.Sleep(restartPause)
	}
}
