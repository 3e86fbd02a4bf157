package catalog_test

import (
	"flag"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/catalog"
)

var update = flag.Bool("update", false, "write docs/access-patterns.md")

// TestAccessPatternsAreUpToDate generates docs/access-patterns.md and compares.
func TestAccessPatternsAreUpToDate(t *testing.T) {
	t.Parallel()
	path := filepath.Join("..", "..", "docs", "access-patterns.md")
	want := catalog.Declare().Markdown()
	if *update {
		if err := os.WriteFile(path, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(got)); diff != "" {
		t.Errorf("%s is not what the declaration says: run go test ./shared/catalog -update\n%s", path, diff)
	}
}
