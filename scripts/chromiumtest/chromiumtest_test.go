package chromiumtest_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/chromiumtest"
)

func TestProgram(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	t.Setenv("STOWAGE_CHROMIUM", "")
	if found, err := chromiumtest.Program(); err == nil || !strings.Contains(err.Error(), "STOWAGE_CHROMIUM") {
		t.Errorf("where there is none: %q, %v", found, err)
	}
	for _, name := range []string{"chrome", "chromium"} { // of which the second goes first
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
		if found, err := chromiumtest.Program(); err != nil || found != path {
			t.Errorf("want %q, have %q, %v", path, found, err)
		}
	}
	t.Setenv("STOWAGE_CHROMIUM", "/opt/mine")
	if found, err := chromiumtest.Program(); err != nil || found != "/opt/mine" {
		t.Errorf("one that is named: %q, %v", found, err)
	}
}
