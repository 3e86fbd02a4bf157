package e2e_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// spoken are the lines that the demo may print: its own, the runtime's progress and the steps.
var spoken = regexp.MustCompile(`^(demo: .*|local: buil(ding|t) .*|  step .*|[✓✗] .*|)$`)

// TestDemo walks the journey as `make demo` does, and reads what it prints: steps that all
// hold, and neither how to call a stack that is about to end nor its log.
func TestDemo(t *testing.T) {
	assembly, err := filepath.Abs("../../../cdk.out")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	demo := filepath.Join(dir, "demo")
	if out, err := exec.Command("go", "build", "-o", demo, "../../demo").CombinedOutput(); err != nil {
		t.Fatalf("build the demo: %v\n%s", err, out)
	}
	walk := exec.CommandContext(t.Context(), demo, "-local", binary)
	walk.Dir, walk.Env = dir, append(os.Environ(), "STOWAGE_CDK_OUT="+assembly)
	out, err := walk.CombinedOutput()
	if err != nil || !strings.Contains(string(out), " steps, 0 failed") {
		t.Errorf("it ended with %v", err)
	}
	for line := range strings.Lines(string(out)) {
		if !spoken.MatchString(strings.TrimSuffix(line, "\n")) {
			t.Errorf("it said %q", line)
		}
	}
	if t.Failed() {
		t.Logf("all that it said:\n%s", out)
	}
}
