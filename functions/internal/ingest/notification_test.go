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
	raw, err := notifications(string(samples.Read("s3/object-created-encoded-key")))
	if err != nil {
		t.Fatal(err)
	}
	r, err := decodeRecord(raw[0])
	if err != nil {
		t.Fatal(err)
	}
	want := object.Location{Key: "incoming/Q3 summary+draft é.pdf", VersionID: "aB3dE5fG7hJ9kL1mN3pQ5rS7tU9vW1xY"}
	if diff := cmp.Diff(want, r.at); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if r.family() != created || r.sequencer != "0068E1A3B2C4D5E6FA" {
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
		for _, raw := range records {
			if !json.Valid(raw) {
				t.Errorf("the record %q is no JSON", raw)
			}
			r, err := decodeRecord(raw)
			switch {
			case err != nil && !errors.As(err, &p):
				t.Errorf("%v is not poison", err)
			case err == nil && (r.at.Key == "" || r.event == ""):
				t.Errorf("record %+v", r)
			}
		}
	})
}
