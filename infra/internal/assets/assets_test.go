package assets

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestFindGoesUpToTheModule(t *testing.T) {
	root := t.TempDir()
	deep := filepath.Join(root, "infra", "stacks")
	if err := os.MkdirAll(deep, 0o755); err != nil {
		t.Fatal(err)
	}
	if _, err := Find(deep, "dist"); err == nil || !strings.Contains(err.Error(), "no go.mod") {
		t.Errorf("without a module: got %v", err)
	}
	if err := os.WriteFile(filepath.Join(root, "go.mod"), []byte("module m\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{root, deep} {
		dist, err := Find(dir, "dist")
		if err != nil || dist != Dist(filepath.Join(root, "dist")) {
			t.Errorf("from %s: got %s, %v", dir, dist, err)
		}
	}
}

func TestMissingNamesWhatIsNotBuilt(t *testing.T) {
	dist := Dist(t.TempDir())
	if err := os.Mkdir(dist.Function("built"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dist.Function("built"), "bootstrap"), nil, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dist.Function("empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	got := dist.Missing("built", "empty", "absent")
	if !slices.Equal(got, []string{"empty", "absent"}) {
		t.Errorf("got %v", got)
	}
}
