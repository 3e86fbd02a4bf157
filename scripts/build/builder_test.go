package main

import (
	"bytes"
	"crypto/sha256"
	"debug/elf"
	"debug/macho"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const hello = "package main\n\nfunc main() { println(\"hello\") }\n"

// module writes files, by their path, as a module in a directory of its own.
func module(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	if _, ok := files["go.mod"]; !ok {
		write(t, root, "go.mod", "module example.com/m\n\ngo 1.26\n")
	}
	for path, text := range files {
		write(t, root, path, text)
	}
	return root
}

func write(t *testing.T, root, path, text string) {
	t.Helper()
	full := filepath.Join(root, filepath.FromSlash(path))
	if err := os.MkdirAll(filepath.Dir(full), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(full, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func build(t *testing.T, dir string, names ...string) (said string, err error) {
	t.Helper()
	var log bytes.Buffer
	err = builder{from: "functions", out: "dist", os: "linux", arch: "arm64", log: &log}.build(t.Context(), dir, names)
	return log.String(), err
}

func TestSameSourceGivesTheSameBytesFromAnyDirectory(t *testing.T) {
	files := map[string]string{"functions/hello/main.go": hello, "shared/doc.go": "package shared\n"}
	var sums [][32]byte
	for _, from := range []string{".", "shared"} {
		root := module(t, files)
		if said, err := build(t, filepath.Join(root, from)); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		path := filepath.Join(root, "dist", "hello", "bootstrap")
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(text, []byte(root)) {
			t.Errorf("the executable names %s", root)
		}
		sums = append(sums, sha256.Sum256(text))

		binary, err := elf.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer binary.Close()
		if binary.Machine != elf.EM_AARCH64 {
			t.Errorf("built for %s", binary.Machine)
		}
		if symbols, err := binary.Symbols(); err == nil {
			t.Errorf("%d symbols are left", len(symbols))
		}
	}
	if sums[0] != sums[1] {
		t.Error("two builds of one source differ")
	}
}

func TestBuildLeavesWhatHasNotChanged(t *testing.T) {
	root := module(t, map[string]string{"functions/hello/main.go": hello})
	var times []fs.FileInfo
	for range 2 {
		if said, err := build(t, root); err != nil {
			t.Fatalf("%v\n%s", err, said)
		}
		info, err := os.Stat(filepath.Join(root, "dist", "hello", "bootstrap"))
		if err != nil {
			t.Fatal(err)
		}
		times = append(times, info)
	}
	if !os.SameFile(times[0], times[1]) || times[0].Size() != times[1].Size() {
		t.Error("a second build wrote another file")
	}
}

func TestFunctionThatDoesNotCompileIsNamedAndTheOthersAreBuilt(t *testing.T) {
	root := module(t, map[string]string{
		"functions/good/main.go":        hello,
		"functions/bad/main.go":         "package main\n\nfunc main() { return 1 }\n",
		"functions/worse/main.go":       "package main\n\nimport _ \"example.com/m/nowhere\"\n\nfunc main() {}\n",
		"functions/internal/good/go.go": "package good\n",
	})
	_, err := build(t, root)
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"function bad: ", "too many return values", "function worse: ", "example.com/m/nowhere"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "function good") {
		t.Errorf("a good function is named: %v", err)
	}
	if _, err := os.Stat(filepath.Join(root, "dist", "good", "bootstrap")); err != nil {
		t.Error(err)
	}
}

func TestBuildRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		files map[string]string
		names []string
		want  string
	}{
		"a function that is not there": {
			map[string]string{"functions/hello/main.go": hello}, []string{"hallo"}, `no function "hallo": there are hello`,
		},
		"a module without functions": {
			map[string]string{"functions/internal/a.go": "package internal\n"}, nil, "no function with a main.go",
		},
		"a function that carries the CDK": {
			map[string]string{
				"go.mod": "module example.com/m\n\ngo 1.26\n\nrequire github.com/aws/constructs-go/constructs/v10 v10.0.0\n\n" +
					"replace github.com/aws/constructs-go/constructs/v10 => ./cdk\n",
				"cdk/go.mod":              "module github.com/aws/constructs-go/constructs/v10\n",
				"cdk/c.go":                "package constructs\n\nconst C = 1\n",
				"shared/s.go":             "package shared\n\nimport \"github.com/aws/constructs-go/constructs/v10\"\n\nconst S = constructs.C\n",
				"functions/hello/main.go": "package main\n\nimport \"example.com/m/shared\"\n\nfunc main() { println(shared.S) }\n",
			}, nil, "a function imports github.com/aws/constructs-go/constructs/v10",
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := module(t, c.files)
			_, err := build(t, root, c.names...)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			if _, err := os.Stat(filepath.Join(root, "dist")); err == nil {
				t.Error("something was built")
			}
		})
	}
}

func TestBuildNeedsAModule(t *testing.T) {
	_, err := build(t, t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "no go.mod there or above") {
		t.Errorf("got %v", err)
	}
}

func TestNamedFunctionsAloneAreBuilt(t *testing.T) {
	root := module(t, map[string]string{"functions/one/main.go": hello, "functions/two/main.go": hello})
	if said, err := build(t, root, "two"); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	holds(t, filepath.Join(root, "dist"), "two")
	holds(t, root, "dist", "functions", "go.mod")
}

func TestBuildForAnotherSystemFromAnotherDirectory(t *testing.T) {
	root := module(t, map[string]string{"bench/start/hello/main.go": hello, "bench/start/main.go": hello})
	var log bytes.Buffer
	b := builder{from: "bench/start", out: "dist", os: "darwin", arch: "arm64", log: &log}
	if err := b.build(t.Context(), root, []string{"hello"}); err != nil {
		t.Fatalf("%v\n%s", err, log.String())
	}
	binary, err := macho.Open(filepath.Join(root, "dist", "hello", "bootstrap"))
	if err != nil {
		t.Fatal(err)
	}
	defer binary.Close()
	if binary.Cpu != macho.CpuArm64 {
		t.Errorf("built for %s", binary.Cpu)
	}
}

func holds(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		got = append(got, e.Name())
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s holds %q, want %q", dir, got, want)
	}
}
