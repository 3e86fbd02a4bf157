package build_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/build"
)

// otherArch is a processor that is not this machine's, in Go's and in Lambda's words.
func otherArch() (goarch, architecture string) {
	if runtime.GOARCH == "arm64" {
		return "amd64", "x86_64"
	}
	return "arm64", "arm64"
}

// module is a module with two functions, each built as an asset for a foreign
// processor.
func module(t *testing.T) (dir string, assets map[string]string) {
	t.Helper()
	dir = t.TempDir()
	files := map[string]string{
		"go.mod":                      "module example.com/app\n\ngo 1.24\n",
		"functions/good/main.go":      "package main\n\nfunc main() { print(\"good\") }\n",
		"functions/bad/main.go":       "package main\n\nfunc main() { print(\"bad\") }\n",
		"functions/tagged/main.go":    "package main\n\nfunc main() { print(how) }\n",
		"functions/tagged/plain.go":   "//go:build !quiet\n\npackage main\n\nconst how = \"plain\"\n",
		"functions/tagged/quietly.go": "//go:build quiet\n\npackage main\n\nconst how = \"quiet\"\n",
	}
	for name, content := range files {
		writeFile(t, filepath.Join(dir, name), content)
	}
	goarch, _ := otherArch()
	assets = map[string]string{}
	for _, name := range []string{"good", "bad", "tagged"} {
		assets[name] = filepath.Join(dir, "dist", name)
		cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "quiet", "-ldflags", "-s -w", "-o", filepath.Join(assets[name], "bootstrap"), "./functions/"+name)
		cmd.Dir = dir
		cmd.Env = append(os.Environ(), "GOOS=linux", "GOARCH="+goarch, "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	return dir, assets
}

func writeFile(t *testing.T, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestFunctionsAreBuiltForThisMachine(t *testing.T) {
	dir, assets := module(t)
	writeFile(t, filepath.Join(dir, "functions/bad/main.go"), "package main\n\nfunc main() { undefinedThing() }\n")
	_, arch := otherArch()
	var told []string
	results := build.All(t.Context(), build.Config{
		ModuleDir: dir, OutDir: filepath.Join(dir, "bin"),
		Functions: []build.Function{
			{Name: "Good", AssetDir: assets["good"], Architecture: arch},
			{Name: "Bad", AssetDir: assets["bad"], Architecture: arch},
			{Name: "Twin", AssetDir: assets["good"], Architecture: arch},
			{Name: "Tagged", AssetDir: assets["tagged"], Architecture: arch},
			{Name: "Gone", AssetDir: filepath.Join(dir, "dist", "gone"), Architecture: arch},
		},
		Done: func(r build.Result) { told = append(told, r.Function) },
	})
	for i, want := range []string{"good", "", "good", "quiet", ""} {
		r := results[i]
		if want == "" {
			if r.Err == nil {
				t.Errorf("%s was built", r.Function)
			}
			continue
		}
		if r.Err != nil {
			t.Errorf("%s: %v", r.Function, r.Err)
			continue
		}
		out, err := exec.Command(r.Binary).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("%s says %q, %v", r.Function, out, err)
		}
	}
	if err := results[1].Err; err == nil || !strings.Contains(err.Error(), "undefinedThing") || !strings.Contains(err.Error(), "main.go:3") {
		t.Errorf("the compiler's words are missing: %v", err)
	}
	if results[0].Binary != results[2].Binary {
		t.Error("one package was built twice")
	}
	if len(told) != 5 {
		t.Errorf("told of %v", told)
	}
}

func TestAnAssetForThisMachineIsUsedAsItIs(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("Lambda's binaries run on Linux only")
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Symlink(exe, filepath.Join(dir, "bootstrap")); err != nil {
		t.Fatal(err)
	}
	arch := map[string]string{"amd64": "x86_64", "arm64": "arm64"}[runtime.GOARCH]
	r := build.All(t.Context(), build.Config{OutDir: t.TempDir(), Functions: []build.Function{{Name: "F", AssetDir: dir, Architecture: arch}}})[0]
	if r.Err != nil || r.Binary != filepath.Join(dir, "bootstrap") {
		t.Errorf("result = %+v", r)
	}
}

func TestABootstrapThatIsNoGoBinary(t *testing.T) {
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "bootstrap"), "#!/bin/sh\n")
	r := build.All(t.Context(), build.Config{Functions: []build.Function{{Name: "F", AssetDir: dir}}})[0]
	if r.Err == nil || !strings.Contains(r.Err.Error(), "no Go binary") {
		t.Errorf("err = %v", r.Err)
	}
}

func TestABuildCanBeInterrupted(t *testing.T) {
	dir, assets := module(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, arch := otherArch()
	r := build.All(ctx, build.Config{ModuleDir: dir, OutDir: filepath.Join(dir, "bin"), Functions: []build.Function{{Name: "F", AssetDir: assets["good"], Architecture: arch}}})[0]
	if r.Err == nil || !strings.Contains(r.Err.Error(), "context canceled") {
		t.Errorf("err = %v", r.Err)
	}
}
