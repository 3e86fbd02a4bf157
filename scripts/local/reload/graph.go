package reload

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/build"
)

// graph is what the packages of the module import.
type graph struct {
	packages map[string]*pkg // of the module, by import path
}

// pkg is what is read of what `go list` says about a package.
type pkg struct {
	ImportPath    string
	Dir           string
	Standard      bool
	Imports       []string
	EmbedPatterns []string
	EmbedFiles    []string
}

// loadGraph asks go for the packages that roots import. Roots are import paths, or
// paths such as ./infra; one that is not there is left out.
func loadGraph(ctx context.Context, module string, tags []string, roots []string) (*graph, error) {
	g := &graph{packages: map[string]*pkg{}}
	for _, t := range tags {
		if err := g.list(ctx, module, t, roots); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *graph) list(ctx context.Context, module, tags string, roots []string) error {
	args := append([]string{"list", "-deps", "-e", "-json=ImportPath,Dir,Standard,Imports,EmbedPatterns,EmbedFiles", "-tags", tags}, roots...)
	cmd := exec.CommandContext(ctx, "go", args...)
	cmd.Dir, cmd.Env = module, build.Environment()
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("list what the functions import: %w\n%s", err, strings.TrimSpace(said.String()))
	}
	for packages := json.NewDecoder(&out); ; {
		var p pkg
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("list what the functions import: %w", err)
		}
		if p.Standard || !within(module, p.Dir) {
			continue
		}
		if known := g.packages[p.ImportPath]; known != nil { // with other tags
			known.Imports = append(known.Imports, p.Imports...)
			known.EmbedFiles = append(known.EmbedFiles, p.EmbedFiles...)
			continue
		}
		g.packages[p.ImportPath] = &p
	}
}

// within says whether path lies in dir.
func within(dir, path string) bool {
	rel, err := filepath.Rel(dir, path)
	return path != "" && err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}

// touched are the import paths of the packages that a file is part of.
func (g *graph) touched(file string) []string {
	var all []string
	for path, p := range g.packages {
		if p.holds(file) {
			all = append(all, path)
		}
	}
	return all
}

// holds says whether a file is compiled into the package. A file that an embed
// pattern may come to name counts, whether it is there or not.
func (p *pkg) holds(file string) bool {
	if isGo(file) {
		return filepath.Dir(file) == p.Dir
	}
	if !within(p.Dir, file) || len(p.EmbedPatterns) == 0 {
		return false
	}
	rel, err := filepath.Rel(p.Dir, file)
	if err != nil {
		return false
	}
	if slices.Contains(p.EmbedFiles, filepath.ToSlash(rel)) {
		return true
	}
	return slices.ContainsFunc(p.EmbedPatterns, func(pattern string) bool { return embeds(pattern, filepath.ToSlash(rel)) })
}

// embeds says whether a pattern names a file, or a directory that it is in.
func embeds(pattern, file string) bool {
	pattern = strings.TrimPrefix(pattern, "all:")
	for name := file; name != "." && name != "/"; name = filepath.ToSlash(filepath.Dir(name)) {
		if ok, err := filepath.Match(pattern, name); ok && err == nil {
			return true
		}
	}
	return pattern == "."
}

// reaches says whether a package is one of some others, or imports one of them,
// over however many steps.
func (g *graph) reaches(root string, others map[string]bool) bool {
	seen := map[string]bool{}
	var visit func(path string) bool
	visit = func(path string) bool {
		if others[path] {
			return true
		}
		p := g.packages[path]
		if p == nil || seen[path] {
			return false
		}
		seen[path] = true
		return slices.ContainsFunc(p.Imports, visit)
	}
	return visit(root)
}

// in is the import path of the package in a directory; empty: none.
func (g *graph) in(dir string) string {
	for path, p := range g.packages {
		if p.Dir == dir {
			return path
		}
	}
	return ""
}

// isGo says whether a file is one that go compiles into a program.
func isGo(file string) bool {
	return strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go")
}
