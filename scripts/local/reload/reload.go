// Package reload keeps a running stack in step with its source. Saving a Go file
// builds the functions that reach it, and only those, and swaps them; saving code
// of the infrastructure, or cdk.json, synthesizes the templates anew and applies
// what can be applied in place.
//
// It promises that a save is never missed, however an editor writes files, and
// that what does not build or synthesize leaves everything as it was: the old
// binary goes on answering, the old stack goes on running, and the reason is
// said with its file and line. No invocation is lost by a swap: that is
// lambda.Host's promise.
//
// A save costs what `go build` costs and some ten milliseconds beside. The import
// graph, which `go list` takes longer for, is kept, and read again after each
// build.
package reload

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"

	"github.com/stowage-dev/stowage/scripts/local/build"
)

// Stack is what is kept in step.
type Stack interface {
	// Functions are the functions with what they were built from, last time.
	Functions() []build.Result
	// Swap gives a function another binary.
	Swap(function, binary string) error
	// Apply reads the assembly anew and changes what can be changed in place. It says what it
	// has done and what it could not do, a line each.
	Apply(ctx context.Context) ([]string, error)
}

// Config says what to watch. Module is required.
type Config struct {
	Module string   // the directory of the Go module
	Ignore []string // directories of the module to leave alone: what is written there is no source

	// App is the package of the CDK app. Empty: ./infra.
	App string
	// Synth is the command that writes the assembly, run in Module. Empty: none, and changes of
	// the infrastructure only say that they need one.
	Synth []string

	// Say tells the developer. Nil: nobody.
	Say    func(format string, args ...any)
	Logger *slog.Logger
}

// settings are the files beside Go code that the assembly is made from.
var settings = map[string]bool{"cdk.json": true, "cdk.context.json": true}

// modules are the files that say what is imported.
var modules = map[string]bool{"go.mod": true, "go.sum": true, "go.work": true}

// Reloader follows the source of one stack.
type Reloader struct {
	cfg     Config
	watcher *watcher
}

// New begins to watch: what is saved from here on is built by Run.
func New(cfg Config) (*Reloader, error) {
	if cfg.App == "" {
		cfg.App = "./infra"
	}
	if cfg.Say == nil {
		cfg.Say = func(string, ...any) {}
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	// go list answers with real paths.
	module, err := filepath.EvalSymlinks(cfg.Module)
	if err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	if cfg.Module, err = filepath.Abs(module); err != nil {
		return nil, fmt.Errorf("find the module: %w", err)
	}
	ignored := []string{filepath.Join(cfg.Module, "dist")}
	for _, dir := range cfg.Ignore {
		if real, err := filepath.EvalSymlinks(dir); err == nil {
			dir = real
		}
		ignored = append(ignored, dir)
	}
	w, err := newWatcher(cfg.Module, ignored, cfg.Logger)
	if err != nil {
		return nil, err
	}
	return &Reloader{cfg: cfg, watcher: w}, nil
}

// Close stops watching. Run does it, too.
func (r *Reloader) Close() error {
	if err := r.watcher.fs.Close(); err != nil {
		return fmt.Errorf("stop watching: %w", err)
	}
	return nil
}

// Run keeps a stack, whose binaries are in the directory bin, in step until ctx ends.
func (r *Reloader) Run(ctx context.Context, stack Stack, bin string) error {
	ctx, end := context.WithCancel(ctx)
	defer end()
	failed := make(chan error, 1)
	go func() { failed <- r.watcher.run(ctx) }()
	f := newFollower(r.cfg, stack, bin)
	if err := f.refresh(ctx); err != nil && ctx.Err() == nil {
		end()
		return errors.Join(err, <-failed)
	}
	defer f.wait()
	for {
		select {
		case err := <-failed:
			end()
			return err
		case b := <-r.watcher.batches:
			f.saved(ctx, b)
		case done := <-f.built:
			f.finished(ctx, done)
		case g := <-f.listed:
			f.know(ctx, g)
		}
	}
}
