package uploadapi_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/functions/internal/uploadapi"
)

// documentFile is the kept copy, for clients that generate code from it.
const documentFile = "../../../docs/openapi.json"

var update = flag.Bool("update", false, "write docs/openapi.json instead of comparing with it")

func TestDocumentIsKept(t *testing.T) {
	got, err := uploadapi.Document()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(documentFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, kept) {
		t.Errorf("docs/openapi.json is not what the code says: run go test ./functions/internal/uploadapi -run TestDocumentIsKept -update")
	}
}

// TestGuideIsComplete: docs/api.md names every route, and every code that one can fail with.
func TestGuideIsComplete(t *testing.T) {
	guide, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := uploadapi.Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct{ Description string }
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("`[a-z_]+`")
	for path, operations := range doc.Paths {
		for method, operation := range operations {
			if route := "| `" + strings.ToUpper(method) + " " + path + "` |"; !strings.Contains(string(guide), route) {
				t.Errorf("docs/api.md has no row for %s", route)
			}
			for status, response := range operation.Responses {
				for _, c := range code.FindAllString(response.Description, -1) {
					if row := "| " + status + " | " + c + " |"; !strings.Contains(string(guide), row) {
						t.Errorf("docs/api.md has no row %s", row)
					}
				}
			}
		}
	}
}
