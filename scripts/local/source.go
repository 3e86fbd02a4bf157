package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/reload"
	"github.com/stowage-dev/stowage/scripts/local/stack"
)

// source is the code that the stack runs, watched if that was asked for.
type source struct {
	reloader *reload.Reloader // nil: it is not
	changed  chan struct{}    // receives when the stack runs something new
	logger   *slog.Logger
}

// watch begins to watch the source of the stack.
func watch(opts options, out io.Writer, logger *slog.Logger) (source, error) {
	s := source{changed: make(chan struct{}, 1), logger: logger}
	if !opts.reload {
		return s, nil
	}
	module := opts.stack.Source
	if module == "" {
		module = filepath.Dir(opts.stack.Assembly)
	}
	var ignored []string
	for _, dir := range []string{opts.stack.Assembly, opts.stack.State} {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return s, fmt.Errorf("make %s absolute: %w", dir, err)
		}
		ignored = append(ignored, abs)
	}
	var err error
	s.reloader, err = reload.New(reload.Config{
		Module: module, Ignore: ignored, Synth: strings.Fields(opts.synth), Logger: logger,
		Say: func(format string, args ...any) { fmt.Fprintf(out, "local: "+format+"\n", args...) },
	})
	return s, err
}

// follow keeps the stack in step with its source. What it returns waits until it
// has stopped doing so, after ctx.
func (s source) follow(ctx context.Context, running *stack.Stack) (stop func()) {
	if s.reloader == nil {
		return func() {}
	}
	ctx, end := context.WithCancel(ctx)
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		if err := s.reloader.Run(ctx, telling{running, s.changed}, running.Bin()); err != nil {
			s.logger.Error("the source is no longer followed", "error", err)
		}
	}()
	return func() {
		end()
		<-stopped
	}
}

// telling is a stack that tells when it runs something new.
type telling struct {
	*stack.Stack
	changed chan<- struct{}
}

// Swap implements reload.Stack.
func (t telling) Swap(function, binary string) error {
	err := t.Stack.Swap(function, binary)
	t.tell()
	return err
}

// Apply implements reload.Stack.
func (t telling) Apply(ctx context.Context) ([]string, error) {
	lines, err := t.Stack.Apply(ctx)
	t.tell()
	return lines, err
}

func (t telling) tell() {
	select {
	case t.changed <- struct{}{}:
	default: // it is known already
	}
}

// Close stops watching.
func (s source) Close() error {
	if s.reloader == nil {
		return nil
	}
	return s.reloader.Close()
}
