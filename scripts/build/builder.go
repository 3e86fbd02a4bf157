package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/build/tags"
)

// patience is how long a build may go on before it says how far it is.
const patience = 2 * time.Second

// builder builds functions with the flags that make a build reproducible.
type builder struct {
	from string // the directory that the functions lie in, relative to the module
	out  string // relative to the module, or absolute
	tags string
	os   string
	arch string
	log  io.Writer
}

// build builds the named functions of the module that dir lies in, or all of them.
func (b builder) build(ctx context.Context, dir string, names []string) error {
	root, err := moduleRoot(ctx, dir)
	if err != nil {
		return err
	}
	all, err := functions(filepath.Join(root, b.from))
	if err != nil {
		return err
	}
	if len(names) == 0 {
		names = all
	}
	for _, name := range names {
		if !slices.Contains(all, name) {
			return fmt.Errorf("no function %q: there are %s", name, strings.Join(all, ", "))
		}
	}
	if err := b.refuseCDK(ctx, root, names); err != nil {
		return err
	}
	started := time.Now()
	if err := b.compile(ctx, root, names); err != nil && ctx.Err() != nil {
		return fmt.Errorf("interrupted: %w", ctx.Err())
	}
	if err := b.link(ctx, root, names); err != nil {
		return err
	}
	fmt.Fprintf(b.log, "build: %d functions in %s (%.1f s)\n", len(names), b.out, time.Since(started).Seconds())
	return nil
}

// moduleRoot is the directory of the module's go.mod.
func moduleRoot(ctx context.Context, dir string) (string, error) {
	cmd := exec.CommandContext(ctx, "go", "env", "GOMOD")
	cmd.Dir = dir
	text, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("find the module of %s: %w", dir, err)
	}
	mod := strings.TrimSpace(string(text))
	if mod == "" || mod == os.DevNull {
		return "", fmt.Errorf("find the module of %s: no go.mod there or above: run from within the repository", dir)
	}
	return filepath.Dir(mod), nil
}

// functions are the directories in dir that hold a main.go.
func functions(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("list functions: %w", err)
	}
	var names []string
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		_, err := os.Stat(filepath.Join(dir, entry.Name(), "main.go"))
		switch {
		case err == nil:
			names = append(names, entry.Name())
		case !errors.Is(err, fs.ErrNotExist):
			return nil, fmt.Errorf("list functions: %w", err)
		}
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("no function with a main.go below %s", dir)
	}
	return names, nil
}

// refuseCDK stops before a function carries the CDK: one constant imported
// from the wrong package costs 13 MB and 12 ms of every cold start.
func (b builder) refuseCDK(ctx context.Context, root string, names []string) error {
	args := append([]string{"list", "-deps", "-tags", b.allTags()}, b.packages(names)...)
	cmd := b.command(ctx, root, args...)
	var text bytes.Buffer
	cmd.Stdout = &text
	// What does not load has an error of its own when it is built, which says more.
	_ = cmd.Run()
	for line := range strings.Lines(text.String()) {
		for _, banned := range []string{"github.com/aws/aws-cdk-go/", "github.com/aws/jsii-runtime-go", "github.com/aws/constructs-go/"} {
			if strings.HasPrefix(line, banned) {
				return fmt.Errorf("a function imports %s: find it with go list -deps, and keep constants that stacks and functions share in shared/", strings.TrimSpace(line))
			}
		}
	}
	return nil
}

// compile compiles what the functions share, once for all of them, into Go's
// build cache. Its errors are left to link, which says them by function.
func (b builder) compile(ctx context.Context, root string, names []string) error {
	// Without -o, a function that is built alone would be written to the module's root.
	args := append(b.buildArgs("-v", "-o", os.DevNull), b.packages(names)...)
	cmd := b.command(ctx, root, args...)
	packages := &lineCounter{}
	cmd.Stderr = packages
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = cmd.Run()
	}()
	started := time.Now()
	tick := time.NewTicker(patience)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return ctx.Err()
		case <-tick.C:
			if n := packages.count(); n > 0 { // else they are read, or in the cache
				fmt.Fprintf(b.log, "build: %d packages compiled (%.0f s)\n", n, time.Since(started).Seconds())
			}
		}
	}
}

// link makes the executables side by side, as many as there are processors.
func (b builder) link(ctx context.Context, root string, names []string) error {
	errs := make([]error, len(names))
	slots := make(chan struct{}, runtime.GOMAXPROCS(0))
	var wg sync.WaitGroup
	for i, name := range names {
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = b.linkOne(ctx, root, name)
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

func (b builder) linkOne(ctx context.Context, root, name string) error {
	target := filepath.Join(b.out, name, "bootstrap")
	started := time.Now()
	cmd := b.command(ctx, root, append(b.buildArgs("-o", target), b.packages([]string{name})...)...)
	var said bytes.Buffer
	cmd.Stderr = &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("function %s: %w\n%s", name, err, bytes.TrimSpace(said.Bytes()))
	}
	if took := time.Since(started); took > patience {
		fmt.Fprintf(b.log, "build: %s (%.1f s)\n", name, took.Seconds())
	}
	return nil
}

func (b builder) allTags() string {
	if b.tags == "" {
		return tags.Functions
	}
	return tags.Functions + "," + b.tags
}

// compilerFlags keep functions from being copied to where they are called within the
// clients that are generated for each AWS service. Those are long lists of small calls,
// which run once for each request: a twentieth of the binary, and no time.
const compilerFlags = "github.com/aws/aws-sdk-go-v2/service/...=-l"

// buildArgs are the arguments of go build up to the packages. No path of this
// machine and no state of the working copy may reach the executable.
func (b builder) buildArgs(more ...string) []string {
	return append([]string{"build", "-trimpath", "-buildvcs=false", "-tags", b.allTags(), "-gcflags", compilerFlags, "-ldflags", "-s -w"}, more...)
}

func (b builder) command(ctx context.Context, root string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "GOOS="+b.os, "GOARCH="+b.arch, "CGO_ENABLED=0",
		// What a person sets for themselves must not reach the executable either.
		"GOFLAGS=", "GOEXPERIMENT=", "GOARM64=v8.0", "GOAMD64=v1")
	return cmd
}

func (b builder) packages(names []string) []string {
	paths := make([]string, 0, len(names))
	for _, name := range names {
		paths = append(paths, "./"+path.Join(filepath.ToSlash(b.from), name))
	}
	return paths
}

// lineCounter counts the lines written to it: go build -v writes one for each
// package that it compiles.
type lineCounter struct {
	mu    sync.Mutex
	lines int
}

func (c *lineCounter) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

func (c *lineCounter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.lines
}
