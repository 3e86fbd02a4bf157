package stacktest

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// Module is a small Go module whose functions are part of an app.
//
// Its functions hello and other answer {"word": ..., "pid": ...} with the word of
// the package shared, or with what their own file word.go says; hello adds what
// the file embedded in it says. Its package infra is there to be saved.
type Module struct{ Dir string }

const runtimeLoop = `// Package serve answers invocations with a word.
package serve

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"time"
)

// Answer speaks the Lambda Runtime API for ever. An event {"sleep": n} is answered after n ms.
func Answer(word string) {
	base := "http://" + os.Getenv("AWS_LAMBDA_RUNTIME_API") + "/2018-06-01/runtime/invocation/"
	for {
		resp, err := http.Get(base + "next")
		if err != nil {
			os.Exit(1)
		}
		raw, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		var event struct{ Sleep int }
		_ = json.Unmarshal(raw, &event)
		time.Sleep(time.Duration(event.Sleep) * time.Millisecond)
		answer, _ := json.Marshal(map[string]any{"word": word, "pid": os.Getpid(), "stage": os.Getenv("STAGE")})
		done, err := http.Post(base+resp.Header.Get("Lambda-Runtime-Aws-Request-Id")+"/response", "application/json", bytes.NewReader(answer))
		if err != nil {
			os.Exit(1)
		}
		done.Body.Close()
	}
}
`

const program = `package main

import (
	"example.com/app/serve"
	"example.com/app/shared"
)

func main() { serve.Answer(word + shared.Word) }
`

const embedding = `package main

import (
	_ "embed"

	"example.com/app/serve"
	"example.com/app/shared"
)

//go:embed note.txt
var note string

func main() { serve.Answer(word + shared.Word + note) }
`

// NewModule writes the module and adds its functions to the app's assets, as
// hello.zip and other.zip.
func (a App) NewModule(t *testing.T) Module {
	t.Helper()
	m := Module{Dir: t.TempDir()}
	for name, content := range map[string]string{
		"go.mod":                   "module example.com/app\n\ngo 1.24\n",
		"serve/serve.go":           runtimeLoop,
		"shared/shared.go":         "package shared\n\nconst Word = \"\"\n",
		"functions/hello/main.go":  embedding,
		"functions/hello/word.go":  "package main\n\nconst word = \"hello\"\n",
		"functions/hello/note.txt": "",
		"functions/other/main.go":  program,
		"functions/other/word.go":  "package main\n\nconst word = \"other\"\n",
		"infra/main.go":            "package main\n\nfunc main() {}\n",
		"cdk.json":                 "{}\n",
	} {
		m.Save(t, name, content)
	}
	files := Object{}
	for _, name := range []string{"hello", "other"} {
		build := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-tags", "lambda.norpc", "-ldflags", "-s -w",
			"-o", filepath.Join(a.Dir, "asset."+name, "bootstrap"), "./functions/"+name)
		build.Dir, build.Env = m.Dir, append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		files[name] = Object{"source": Object{"path": "asset." + name}, "destinations": Object{"d": Object{"objectKey": name + ".zip"}}}
	}
	files["recorder"] = Object{"source": Object{"path": "asset.recorder"}, "destinations": Object{"d": Object{"objectKey": "recorder.zip"}}}
	raw, err := json.Marshal(Object{"files": files})
	if err != nil {
		t.Fatal(err)
	}
	a.write(t, "App.assets.json", string(raw))
	return m
}

// Path is where a file of the module is.
func (m Module) Path(name string) string { return filepath.Join(m.Dir, filepath.FromSlash(name)) }

// Save writes a file of the module.
func (m Module) Save(t *testing.T, name, content string) {
	t.Helper()
	path := m.Path(name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// ModuleFunction declares hello or other.
func (a App) ModuleFunction(name string) Object {
	f := a.Function("")
	f["Properties"].(Object)["Code"] = Object{"S3Bucket": "assets", "S3Key": name + ".zip"}
	return f
}
