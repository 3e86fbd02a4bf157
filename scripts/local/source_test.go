package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// brokenWeb makes the function behind the API one that does not compile any more,
// in a module of its own, which it returns.
func brokenWeb(t *testing.T, a stacktest.App) stacktest.Module {
	t.Helper()
	m := a.NewModule(t)
	engines, err := filepath.Abs(filepath.Join("..", "..", "node_modules"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(engines, m.Path("node_modules")); err != nil {
		t.Fatal(err)
	}
	m.Save(t, "functions/web/main.go", "package main\n\nfunc main() {}\n")
	goarch, architecture := "arm64", "arm64"
	if runtime.GOARCH == "arm64" {
		goarch, architecture = "amd64", "x86_64"
	}
	build := exec.Command("go", "build", "-tags", "lambda.norpc", "-o", filepath.Join(a.Dir, "asset.hello", "bootstrap"), "./functions/web")
	build.Dir, build.Env = m.Dir, append(os.Environ(), "GOOS=linux", "GOARCH="+goarch, "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	m.Save(t, "functions/web/main.go", "package main\n\nfunc main() { missing() }\n")
	resources := a.Resources()
	properties := resources["Web"].(stacktest.Object)["Properties"].(stacktest.Object)
	properties["Code"], properties["Architectures"] = stacktest.Object{"S3Key": "hello.zip"}, []string{architecture}
	a.Write(t, resources)
	return m
}

// TestMustBeReady: who waits for a stack that cannot become ready is told at once.
func TestMustBeReady(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	m := brokenWeb(t, a)
	c := launch(t, a, t.TempDir(), "--source", m.Dir, "--must-be-ready")
	err := c.awaitEnd(t)
	if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 1 {
		t.Errorf("it ended with %v, want exit status 1", err)
	}
	if out := c.out.String(); !strings.Contains(out, "undefined: missing") || !strings.Contains(out, "main.go:3:15") || !strings.Contains(out, "dev.json is not written") {
		t.Errorf("it said %s", out)
	}
}

// TestMendedFunctionMakesTheStackReady: without --must-be-ready the stack runs on,
// and becomes ready with the save that mends it.
func TestMendedFunctionMakesTheStackReady(t *testing.T) {
	a := stacktest.New(t, recorderDir)
	m := brokenWeb(t, a)
	c := launch(t, a, t.TempDir(), "--source", m.Dir, "--reload")
	for deadline := time.Now().Add(60 * time.Second); !strings.Contains(c.out.String(), "is not ready"); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("it said %s", c.out)
		}
	}
	m.Save(t, "serve/web.go", webAnswer)
	m.Save(t, "functions/web/main.go", "package main\n\nimport \"example.com/app/serve\"\n\nfunc main() { serve.Web() }\n")
	c.awaitReady(t)
	if out := c.out.String(); !strings.Contains(out, "App-Web: new code answers") {
		t.Errorf("it said %s", out)
	}
}

// webAnswer answers requests of the API with 201.
const webAnswer = `package serve

import (
	"net/http"
	"os"
	"strings"
)

// Web answers every request with 201, for ever.
func Web() {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		resp, err := http.Get(base + "next")
		if err != nil {
			os.Exit(1)
		}
		resp.Body.Close()
		id := resp.Header.Get("Lambda-Runtime-Aws-Request-Id")
		done, err := http.Post(base+id+"/response", "application/json", strings.NewReader("{\"statusCode\":201,\"body\":\"{}\"}"))
		if err != nil {
			os.Exit(1)
		}
		done.Body.Close()
	}
}
`

// TestTwoRuntimesInOneFolder: the second says who is there and what to do, and the
// first does not notice.
func TestTwoRuntimesInOneFolder(t *testing.T) {
	a, state := stacktest.New(t, recorderDir), t.TempDir()
	first := launch(t, a, state)
	first.awaitReady(t)
	before, err := os.ReadFile(filepath.Join(state, "dev.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{nil, {"--reset"}} {
		second := launch(t, a, state, args...)
		if err := second.awaitEnd(t); err == nil {
			t.Error("the second runtime ended well")
		}
		if out := second.out.String(); !strings.Contains(out, "another runtime (process ") || !strings.Contains(out, state) || !strings.Contains(out, "STOWAGE_STATE=") || !strings.Contains(out, "--state") {
			t.Errorf("it said %s", out)
		}
	}
	after, err := os.ReadFile(filepath.Join(state, "dev.json"))
	if err != nil || string(after) != string(before) {
		t.Errorf("dev.json is now %s, %v", after, err)
	}
	if err := first.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := first.awaitEnd(t); err != nil {
		t.Errorf("the first ended with %v:\n%s", err, first.out)
	}
}
