package ingest

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

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
