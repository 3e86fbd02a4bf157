package subject

import (
	"os"
	"path/filepath"
	"testing"
	"testing/fstest"
)

func TestPeerIsInstalledOncePerLockfile(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "tools", "bench-peer")
	unpacked := func(lock, program string) (fresh bool) {
		t.Helper()
		fresh, err := unpack(dir, fstest.MapFS{"package-lock.json": {Data: []byte(lock)}, "runtime.ts": {Data: []byte(program)}})
		if err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(filepath.Join(dir, "runtime.ts")); err != nil || string(text) != program {
			t.Errorf("runtime.ts holds %q, %v", text, err)
		}
		return fresh
	}
	for range 2 { // the first was interrupted, say
		if !unpacked("1", "a") {
			t.Error("nothing is to be installed, though nothing is")
		}
	}
	// What npm leaves when it is done.
	if err := os.MkdirAll(filepath.Join(dir, "node_modules"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "node_modules", ".package-lock.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if unpacked("1", "b") {
		t.Error("a change of the program installs anew")
	}
	if !unpacked("2", "b") {
		t.Error("a change of the lockfile installs nothing")
	}
}
