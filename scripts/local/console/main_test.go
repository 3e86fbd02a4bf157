package console_test

import (
	"fmt"
	"os"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// recorderDir holds the function of every test assembly.
var recorderDir string

func TestMain(m *testing.M) {
	switch {
	case len(os.Args) > 1 && os.Args[1] == s3.Command:
		os.Exit(s3.Main(os.Args, os.Stdin))
	case os.Getenv(loadEnv) != "":
		os.Exit(runLoad())
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
