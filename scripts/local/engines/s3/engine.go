package s3

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/rpc"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

// Engine is a running S3 engine. It is safe for concurrent use.
type Engine struct {
	cfg    Config
	life   context.Context //nolint:containedctx // of the processes, which Restart replaces
	cancel context.CancelFunc
	ended  chan error
	tasks  sync.WaitGroup // watches and restarts

	mu       sync.Mutex
	endpoint string
	current  *running      // nil while the engine is being restarted
	changed  chan struct{} // closed, and replaced, when current has changed
	known    tagCache
}

// scheme begins the URL of the engine.
const scheme = "http://"

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
	life, cancel := context.WithCancel(ctx)
	e := &Engine{cfg: cfg, life: life, cancel: cancel, ended: make(chan error, 1), changed: make(chan struct{})}
	if err := e.launch(ctx, ""); err != nil {
		cancel()
		return nil, fmt.Errorf("start the S3 engine: %w", err)
	}
	return e, nil
}

// launch starts a process, at the address if one is given, and makes it the
// engine's once it serves.
func (e *Engine) launch(ctx context.Context, address string) error {
	cmd, err := command(e.cfg, address)
	if err != nil {
		return err
	}
	fromEngine, toRuntime, err := socketPair()
	if err != nil {
		return err
	}
	toEngine, fromRuntime, err := socketPair()
	if err != nil {
		return errors.Join(err, fromEngine.Close(), toRuntime.Close())
	}
	cmd.ExtraFiles = []*os.File{toRuntime, fromRuntime} // toRuntimeFD, toEngineFD
	process, err := child.Start(cmd)
	err = errors.Join(err, toRuntime.Close(), fromRuntime.Close())
	if err != nil {
		return errors.Join(err, fromEngine.Close(), toEngine.Close())
	}
	r := &running{process: process, engine: rpc.NewClient(toEngine)}
	ready := make(chan string, 1)
	server := rpc.NewServer()
	if err := server.RegisterName(runtimeName, &runtimeService{ctx: e.life, event: e.told, ready: ready}); err != nil {
		return errors.Join(err, fromEngine.Close(), r.stop())
	}
	go server.ServeConn(fromEngine) // until the process ends
	endpoint, err := r.await(ctx, ready)
	if err != nil {
		return errors.Join(err, r.stop())
	}
	e.become(r, endpoint)
	e.tasks.Go(func() { e.watch(r) })
	return nil
}

// command is the engine's process with its settings as standard input, where no other process can read
// the master key.
func command(cfg Config, address string) (*exec.Cmd, error) {
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
		Dir: dir, Region: cfg.Region, MasterKey: cfg.MasterKey, Users: cfg.Users, Buckets: cfg.Buckets, Address: address,
	})
	if err != nil {
		return nil, fmt.Errorf("encode its settings: %w", err)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdin = bytes.NewReader(input)
	cmd.Stderr = cfg.Stderr
	return cmd, nil
}

// watch stops the engine when its life ends, and reports its end. A process that
// Restart has killed is left to it.
func (e *Engine) watch(r *running) {
	defer r.engine.Close()
	select {
	case <-e.life.Done():
		if err := r.process.Stop(stopGrace); err != nil {
			e.end(fmt.Errorf("stop the S3 engine: %w", err))
			return
		}
		e.end(nil)
	case <-r.process.Done():
		if e.is(r) {
			e.end(fmt.Errorf("the S3 engine died: %w", r.death()))
		}
	}
}

// end tells why there is no engine any more; the first reason is told.
func (e *Engine) end(why error) {
	select {
	case e.ended <- why:
	default:
	}
}

// Endpoint is the engine's own URL. Clients use the gateway's.
func (e *Engine) Endpoint() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.endpoint
}

// Wait receives once, when the engine has ended: why it died, or nil when it was stopped.
func (e *Engine) Wait() <-chan error { return e.ended }

// PID is the id of the engine's process; 0 while it is being restarted.
func (e *Engine) PID() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.current == nil {
		return 0
	}
	return e.current.process.PID()
}

// Close stops the engine and returns when its process is gone.
func (e *Engine) Close() error {
	e.mu.Lock() // a restart begins before it or not at all
	e.cancel()
	e.mu.Unlock()
	e.tasks.Wait()
	return nil
}

// ErrNoObject says that an object, or the version asked for, does not exist or is a delete marker.
var ErrNoObject = errors.New("no such object")

// ObjectTags are the tags of an object's version; of the newest, if versionID is empty.
func (e *Engine) ObjectTags(ctx context.Context, bucket, key, versionID string) (map[string]string, error) {
	q := tagsQuery{Bucket: bucket, Key: key, VersionID: versionID}
	answer, known, in := e.known.find(q)
	if !known {
		var err error
		if answer, err = e.tags(ctx, q); err != nil {
			return nil, fmt.Errorf("tags of %s/%s: %w", bucket, key, err)
		}
		e.known.keep(q, answer, in)
	}
	if !answer.Found {
		return nil, fmt.Errorf("tags of %s/%s: %w", bucket, key, ErrNoObject)
	}
	return maps.Clone(answer.Tags), nil
}

// told is told of a change by the engine's process.
func (e *Engine) told(ctx context.Context, event Event) error {
	e.known.changed(event.Bucket, event.Key)
	return e.cfg.OnEvent(ctx, event)
}

// tags asks the engine's process; the next one, when it is killed over that.
func (e *Engine) tags(ctx context.Context, q tagsQuery) (tagsAnswer, error) {
	for {
		r, err := e.up(ctx)
		if err != nil {
			return tagsAnswer{}, err
		}
		var answer tagsAnswer
		call := r.engine.Go(callTags, q, &answer, make(chan *rpc.Call, 1))
		select {
		case <-call.Done:
		case <-ctx.Done():
			return tagsAnswer{}, context.Cause(ctx) //nolint:wrapcheck // wrapped by the caller
		}
		if call.Error == nil || e.is(r) {
			return answer, call.Error
		}
	}
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
		return nil, nil, fmt.Errorf("make a socket pair: %w", err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), "engine"), os.NewFile(uintptr(fds[1]), "runtime")
	defer ours.Close() // FileConn has made a copy
	conn, err := net.FileConn(ours)
	if err != nil {
		return nil, nil, errors.Join(fmt.Errorf("use a socket pair: %w", err), theirs.Close())
	}
	return conn, theirs, nil
}
