package reload

import (
	"context"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/build"
)

// follower decides what a save is about. Its methods are called from one
// goroutine, which the builds and the synthesis report to.
type follower struct {
	cfg   Config
	stack Stack
	bin   string
	graph *graph
	synth *synthesizer

	// current says of a function whether the binary at its place is the one it runs.
	current map[string]bool
	broken  map[string]bool // functions whose source does not compile at present

	pending  map[string]bool // functions to build
	files    map[string]bool // saved files that made them so
	since    time.Time       // the oldest of those saves
	building context.CancelFunc
	built    chan outcome

	listing bool
	listed  chan listing
	// unsettled are files saved since the graph was last asked for: what they have come to be
	// part of is not known yet.
	unsettled map[string]bool

	work sync.WaitGroup
}

// outcome is what became of a build.
type outcome struct {
	functions map[string]bool
	broken    map[string]bool
	current   map[string]bool
	gaveUp    bool // for another save
}

// listing is the answer of go list.
type listing struct {
	graph *graph
	err   error
	files map[string]bool // that were saved before it was asked
}

func newFollower(cfg Config, stack Stack, bin string) *follower {
	f := &follower{
		cfg: cfg, stack: stack, bin: bin, synth: newSynthesizer(cfg, stack), current: map[string]bool{}, broken: map[string]bool{},
		pending: map[string]bool{}, files: map[string]bool{}, built: make(chan outcome), listed: make(chan listing), unsettled: map[string]bool{},
	}
	for _, b := range stack.Functions() {
		f.broken[b.Function] = b.Err != nil
		f.current[b.Function] = b.Err == nil && b.Binary == filepath.Join(bin, b.Source.FileName())
	}
	return f
}

// wait returns when nothing goes on any more; ctx has ended.
func (f *follower) wait() { f.work.Wait() }

// refresh asks for the import graph and waits for it.
func (f *follower) refresh(ctx context.Context) error {
	g, err := f.list(ctx)
	if err == nil {
		f.graph = g
	}
	return err
}

func (f *follower) list(ctx context.Context) (*graph, error) {
	tags, roots := map[string]bool{}, map[string]bool{f.cfg.App: true}
	for _, b := range f.stack.Functions() {
		if b.Source.Package != "" {
			tags[b.Source.Tags], roots[b.Source.Package] = true, true
		}
	}
	if len(tags) == 0 {
		tags[""] = true
	}
	return loadGraph(ctx, f.cfg.Module, slices.Sorted(maps.Keys(tags)), slices.Sorted(maps.Keys(roots)))
}

// saved acts on saved files.
func (f *follower) saved(ctx context.Context, b batch) {
	functions, infrastructure := f.about(b.files)
	for _, file := range b.files {
		f.unsettled[file] = true
	}
	if infrastructure {
		f.synth.ask(ctx, &f.work, f.names(b.files))
	}
	if len(functions) == 0 {
		if slices.ContainsFunc(b.files, func(file string) bool { return isGo(file) || modules[filepath.Base(file)] }) {
			f.relist(ctx) // it may belong to a package that is new
		}
		return
	}
	if len(f.pending) == 0 && f.building == nil {
		f.since = b.at
		clear(f.files)
	}
	maps.Copy(f.pending, functions)
	for _, file := range b.files {
		f.files[file] = true
	}
	if f.building != nil {
		f.building() // what it builds is old already
		return
	}
	f.build(ctx)
}

// about says which functions saved files are part of, and whether the
// infrastructure is.
func (f *follower) about(files []string) (functions map[string]bool, infrastructure bool) {
	functions = map[string]bool{}
	touched := map[string]bool{}
	everything, source := false, false
	for _, file := range files {
		top := filepath.Dir(file) == f.cfg.Module
		infrastructure = infrastructure || top && settings[filepath.Base(file)]
		everything = everything || top && modules[filepath.Base(file)]
		source = source || isGo(file)
		for _, path := range f.graph.touched(file) {
			touched[path] = true
		}
	}
	for _, b := range f.stack.Functions() {
		if b.Source.Package == "" {
			continue // its source is not known
		}
		// What does not compile may miss something that is in no graph yet.
		ours := f.graph.packages[b.Source.Package] != nil
		if everything && ours || (everything || source) && f.broken[b.Function] || f.graph.reaches(b.Source.Package, touched) {
			functions[b.Function] = true
		}
	}
	app := f.graph.in(filepath.Join(f.cfg.Module, filepath.FromSlash(f.cfg.App)))
	return functions, infrastructure || app != "" && (everything || f.graph.reaches(app, touched))
}

// build compiles what is pending.
func (f *follower) build(ctx context.Context) {
	job := job{cfg: f.cfg, stack: f.stack, bin: f.bin, since: f.since, names: f.names(slices.Sorted(maps.Keys(f.files)))}
	functions := maps.Clone(f.pending)
	clear(f.pending)
	for _, b := range f.stack.Functions() {
		if functions[b.Function] {
			job.functions = append(job.functions, b)
		}
	}
	job.current = maps.Clone(f.current)
	buildCtx, cancel := context.WithCancel(ctx)
	f.building = cancel
	f.work.Go(func() {
		defer cancel()
		done := job.run(buildCtx)
		done.functions = functions
		select {
		case f.built <- done:
		case <-ctx.Done():
		}
	})
}

// finished takes note of a build, and begins the next one if there is one.
func (f *follower) finished(ctx context.Context, done outcome) {
	f.building = nil
	maps.Copy(f.broken, done.broken)
	maps.Copy(f.current, done.current)
	if done.gaveUp {
		maps.Copy(f.pending, done.functions)
	}
	if len(f.pending) > 0 {
		f.build(ctx)
		return
	}
	f.relist(ctx)
}

// relist asks for the import graph beside whatever goes on.
func (f *follower) relist(ctx context.Context) {
	if f.listing {
		return
	}
	f.listing = true
	files := f.unsettled
	f.unsettled = map[string]bool{}
	f.work.Go(func() {
		g, err := f.list(ctx)
		select {
		case f.listed <- listing{g, err, files}:
		case <-ctx.Done():
		}
	})
}

// know takes a new graph. Files that were saved before it was known, and turn out
// to be part of more functions than the old one said, are acted upon.
func (f *follower) know(ctx context.Context, l listing) {
	f.listing = false
	if l.err != nil {
		if ctx.Err() == nil {
			f.cfg.Logger.Warn("the import graph could not be read; the last one is used", "error", l.err)
		}
		return
	}
	files := slices.Sorted(maps.Keys(l.files))
	before, infrastructureBefore := f.about(files)
	f.graph = l.graph
	after, infrastructure := f.about(files)
	maps.DeleteFunc(after, func(name string, _ bool) bool { return before[name] })
	if infrastructure && !infrastructureBefore {
		f.synth.ask(ctx, &f.work, f.names(files))
	}
	if len(after) > 0 {
		maps.Copy(f.pending, after)
		f.since = time.Now()
		clear(f.files)
		maps.Copy(f.files, l.files)
		if f.building == nil {
			f.build(ctx)
			return
		}
		f.building()
	}
	if len(f.unsettled) > 0 && f.building == nil {
		f.relist(ctx)
	}
}

// names are files as one would name them.
func (f *follower) names(files []string) string {
	names := make([]string, 0, len(files))
	for _, file := range files {
		if rel, err := filepath.Rel(f.cfg.Module, file); err == nil {
			file = rel
		}
		names = append(names, file)
	}
	const most = 3
	if len(names) > most {
		names = append(names[:most], "...")
	}
	return strings.Join(names, ", ")
}

// job is one build.
type job struct {
	cfg       Config
	stack     Stack
	bin       string
	functions []build.Result
	current   map[string]bool
	since     time.Time
	names     string
}

// run builds and swaps.
func (j job) run(ctx context.Context) outcome {
	done := outcome{broken: map[string]bool{}, current: map[string]bool{}}
	var sources []build.Source
	var names []string
	for _, b := range j.functions {
		names = append(names, b.Function)
		if !slices.Contains(sources, b.Source) {
			sources = append(sources, b.Source)
		}
	}
	j.cfg.Say("%s saved: building %s", j.names, strings.Join(names, ", "))
	results := build.Again(ctx, j.cfg.Module, j.bin, sources)
	if ctx.Err() != nil {
		done.gaveUp = true
		// A binary may have been replaced before that and not been swapped.
		for _, b := range j.functions {
			done.current[b.Function] = j.current[b.Function] && results[b.Source].Same
		}
		return done
	}
	var swapped, same []string
	failures := map[string][]string{} // functions by what the compiler said
	for _, b := range j.functions {
		r := results[b.Source]
		done.broken[b.Function] = r.Err != nil
		switch {
		case r.Err != nil:
			_, said, _ := strings.Cut(r.Err.Error(), "\n")
			failures[said] = append(failures[said], b.Function)
			continue
		case r.Same && j.current[b.Function]:
			same = append(same, b.Function)
			continue
		}
		if err := j.stack.Swap(b.Function, r.Binary); err != nil {
			j.cfg.Say("%s was built, but not swapped: %v", b.Function, err)
			continue
		}
		done.current[b.Function] = true
		swapped = append(swapped, b.Function)
	}
	j.report(swapped, same, failures)
	return done
}

func (j job) report(swapped, same []string, failures map[string][]string) {
	if len(swapped) > 0 {
		j.cfg.Say("%s: new code answers, %.2f s after the save", strings.Join(swapped, ", "), time.Since(j.since).Seconds())
	}
	if len(same) > 0 {
		j.cfg.Say("%s: the save changes nothing in the binary", strings.Join(same, ", "))
	}
	for _, said := range slices.Sorted(maps.Keys(failures)) {
		j.cfg.Say("%s: does not build; the code of before goes on answering:\n%s", strings.Join(failures[said], ", "), said)
	}
}
