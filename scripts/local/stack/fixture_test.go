package stack_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/stack"
	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// recorderDir holds the function of every test assembly.
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

// config runs the app in a state directory, with any free ports.
func config(a stacktest.App, state string) stack.Config {
	return stack.Config{Assembly: a.Dir, State: state, Source: a.Dir, NodeModules: filepath.Join("..", "..", "..", "node_modules")}
}

func start(t *testing.T, cfg stack.Config) *stack.Stack {
	t.Helper()
	s, err := stack.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}
