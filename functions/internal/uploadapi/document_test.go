package uploadapi_test

import (
	"bytes"
	"flag"
	"os"
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
