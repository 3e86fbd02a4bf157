package chaos_test

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/chaos"
)

// TestDocsTellEveryFault: the guide has each fault with its default rate.
func TestDocsTellEveryFault(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/chaos.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range chaos.Faults() {
		if row := fmt.Sprintf("| `%s` | %v |", d.Fault, d.Rate); !strings.Contains(string(guide), row) {
			t.Errorf("docs/chaos.md has no row that begins with %q", row)
		}
	}
}
