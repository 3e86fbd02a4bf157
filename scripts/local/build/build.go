// Package build compiles the functions of an assembly for this machine.
//
// An assembly holds binaries for Lambda's processors and does not say where
// their source is. The binary does: Go records the package's path and the build
// tags in it, stripped or not. From those the same package is built again, with
// the same flags but for this operating system and processor.
//
// A function that does not compile is one function's problem: its Result carries
// what the compiler said, and the others are built all the same.
package build

import (
	"bytes"
	"context"
	"debug/buildinfo"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

// defaultTags leaves out aws-lambda-go's old RPC mode, as in a deployed binary.
const defaultTags = "lambda.norpc"

// Function is a function to build.
type Function struct {
	Name         string
	AssetDir     string // holds the bootstrap
	Architecture string // of the bootstrap: arm64 or x86_64
}

// Config says what to build where.
type Config struct {
	ModuleDir string // where the source is
	OutDir    string // where binaries go
	Functions []Function
	Parallel  int // zero: 2, since the compiler is parallel itself
	// Done is told of each function when it is finished; calls do not overlap.
	Done func(Result)
}

// Result is one function's binary, or why there is none.
type Result struct {
	Function string
	Source   Source
	Binary   string
	Took     time.Duration
	Err      error
}

// Source is what a binary is built from. Sources are comparable.
type Source struct {
	Package string // import path
	Module  string
	Tags    string
}

// FileName is what the source's binary is called; it keeps packages of the same
// last name apart.
func (s Source) FileName() string {
	rel := strings.TrimPrefix(strings.TrimPrefix(s.Package, s.Module), "/")
	return strings.ReplaceAll(rel, "/", "-")
}

// All builds every function and returns the results in the order of the
// functions. Functions of one package share one build.
func All(ctx context.Context, cfg Config) []Result {
	if cfg.Parallel == 0 {
		cfg.Parallel = 2
	}
	results := make([]Result, len(cfg.Functions))
	jobs := map[string]*job{}
	var order []*job
	for i, f := range cfg.Functions {
		results[i] = Result{Function: f.Name}
		bootstrap := filepath.Join(f.AssetDir, "bootstrap")
		src, err := inspect(bootstrap)
		if err != nil {
			results[i].Err = err
			continue
		}
		results[i].Source = src
		if runsHere(f.Architecture) {
			results[i].Binary = bootstrap
			continue
		}
		j := jobs[src.Package]
		if j == nil {
			j = &job{source: src, out: filepath.Join(cfg.OutDir, src.FileName())}
			jobs[src.Package] = j
			order = append(order, j)
		}
		j.wanted = append(j.wanted, i)
	}
	var report sync.Mutex
	tell := func(r Result) {
		report.Lock()
		defer report.Unlock()
		if cfg.Done != nil {
			cfg.Done(r)
		}
	}
	for _, r := range results {
		if r.Err != nil || r.Binary != "" {
			tell(r)
		}
	}
	runJobs(ctx, cfg, order, results, tell)
	return results
}

// job is one package to compile, for one or more functions.
type job struct {
	source Source
	out    string
	wanted []int // indices of results
}

func runJobs(ctx context.Context, cfg Config, jobs []*job, results []Result, tell func(Result)) {
	slots := make(chan struct{}, cfg.Parallel)
	var running sync.WaitGroup
	for _, j := range jobs {
		running.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			start := time.Now()
			err := Package(ctx, cfg.ModuleDir, j.source.Package, j.source.Tags, j.out)
			for _, i := range j.wanted {
				results[i].Took, results[i].Err = time.Since(start), err
				if err == nil {
					results[i].Binary = j.out
				}
				tell(results[i])
			}
		})
	}
	running.Wait()
}

// Package compiles one package of the module for this machine.
func Package(ctx context.Context, moduleDir, pkg, tags, out string) error {
	if err := os.MkdirAll(filepath.Dir(out), 0o750); err != nil {
		return fmt.Errorf("make room for binaries: %w", err)
	}
	return compile(ctx, moduleDir, tags, out, pkg)
}

// compile runs the compiler. What it says is in the error.
func compile(ctx context.Context, moduleDir, tags, out string, packages ...string) error {
	args := append([]string{"build", "-trimpath", "-buildvcs=false", "-tags", tags, "-ldflags", "-s -w", "-o", out}, packages...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir = moduleDir
	cmd.Env = Environment()
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	what := strings.Join(packages, ", ")
	process, err := child.Start(cmd)
	if err != nil {
		return fmt.Errorf("build %s: %w", what, err)
	}
	<-process.Done()
	if process.Err() == nil {
		return nil
	}
	if ctx.Err() != nil {
		return fmt.Errorf("build %s: %w", what, context.Cause(ctx))
	}
	return fmt.Errorf("build %s:\n%s", what, strings.TrimSpace(output.String()))
}

// Environment is what go builds for this machine with.
func Environment() []string {
	return append(os.Environ(), "GOOS="+runtime.GOOS, "GOARCH="+runtime.GOARCH, "CGO_ENABLED=0")
}

// SourceOf is what an asset's bootstrap was built from.
func SourceOf(assetDir string) (Source, error) { return inspect(filepath.Join(assetDir, "bootstrap")) }

// inspect reads what Go wrote into the bootstrap.
func inspect(bootstrap string) (Source, error) {
	info, err := buildinfo.ReadFile(bootstrap)
	if err != nil {
		return Source{}, fmt.Errorf("find the source of %s: it is no Go binary with build information: %w", bootstrap, err)
	}
	if info.Path == "" || info.Path == "command-line-arguments" {
		return Source{}, fmt.Errorf("find the source of %s: it was built from files, not from a package", bootstrap)
	}
	src := Source{Package: info.Path, Module: info.Main.Path, Tags: defaultTags}
	for _, s := range info.Settings {
		if s.Key == "-tags" {
			src.Tags = s.Value
		}
	}
	return src, nil
}

// runsHere tells whether a bootstrap for Lambda runs on this machine as it is.
func runsHere(architecture string) bool {
	goarch := map[string]string{"arm64": "arm64", "x86_64": "amd64"}[architecture]
	return runtime.GOOS == "linux" && runtime.GOARCH == goarch
}
