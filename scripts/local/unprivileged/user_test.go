package unprivileged

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Each way of not being root must work by itself: a machine has the one or the other.
func TestNobodyOwnsAndReachesWhatItIsGiven(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		u, err := Choose(t.Context(), "true")
		if err != nil || u.attributes != nil {
			t.Fatalf("as an ordinary user = %+v, %v", u, err)
		}
		return
	}
	for name, u := range map[string]User{"namespace": {attributes: namespaced()}, "nobody": {attributes: lowered(), chown: true}} {
		dir := filepath.Join(t.TempDir(), "data") // below a directory that root alone may enter
		if err := os.Mkdir(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := u.Take(dir); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command("sh", "-c", `id -u; stat -c %u "$0"; echo x > "$0/file"`, dir)
		u.Apply(cmd)
		out, err := cmd.CombinedOutput()
		if name == "namespace" && err != nil && len(out) == 0 {
			t.Logf("no user namespaces here: %v", err)
			continue
		}
		if got := strings.Fields(string(out)); err != nil || len(got) != 2 || got[0] != "65534" || got[1] != "65534" {
			t.Errorf("%s: %q, %v", name, out, err)
		}
	}
}

func TestAProgramThatNobodyMayRunIsNamed(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		return // everybody runs it as who they are
	}
	if _, err := Choose(t.Context(), "/nowhere/engine", "--version"); err == nil || !strings.Contains(err.Error(), "engine does not run as root") {
		t.Errorf("error = %v", err)
	}
}
