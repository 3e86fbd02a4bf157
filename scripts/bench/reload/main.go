// Command reload measures how long it takes from saving a Go file to the first
// answer of a function that runs the new code, and fails when that is more than
// the time of the `go build` in between and a budget.
//
//	go run ./scripts/bench/reload [-rounds 9] [-budget 150ms]
//
// It works on a copy of the functions in a directory of its own: a function with
// all that s3-ingest links answers with a constant of the package ingest, which is
// saved anew in each round. What is beyond the build is measured around that very
// build, so that a busy machine does not blur it; beside it stands a go build of
// the same change in another copy, where nothing follows the source. Both take
// turns; the figures are medians.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/build/tags"
	"github.com/stowage-dev/stowage/scripts/command"
	"github.com/stowage-dev/stowage/scripts/local/build"
	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/reload"
)

const (
	module   = "github.com/stowage-dev/stowage"
	function = "probe"
)

func main() {
	if filepath.Base(os.Args[0]) == "go" {
		os.Exit(timed(os.Args[1:]))
	}
	rounds := flag.Int("rounds", 9, "how often each is measured")
	budget := flag.Duration("budget", 150*time.Millisecond, "most that a save may take beyond go build; 0: any")
	flag.Parse()
	os.Exit(command.Run("reload", func(ctx context.Context) error { return run(ctx, *rounds, *budget) }))
}

func run(ctx context.Context, rounds int, budget time.Duration) (err error) {
	dir, err := os.MkdirTemp("", "reload-")
	if err != nil {
		return fmt.Errorf("make a directory for the copy: %w", err)
	}
	defer os.RemoveAll(dir)
	b := &bench{
		dir: filepath.Join(dir, "module"), bin: filepath.Join(dir, "bin"), swapped: make(chan struct{}, 1),
		source: build.Source{Package: module + "/functions/" + function, Module: module, Tags: tags.Functions},
	}
	clock, err := newClock(dir)
	if err != nil {
		return err
	}
	apart := &bench{dir: filepath.Join(dir, "apart"), source: b.source} // where nothing follows the source
	for _, to := range []string{b.dir, apart.dir} {
		if err := copySource(to); err != nil {
			return err
		}
	}
	fmt.Println("reload: building the function once")
	if err := b.start(ctx); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	var alone, saved, beyond []time.Duration
	for i := range rounds + 1 {
		a, err := apart.build(ctx, fmt.Sprint("alone-", i))
		if err != nil {
			return err
		}
		s, err := b.saveToAnswer(ctx, fmt.Sprint("saved-", i))
		if err != nil {
			return err
		}
		built, err := clock.lastBuild()
		if err != nil {
			return err
		}
		if i > 0 { // the first round warms the caches
			alone, saved, beyond = append(alone, a), append(saved, s), append(beyond, s-built)
		}
	}
	return report(alone, saved, beyond, budget)
}

func report(alone, saved, beyond []time.Duration, budget time.Duration) error {
	fmt.Printf("go build, where nothing follows the source  %6d ms\nsave to first answer                        %6d ms\n  of which beyond its own go build          %6d ms (budget %d)\n",
		median(alone).Milliseconds(), median(saved).Milliseconds(), median(beyond).Milliseconds(), budget.Milliseconds())
	if budget > 0 && median(beyond) > budget {
		return fmt.Errorf("a save takes %s longer than go build, over the budget of %s", median(beyond).Round(time.Millisecond), budget)
	}
	return nil
}

func median(d []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(d))
	return sorted[len(sorted)/2]
}

// bench is a function that is followed. It is the reload.Stack.
type bench struct {
	dir, bin string
	source   build.Source
	host     *lambda.Host
	swapped  chan struct{}
	end      func() error
}

// Functions implements reload.Stack.
func (b *bench) Functions() []build.Result {
	return []build.Result{{Function: function, Source: b.source, Binary: filepath.Join(b.bin, b.source.FileName())}}
}

// Swap implements reload.Stack.
func (b *bench) Swap(name, binary string) error {
	err := b.host.Swap(name, []string{binary})
	b.swapped <- struct{}{}
	return err
}

// Apply implements reload.Stack.
func (b *bench) Apply(context.Context) ([]string, error) { return nil, nil }

// start builds the function, and follows its source.
func (b *bench) start(ctx context.Context) error {
	if err := b.save("first"); err != nil {
		return err
	}
	built := build.Again(ctx, b.dir, b.bin, []build.Source{b.source})[b.source]
	if built.Err != nil {
		return built.Err
	}
	b.host = lambda.New(lambda.Config{Functions: []lambda.Function{{
		Name: function, ARN: "arn:aws:lambda:us-east-1:000000000000:function:" + function, Command: []string{built.Binary}, Timeout: time.Minute,
	}}})
	if err := b.host.Start(ctx); err != nil {
		return fmt.Errorf("start the host: %w", err)
	}
	r, err := reload.New(reload.Config{Module: b.dir, Logger: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, b, b.bin) }()
	b.end = func() error {
		cancel()
		return errors.Join(<-done, b.host.Close())
	}
	_, err = b.answer(ctx)
	return err
}

func (b *bench) stop() error {
	if b.end == nil {
		return nil
	}
	return b.end()
}

// save writes the constant that the function answers with.
func (b *bench) save(word string) error {
	path := filepath.Join(b.dir, "functions", "internal", "ingest", "probe.go")
	content := "package ingest\n\n// Probe is what the function answers.\nconst Probe = \"" + word + "\"\n"
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return fmt.Errorf("save: %w", err)
	}
	return nil
}

// build saves a change and compiles it with go build.
func (b *bench) build(ctx context.Context, word string) (time.Duration, error) {
	if err := b.save(word); err != nil {
		return 0, err
	}
	begin := time.Now()
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-tags", tags.Functions, "-ldflags", "-s -w",
		"-o", filepath.Join(b.dir, "bootstrap"), b.source.Package)
	cmd.Dir, cmd.Env = b.dir, build.Environment()
	if out, err := cmd.CombinedOutput(); err != nil {
		return 0, fmt.Errorf("go build: %w\n%s", err, out)
	}
	return time.Since(begin), nil
}

// saveToAnswer saves a change and calls the function as soon as it is swapped.
func (b *bench) saveToAnswer(ctx context.Context, word string) (time.Duration, error) {
	begin := time.Now()
	if err := b.save(word); err != nil {
		return 0, err
	}
	select {
	case <-b.swapped:
	case <-time.After(time.Minute):
		return 0, errors.New("the save was not followed within a minute")
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	got, err := b.answer(ctx)
	took := time.Since(begin)
	if err == nil && got != word {
		err = fmt.Errorf("the function answers %q, not %q", got, word)
	}
	time.Sleep(2 * time.Second) // the import graph is read again; that is not to meet the next round
	return took, err
}

func (b *bench) answer(ctx context.Context) (string, error) {
	r, err := b.host.Invoke(ctx, function, []byte("{}"))
	if err != nil {
		return "", err
	}
	var word string
	if err := json.Unmarshal(r.Payload, &word); err != nil || r.FunctionError != "" {
		return "", fmt.Errorf("the function answers %s", r.Payload)
	}
	return word, nil
}

// copySource copies what the functions are built from, and adds one that answers.
func copySource(to string) error {
	for _, name := range []string{"functions", "shared", "events"} {
		if err := os.CopyFS(filepath.Join(to, name), os.DirFS(name)); err != nil {
			return fmt.Errorf("copy %s (run it from the top of the repository): %w", name, err)
		}
	}
	for _, name := range []string{"go.mod", "go.sum"} {
		raw, err := os.ReadFile(name)
		if err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
		if err := os.WriteFile(filepath.Join(to, name), raw, 0o600); err != nil {
			return fmt.Errorf("copy %s: %w", name, err)
		}
	}
	source, path := filepath.Join("functions", "s3-ingest"), filepath.Join(to, "functions", function)
	if err := os.CopyFS(path, os.DirFS(source)); err != nil {
		return fmt.Errorf("add the function: %w", err)
	}
	raw, err := os.ReadFile(filepath.Join(source, "main.go"))
	if err != nil {
		return fmt.Errorf("read the function to measure: %w", err)
	}
	const start = "func main() { boot.Start(build) }"
	if !strings.Contains(string(raw), start) {
		return fmt.Errorf("functions/s3-ingest/main.go does not have the line %q any more: change the benchmark with it", start)
	}
	program := strings.Replace(string(raw), start, `func main() {
	if len(os.Args) > 1 { // never; but all of it is linked
		boot.Start(build)
	}
	lambda.Start(func() (string, error) { return ingest.Probe, nil })
}`, 1)
	program = strings.Replace(program, "import (\n", "import (\n\t\"os\"\n\n", 1)
	if err := os.WriteFile(filepath.Join(path, "main.go"), []byte(program), 0o600); err != nil {
		return fmt.Errorf("add the function: %w", err)
	}
	return nil
}
