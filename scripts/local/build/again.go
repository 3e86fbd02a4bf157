package build

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"
)

// Rebuilt is what became of one source.
type Rebuilt struct {
	Binary string
	Same   bool  // the binary is, byte for byte, the one that was there before
	Err    error // with what the compiler said; the binary of before is left as it is
}

// Again compiles sources once more, in as few runs of the compiler as possible,
// so that what they share is compiled once. Each new binary takes the place of
// the old one whole, so that a process may be started from it at any moment.
func Again(ctx context.Context, moduleDir, outDir string, sources []Source) map[Source]Rebuilt {
	results := map[Source]Rebuilt{}
	for _, together := range groups(sources) {
		err := rebuild(ctx, moduleDir, outDir, together, results)
		for _, s := range together {
			if _, ok := results[s]; ok {
				continue
			}
			// Alone it may compile: one package that cannot be loaded keeps all from it. And if
			// not, what the compiler says is about this one.
			if len(together) > 1 && ctx.Err() == nil {
				err = rebuild(ctx, moduleDir, outDir, []Source{s}, results)
			}
			if _, ok := results[s]; !ok {
				results[s] = Rebuilt{Err: err}
			}
		}
	}
	return results
}

// groups puts sources together that one run can compile: the same tags, and
// executables of different names.
func groups(sources []Source) [][]Source {
	var all [][]Source
next:
	for _, s := range sources {
		for i, group := range all {
			if fits(s, group) {
				all[i] = append(group, s)
				continue next
			}
		}
		all = append(all, []Source{s})
	}
	return all
}

func fits(s Source, group []Source) bool {
	for _, other := range group {
		if other.Tags != s.Tags || executable(other.Package) == executable(s.Package) {
			return false
		}
	}
	return true
}

var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// executable is the name that go build gives to a package's binary.
func executable(pkg string) string {
	name := path.Base(pkg)
	if dir := path.Dir(pkg); majorVersion.MatchString(name) && dir != "." {
		name = path.Base(dir)
	}
	return name
}

// rebuild compiles a group into a directory of its own, and puts in place what
// came of it; those have results. A package that does not compile does not keep
// the others from it, as long as it can be loaded.
func rebuild(ctx context.Context, moduleDir, outDir string, group []Source, results map[Source]Rebuilt) error {
	if err := os.MkdirAll(outDir, 0o750); err != nil {
		return fmt.Errorf("make room for binaries: %w", err)
	}
	fresh, err := os.MkdirTemp(outDir, ".new-")
	if err != nil {
		return fmt.Errorf("make room for binaries: %w", err)
	}
	defer os.RemoveAll(fresh)
	packages := make([]string, len(group))
	for i, s := range group {
		packages[i] = s.Package
	}
	buildErr := compile(ctx, moduleDir, group[0].Tags, fresh+string(filepath.Separator), packages...)
	if ctx.Err() != nil {
		return buildErr
	}
	for _, s := range group {
		built := filepath.Join(fresh, executable(s.Package))
		if _, err := os.Stat(built); err != nil {
			continue
		}
		results[s] = replace(filepath.Join(outDir, s.FileName()), built)
	}
	if buildErr == nil {
		buildErr = fmt.Errorf("build %s: the compiler wrote no executable", strings.Join(packages, ", "))
	}
	return buildErr
}

func replace(binary, built string) Rebuilt {
	same, err := sameContent(binary, built)
	if err == nil && !same {
		err = os.Rename(built, binary)
	}
	if err != nil {
		return Rebuilt{Err: fmt.Errorf("replace %s: %w", binary, err)}
	}
	return Rebuilt{Binary: binary, Same: same}
}

func sameContent(old, fresh string) (bool, error) {
	a, err := os.ReadFile(old)
	if os.IsNotExist(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("compare: %w", err)
	}
	b, err := os.ReadFile(fresh)
	if err != nil {
		return false, fmt.Errorf("compare: %w", err)
	}
	return bytes.Equal(a, b), nil
}
