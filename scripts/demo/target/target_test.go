package target_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/demo/target"
	"github.com/stowage-dev/stowage/scripts/deployment"
)

func file(t *testing.T, text string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "stack.json")
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

func TestFind(t *testing.T) {
	t.Setenv("AWS_PROFILE", "")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	t.Setenv("STOWAGE_TOKEN_ALPHA", "the stage's alpha")
	t.Setenv("STOWAGE_TOKEN_BETA", "the stage's beta")
	for _, c := range []struct {
		where              deployment.Where
		api, alpha, events string
	}{
		{deployment.Where{Dev: file(t, `{"apiUrl":"http://127.0.0.1:8480","tokens":{"alpha":"a","beta":"b"},"events":"events.jsonl"}`)}, "http://127.0.0.1:8480", "a", "events.jsonl"},
		{deployment.Where{Outputs: file(t, `{"Data":{"CatalogTable":"t"},"Service":{"ApiUrl":"https://api.example.com"}}`)}, "https://api.example.com", "the stage's alpha", ""},
	} {
		found, err := target.Find(t.Context(), c.where)
		if err != nil {
			t.Fatal(err)
		}
		token, err := found.Alpha(t.Context())
		if err != nil || found.API != c.api || token != c.alpha || found.Events != c.events {
			t.Errorf("%+v: %+v, token %q, %v", c.where, found, token, err)
		}
	}
}

func TestWhatNoJourneyGoesTo(t *testing.T) {
	t.Setenv("AWS_PROFILE", "")
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "config"))
	t.Setenv("STOWAGE_TOKEN_ALPHA", "a")
	t.Setenv("STOWAGE_TOKEN_BETA", "")
	for want, where := range map[string]deployment.Where{
		"was the Service stack deployed?": {Outputs: file(t, `{"Data":{"CatalogTable":"t"}}`)},
		"set STOWAGE_TOKEN_ALPHA":         {Outputs: file(t, `{"Service":{"ApiUrl":"https://api.example.com"}}`)},
		"is `make dev` running?":          {Dev: filepath.Join(t.TempDir(), "none")},
	} {
		if _, err := target.Find(t.Context(), where); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", where, err, want)
		}
	}
}
