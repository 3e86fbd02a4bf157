// Package golden compares synthesized templates with those kept in testdata,
// so that a change of what would be deployed is seen in review.
//
// UPDATE_GOLDEN=1 go test ./infra/... writes them anew.
package golden

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// assetHash is how an asset is named in a template: by the SHA-256 of what it
// holds, which changes with every change of a function and says nothing here.
var assetHash = regexp.MustCompile(`[0-9a-f]{64}`)

// Scrub writes a template as indented JSON, with the hashes of its assets
// replaced.
func Scrub(template map[string]any) ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(template); err != nil {
		return nil, fmt.Errorf("write template: %w", err)
	}
	return assetHash.ReplaceAll(text.Bytes(), []byte("<asset>")), nil
}

// Compare fails t when the template differs from the file below testdata.
func Compare(t *testing.T, file string, template map[string]any) {
	t.Helper()
	got, err := Scrub(template)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join("testdata", file)
	if os.Getenv("UPDATE_GOLDEN") != "" {
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v: write it by UPDATE_GOLDEN=1 go test ./infra/...", err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s differs from what is synthesized now; if that is meant, UPDATE_GOLDEN=1 go test ./infra/...\n%s", path, diff)
	}
}
