package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/shared/object"
)

// TestKeysAreDecodedAsAFormIs: a plus is a space, and everything else is escaped.
func TestKeysAreDecodedAsAFormIs(t *testing.T) {
	records, err := notifications(string(samples.Read("s3/object-created-encoded-key")))
	if err != nil {
		t.Fatal(err)
	}
	r := records[0]
	if r.err != nil {
		t.Fatal(r.err)
	}
	want := object.Location{Key: "incoming/Q3 summary+draft é.pdf", VersionID: "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY"}
	if diff := cmp.Diff(want, r.at); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if family, what := r.family(); family != created || what != "Put" || r.sequencer != "0068E1A3B2C4D5E6FA" {
		t.Errorf("event %s with the sequencer %s", r.event, r.sequencer)
	}
}

// TestEveryKeyComesThrough: whatever a key holds, it is decoded to what it was, in the
// escaping of S3 (a form's, but for slashes) and in any other that says the same.
func TestEveryKeyComesThrough(t *testing.T) {
	t.Parallel()
	escape := map[string]func(string) string{
		"as S3 does":    func(key string) string { return strings.ReplaceAll(url.QueryEscape(key), "%2F", "/") },
		"slashes, too":  url.QueryEscape,
		"spaces as %20": func(key string) string { return strings.ReplaceAll(url.QueryEscape(key), "+", "%20") },
		"every byte": func(key string) string {
			var b strings.Builder
			for _, c := range []byte(key) {
				fmt.Fprintf(&b, "%%%02x", c)
			}
			return b.String()
		},
	}
	rapid.Check(t, func(t *rapid.T) {
		key := rapid.OneOf(rapid.StringN(1, 40, 200), rapid.StringMatching(`c/[a-z+ %&=?#"\\]{1,20}/.{1,10}`)).Draw(t, "key")
		for name, escaped := range escape {
			text, err := json.Marshal(map[string]any{"eventName": "ObjectCreated:Put", "s3": map[string]any{"object": map[string]any{"key": escaped(key)}}})
			if err != nil {
				t.Fatal(err)
			}
			if r, err := decodeRecord(text); err != nil || r.at.Key != key {
				t.Fatalf("%s, %q came as %q, %v", name, key, r.at.Key, err)
			}
		}
	})
}

// FuzzNotification: no message makes the decoder panic, and whatever it refuses is
// poison: delivering it again would not help.
func FuzzNotification(f *testing.F) {
	for _, name := range samples.Names() {
		if strings.HasPrefix(name, "s3/") {
			f.Add(string(samples.Read(name)))
		}
	}
	f.Add(`{"Records":[null,7,{"eventName":"s3:X","s3":{"object":{"key":"%zz"}}}]}`)
	f.Fuzz(func(t *testing.T, body string) {
		var p poison
		records, err := notifications(body)
		if err != nil {
			if !errors.As(err, &p) {
				t.Errorf("%v is not poison", err)
			}
			return
		}
		for _, r := range records {
			if !json.Valid(r.raw) {
				t.Errorf("the record %q is no JSON", r.raw)
			}
			switch {
			case r.err != nil && !errors.As(r.err, &p):
				t.Errorf("%v is not poison", r.err)
			case r.err == nil && (r.at.Key == "" || r.event == ""):
				t.Errorf("record %+v", r)
			}
		}
	})
}
