package main

import (
	"io"
	"strings"
	"testing"
)

// TestFilesComeFirst: a file that is not there is told before a stack is started for it.
func TestFilesComeFirst(t *testing.T) {
	t.Chdir(t.TempDir())
	for name, where := range map[string][]string{
		"a runtime to start":  {"-local", "no-such-runtime"},
		"a runtime that runs": {"-dev", "no-such-dev.json"},
		"a deployed stage":    {"-outputs", "no-such-outputs.json"},
	} {
		err := run(t.Context(), append(where, "-file", "missing.pdf"), io.Discard)
		if err == nil || !strings.Contains(err.Error(), "missing.pdf") {
			t.Errorf("%s: err = %v, want the file that is missing", name, err)
		}
	}
}
