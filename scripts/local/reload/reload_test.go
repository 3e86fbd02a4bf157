package reload_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/reload"
	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

var recorderDir string

func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3.Command {
		os.Exit(s3.Main(os.Args, os.Stdin))
	}
	dir, err := stacktest.Build()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	recorderDir = dir
	code := m.Run()
	os.RemoveAll(dir)
	os.Exit(code)
}

// followed is a running stack whose source is followed.
type followed struct {
	*stack.Stack
	app       stacktest.App
	module    stacktest.Module
	resources map[string]any

	mu   sync.Mutex
	said []string
}

// say notes what the developer is told.
func (f *followed) say(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.said = append(f.said, fmt.Sprintf(format, args...))
}

func (f *followed) told() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.said, "\n")
}

// follow runs an app with the functions Hello and Other. next, in the module, is
// the template that its synthesis writes.
func follow(t *testing.T) *followed {
	t.Helper()
	a := stacktest.New(t, recorderDir)
	f := &followed{app: a, module: a.NewModule(t), resources: a.Resources()}
	f.resources["Hello"], f.resources["Other"] = a.ModuleFunction("hello"), a.ModuleFunction("other")
	a.Write(t, f.resources)
	state := t.TempDir()
	r, err := reload.New(reload.Config{
		Module: f.module.Dir, Ignore: []string{a.Dir, state}, Say: f.say,
		Synth: []string{"sh", "-c", "sh next.sh " + filepath.Join(a.Dir, "App.template.json")},
	})
	if err != nil {
		t.Fatal(err)
	}
	if f.Stack, err = stack.Start(t.Context(), stack.Config{Assembly: a.Dir, State: state, Source: f.module.Dir,
		NodeModules: filepath.Join("..", "..", "..", "node_modules")}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx, f.Stack, f.Bin()) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
		if t.Failed() {
			t.Logf("it said:\n%s", f.told())
		}
	})
	return f
}

// answer is what the module's functions answer.
type answer struct {
	Word  string `json:"word"`
	PID   int    `json:"pid"`
	Stage string `json:"stage"`
}

func (f *followed) invoke(t *testing.T, function string) answer {
	t.Helper()
	r, err := f.Host.Invoke(context.Background(), "App-"+function, []byte(`{}`))
	if err != nil || r.FunctionError != "" {
		t.Fatalf("%s: %s, %v", function, r.Payload, err)
	}
	var a answer
	if err := json.Unmarshal(r.Payload, &a); err != nil {
		t.Fatal(err)
	}
	return a
}

// await waits until a function answers with a word.
func (f *followed) await(t *testing.T, function, word string) answer {
	t.Helper()
	var last answer
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if last = f.invoke(t, function); last.Word == word {
			return last
		}
	}
	t.Fatalf("%s answers %q, not %q; it was said:\n%s", function, last.Word, word, f.told())
	return last
}

func (f *followed) awaitSaid(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if strings.Contains(f.told(), text) {
			return
		}
	}
	t.Fatalf("%q was not said, but:\n%s", text, f.told())
}

func TestSavingAFileSwapsOnlyTheFunctionsThatReachIt(t *testing.T) {
	f := follow(t)
	hello, other := f.await(t, "Hello", "hello"), f.await(t, "Other", "other")

	f.module.Save(t, "functions/hello/word.go", "package main\n\nconst word = \"goodbye\"\n")
	if now := f.await(t, "Hello", "goodbye"); now.PID == hello.PID {
		t.Error("the old process answers with new code")
	}
	if now := f.invoke(t, "Other"); now.PID != other.PID {
		t.Error("a function that does not reach the file was swapped")
	}
	f.module.Save(t, "shared/shared.go", "package shared\n\nconst Word = \"!\"\n")
	f.await(t, "Hello", "goodbye!")
	f.await(t, "Other", "other!")
	f.module.Save(t, "functions/hello/note.txt", "?")
	f.await(t, "Hello", "goodbye!?")
	if said := f.told(); !strings.Contains(said, "App-Hello: new code answers") || !strings.Contains(said, "shared/shared.go saved") {
		t.Errorf("it said %s", said)
	}
}

func TestASaveThatChangesNothingSwapsNothing(t *testing.T) {
	f := follow(t)
	f.module.Save(t, "functions/hello/word.go", "package main\n\nconst word = \"once\"\n")
	before := f.await(t, "Hello", "once")
	f.module.Save(t, "go.mod", "module example.com/app\n\ngo 1.24 // or later\n")
	f.awaitSaid(t, "the save changes nothing in the binary")
	if now := f.invoke(t, "Hello"); now.PID != before.PID {
		t.Error("the function was swapped")
	}
}

func TestCompileErrorIsShownAndTheOldCodeGoesOn(t *testing.T) {
	f := follow(t)
	f.await(t, "Hello", "hello")
	f.module.Save(t, "functions/hello/word.go", "package main\n\nconst word = missing\n")
	f.awaitSaid(t, "functions/hello/word.go:3:14: undefined: missing")
	f.await(t, "Hello", "hello")
	if said := f.told(); !strings.Contains(said, "App-Hello: does not build; the code of before goes on answering") || strings.Contains(said, "App-Other") {
		t.Errorf("it said %s", said)
	}
	f.module.Save(t, "functions/hello/word.go", "package main\n\nconst word = \"mended\"\n")
	f.await(t, "Hello", "mended")
}

// TestAPackageSavedAfterItsImport: what is imported may be saved later, in a
// directory that no function knew of.
func TestAPackageSavedAfterItsImport(t *testing.T) {
	f := follow(t)
	f.await(t, "Hello", "hello")
	f.module.Save(t, "functions/hello/word.go", "package main\n\nimport \"example.com/app/words/more\"\n\nconst word = more.Word\n")
	f.awaitSaid(t, "App-Hello: does not build")
	f.module.Save(t, "words/more/more.go", "package more\n\nconst Word = \"more\"\n")
	f.await(t, "Hello", "more")
	f.module.Save(t, "words/more/more.go", "package more\n\nconst Word = \"most\"\n")
	f.await(t, "Hello", "most")
}

// TestSavesUnderLoadLoseNoInvocation: invocations go on while code is saved again
// and again; each is answered, by one version or another.
func TestSavesUnderLoadLoseNoInvocation(t *testing.T) {
	f := follow(t)
	var invocations atomic.Int64
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	for range 3 {
		callers.Go(func() {
			for ctx.Err() == nil {
				r, err := f.Host.Invoke(context.Background(), "App-Hello", []byte(`{"sleep":5}`))
				if err != nil || r.FunctionError != "" {
					t.Errorf("invocation %d: %s, %v", invocations.Load(), r.Payload, err)
				}
				invocations.Add(1)
			}
		})
	}
	const saves = 5
	for i := range saves {
		word := fmt.Sprint("version-", i)
		f.module.Save(t, "functions/hello/word.go", "package main\n\nconst word = \""+word+"\"\n")
		f.await(t, "Hello", word)
	}
	stop()
	callers.Wait()
	t.Logf("%d invocations over %d swaps", invocations.Load(), saves)
}

// synthesizes makes the next synthesis write these resources.
func (f *followed) synthesizes(t *testing.T, resources map[string]any) {
	t.Helper()
	raw, err := json.Marshal(map[string]any{"Resources": resources})
	if err != nil {
		t.Fatal(err)
	}
	f.module.Save(t, "next.json", string(raw))
	f.module.Save(t, "next.sh", "cp next.json \"$1\"\n")
}

func TestSavedInfrastructureIsApplied(t *testing.T) {
	f := follow(t)
	before := f.await(t, "Other", "other")
	f.await(t, "Hello", "hello")
	next := maps.Clone(f.resources)
	changed := f.app.ModuleFunction("hello")
	changed["Properties"].(stacktest.Object)["Environment"] = stacktest.Object{"Variables": stacktest.Object{"STAGE": "two"}}
	changed["Properties"].(stacktest.Object)["Timeout"] = 7
	next["Hello"] = changed
	next["Third"] = f.app.ModuleFunction("other")
	next["Second"] = stacktest.Resource("AWS::S3::Bucket", stacktest.Object{})
	f.synthesizes(t, next)
	f.module.Save(t, "infra/main.go", "package main\n\nfunc main() { println() }\n")
	f.awaitSaid(t, "synthesized in")
	for _, want := range []string{"App/Hello: environment, time-out changed", "App/Third: function added", "App/Second: bucket added: needs a restart"} {
		if !strings.Contains(f.told(), want) {
			t.Errorf("%q was not said", want)
		}
	}
	if got := f.invoke(t, "Hello"); got.Stage != "two" {
		t.Errorf("Hello runs in stage %q", got.Stage)
	}
	if got := f.invoke(t, "Third"); got.Word != "other" {
		t.Errorf("Third answers %+v", got)
	}
	if got := f.invoke(t, "Other"); got.PID != before.PID {
		t.Error("a function that is as before was started anew")
	}
	// A function that was added is followed like the others.
	f.module.Save(t, "functions/other/word.go", "package main\n\nconst word = \"third\"\n")
	f.await(t, "Third", "third")
}

func TestFailedSynthesisLeavesTheStackAsItIs(t *testing.T) {
	f := follow(t)
	f.await(t, "Hello", "hello")
	f.module.Save(t, "next.sh", "echo 'infra/main.go:3:1: a construct is wrong' >&2; exit 1\n")
	f.module.Save(t, "cdk.json", "{\"app\": \"none\"}\n")
	f.awaitSaid(t, "infra/main.go:3:1: a construct is wrong")
	f.await(t, "Hello", "hello")
	if !strings.Contains(f.told(), "synthesis failed after") {
		t.Errorf("it said %s", f.told())
	}
}

// TestATemplateThatDoesNotFitIsNotApplied: a template that somebody edited by hand
// is refused with the resource's name, and the old stack goes on.
func TestATemplateThatDoesNotFitIsNotApplied(t *testing.T) {
	f := follow(t)
	next := maps.Clone(f.resources)
	next["Odd"] = stacktest.Resource("AWS::SQS::Queue", stacktest.Object{"Colour": "blue"})
	delete(next, "Hello")
	f.synthesizes(t, next)
	f.module.Save(t, "infra/main.go", "package main\n\nfunc main() { println() }\n")
	f.awaitSaid(t, "the stack goes on as it was")
	if said := f.told(); !strings.Contains(said, "Odd") || !strings.Contains(said, "Colour") {
		t.Errorf("it said %s", said)
	}
	f.await(t, "Hello", "hello")
}
