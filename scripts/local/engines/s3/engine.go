package s3

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

// Engine is a running S3 engine. It is safe for concurrent use.
type Engine struct {
	endpoint string
	process  *child.Process
	engine   *rpc.Client
	cancel   context.CancelFunc
	ended    chan error
}

// startTimeout is how long the engine may take to serve. It takes 20 ms; recovering a long outbox or a
// slow disk may take longer.
const startTimeout = time.Minute

// stopGrace is how long it may take to end when asked to. It ends at once, in the middle of what it
// does, as it must be able to anyway.
const stopGrace = 2 * time.Second

// Start starts the engine, creates its buckets and returns when it serves. The engine stops when ctx
// ends or Close is called.
func Start(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cmd, err := command(cfg)
	if err != nil {
		return nil, fmt.Errorf("start the S3 engine: %w", err)
	}
	fromEngine, toRuntime, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("start the S3 engine: %w", err)
	}
	toEngine, fromRuntime, err := socketPair()
	if err != nil {
		return nil, fmt.Errorf("start the S3 engine: %w", err)
	}
	cmd.ExtraFiles = []*os.File{toRuntime, fromRuntime} // toRuntimeFD, toEngineFD
	process, err := child.Start(cmd)
	err = errors.Join(err, toRuntime.Close(), fromRuntime.Close())
	if err != nil {
		return nil, fmt.Errorf("start the S3 engine: %w", err)
	}
	life, cancel := context.WithCancel(ctx)
	e := &Engine{
		process: process, engine: rpc.NewClient(toEngine), cancel: cancel, ended: make(chan error, 1),
	}
	ready := make(chan string, 1)
	server := rpc.NewServer()
	if err := server.RegisterName(runtimeName, &runtimeService{ctx: life, event: cfg.OnEvent, ready: ready}); err != nil {
		cancel()
		return nil, errors.Join(fmt.Errorf("start the S3 engine: %w", err), process.Stop(0))
	}
	go server.ServeConn(fromEngine)
	go e.watch(life)
	if err := e.await(ctx, ready); err != nil {
		return nil, errors.Join(fmt.Errorf("start the S3 engine: %w", err), e.Close())
	}
	return e, nil
}

// command is the engine's process with its settings as standard input, where no other process can read
// the master key.
func command(cfg Config) (*exec.Cmd, error) {
	argv := cfg.Argv
	if len(argv) == 0 {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this binary: %w", err)
		}
		argv = []string{self, Command}
	}
	dir, err := filepath.Abs(cfg.Dir) // the engine changes its working directory
	if err != nil {
		return nil, fmt.Errorf("find its directory: %w", err)
	}
	input, err := json.Marshal(settings{
		Dir: dir, Region: cfg.Region, MasterKey: cfg.MasterKey, Users: cfg.Users, Buckets: cfg.Buckets,
	})
	if err != nil {
		return nil, fmt.Errorf("encode its settings: %w", err)
	}
	cmd := exec.Command(argv[0], argv[1:]...) //nolint:gosec,noctx // its own binary; child ends it
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stderr = cfg.Stderr
	return cmd, nil
}

// await returns once the engine serves, or why it does not.
func (e *Engine) await(ctx context.Context, ready <-chan string) error {
	timeout := time.NewTimer(startTimeout)
	defer timeout.Stop()
	select {
	case address := <-ready:
		e.endpoint = "http://" + address
		return nil
	case <-e.process.Done():
		return e.death()
	case <-timeout.C:
		return fmt.Errorf("it does not serve after %v: %s", startTimeout, e.process.Stderr())
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // wrapped by the caller
	}
}

// death is why the process ended though nobody stopped it.
func (e *Engine) death() error {
	if err := e.process.Err(); err != nil {
		return err //nolint:wrapcheck // wrapped by the callers
	}
	return errors.New("its process ended by itself")
}

// watch stops the engine when ctx ends, and reports its end.
func (e *Engine) watch(ctx context.Context) {
	select {
	case <-ctx.Done():
		if err := e.process.Stop(stopGrace); err != nil {
			e.ended <- fmt.Errorf("stop the S3 engine: %w", err)
			return
		}
		e.ended <- nil
	case <-e.process.Done():
		e.ended <- fmt.Errorf("the S3 engine died: %w", e.death())
	}
	_ = e.engine.Close()
}

// Endpoint is the engine's own URL. Clients use the gateway's.
func (e *Engine) Endpoint() string { return e.endpoint }

// Wait receives once, when the engine has ended: why it died, or nil when it was stopped.
func (e *Engine) Wait() <-chan error { return e.ended }

// PID is the id of the engine's process.
func (e *Engine) PID() int { return e.process.PID() }

// Close stops the engine and returns when its process is gone.
func (e *Engine) Close() error {
	e.cancel()
	<-e.process.Done()
	return nil
}

// ErrNoObject says that an object, or the version asked for, does not exist or is a delete marker.
var ErrNoObject = errors.New("no such object")

// ObjectTags are the tags of an object's version; of the newest, if versionID is empty.
func (e *Engine) ObjectTags(ctx context.Context, bucket, key, versionID string) (map[string]string, error) {
	var answer tagsAnswer
	call := e.engine.Go(callTags, tagsQuery{Bucket: bucket, Key: key, VersionID: versionID}, &answer, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
	case <-ctx.Done():
		return nil, fmt.Errorf("tags of %s/%s: %w", bucket, key, context.Cause(ctx))
	}
	if call.Error != nil {
		return nil, fmt.Errorf("tags of %s/%s: %w", bucket, key, call.Error)
	}
	if !answer.Found {
		return nil, fmt.Errorf("tags of %s/%s: %w", bucket, key, ErrNoObject)
	}
	return answer.Tags, nil
}

// socketPair makes a connection of which the other end can be inherited.
func socketPair() (net.Conn, *os.File, error) {
	syscall.ForkLock.RLock() // no other child may inherit them before they are marked
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err == nil {
		syscall.CloseOnExec(fds[0])
		syscall.CloseOnExec(fds[1])
	}
	syscall.ForkLock.RUnlock()
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "engine"), os.NewFile(uintptr(fds[1]), "runtime")
	defer ours.Close() //nolint:errcheck // FileConn has made a copy
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("use a socket pair: %w", err), theirs.Close())
	}
	return conn, theirs, nil
}
