package build_test

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/build"
)

func TestAgainReplacesWhatCompilesAndLeavesTheRest(t *testing.T) {
	dir, out := t.TempDir(), filepath.Join(t.TempDir(), "bin")
	write := func(name, content string) {
		t.Helper()
		writeFile(t, filepath.Join(dir, name), content)
	}
	source := func(path string) build.Source {
		return build.Source{Package: "example.com/app/" + path, Module: "example.com/app", Tags: "lambda.norpc"}
	}
	write("go.mod", "module example.com/app\n\ngo 1.24\n")
	write("shared/shared.go", "package shared\n\nconst Word = \"one\"\n")
	const program = "package main\n\nimport \"example.com/app/shared\"\n\nfunc main() { print(shared.Word) }\n"
	write("a/worker/main.go", program)
	write("b/worker/main.go", program) // an executable of the same name
	write("c/main.go", program)
	write("c/v2/main.go", program) // go build calls it c, too
	sources := []build.Source{source("a/worker"), source("b/worker"), source("c"), source("c/v2")}
	say := func(r build.Rebuilt) string {
		t.Helper()
		if r.Err != nil {
			return r.Err.Error()
		}
		said, err := exec.Command(r.Binary).CombinedOutput()
		if err != nil {
			t.Fatal(err)
		}
		return string(said)
	}
	for s, r := range build.Again(t.Context(), dir, out, sources) {
		if got := say(r); got != "one" || r.Same || filepath.Base(r.Binary) != s.FileName() {
			t.Errorf("%s: %s, %+v", s.Package, got, r)
		}
	}
	write("shared/shared.go", "package shared\n\nconst Word = \"two\"\n")
	write("c/main.go", "package main\n\nfunc main() { missing() }\n")
	write("b/worker/main.go", "package main\n\nfunc main() { print(\"one\") }\n")
	got := build.Again(t.Context(), dir, out, sources)
	for path, want := range map[string]string{"a/worker": "two", "b/worker": "one", "c/v2": "two"} {
		if s := say(got[source(path)]); s != want {
			t.Errorf("%s says %q, want %q", path, s, want)
		}
	}
	if err := got[source("c")].Err; err == nil || !strings.Contains(err.Error(), "c/main.go:3:15: undefined: missing") {
		t.Errorf("c: %v", err)
	}
	if said, err := exec.Command(filepath.Join(out, "c")).CombinedOutput(); err != nil || string(said) != "one" {
		t.Errorf("the binary of before says %q, %v", said, err)
	}
	for _, r := range build.Again(t.Context(), dir, out, sources[:2]) {
		if r.Err != nil || !r.Same {
			t.Errorf("built from the same source: %+v", r)
		}
	}
	if left, err := filepath.Glob(filepath.Join(out, ".new-*")); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestAgainWithAPackageThatCannotBeLoaded: go build refuses all that it is given
// together with it.
func TestAgainWithAPackageThatCannotBeLoaded(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "go.mod"), "module example.com/app\n\ngo 1.24\n")
	writeFile(t, filepath.Join(dir, "good/main.go"), "package main\n\nfunc main() {}\n")
	writeFile(t, filepath.Join(dir, "bad/main.go"), "package main\n\nimport _ \"example.com/app/nowhere\"\n\nfunc main() {}\n")
	good := build.Source{Package: "example.com/app/good", Module: "example.com/app", Tags: "lambda.norpc"}
	bad := build.Source{Package: "example.com/app/bad", Module: "example.com/app", Tags: "lambda.norpc"}
	got := build.Again(t.Context(), dir, filepath.Join(dir, "bin"), []build.Source{bad, good})
	if err := got[good].Err; err != nil {
		t.Errorf("good: %v", err)
	}
	if err := got[bad].Err; err == nil || !strings.Contains(err.Error(), "bad/main.go:3:8") || !strings.Contains(err.Error(), "nowhere") {
		t.Errorf("bad: %v", err)
	}
}

func TestAgainNeedsAProgram(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "go.mod"), "module example.com/app\n\ngo 1.24\n")
	writeFile(t, filepath.Join(dir, "lib/lib.go"), "package lib\n")
	s := build.Source{Package: "example.com/app/lib", Module: "example.com/app", Tags: "lambda.norpc"}
	if r := build.Again(t.Context(), dir, filepath.Join(dir, "bin"), []build.Source{s})[s]; r.Err == nil || !strings.Contains(r.Err.Error(), "no main packages") {
		t.Errorf("%+v", r)
	}
}
