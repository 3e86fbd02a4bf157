package ingest_test

import (
	"encoding/json"
	"strings"
	"testing"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// TestPoison: what can never be ingested is kept with its payload, and the batch goes
// on around it.
func TestPoison(t *testing.T) {
	w := newWorld(t, startS3(t))
	good := w.open(t, "good", "image/png", png, nil)
	at := w.put(t, good, png)
	gone := w.open(t, "gone", "image/png", png, nil)
	swapped := w.open(t, "swapped", "image/png", png, nil)
	deleted := w.put(t, gone, png)
	w.remove(t, deleted)
	record := func(at object.Location) string { return notification(t, "ObjectCreated:Put", at) }
	bodies := map[string]string{
		"not JSON":             `{`,
		"nothing":              `{}`,
		"no records":           `{"Records":[]}`,
		"a record of no kind":  `{"Records":[7]}`,
		"no key":               `{"Records":[{"eventName":"ObjectCreated:Put","s3":{"object":{"versionId":"1"}}}]}`,
		"no event name":        `{"Records":[{"s3":{"object":{"key":"a","versionId":"1"}}}]}`,
		"a broken escape":      strings.Replace(record(at), at.Key, "c/alpha/%zz", 1),
		"a broken time":        strings.Replace(record(at), `"eventTime":"2026`, `"eventTime":"yesterday`, 1),
		"no version":           record(object.Location{Key: gone.S3Key}),
		"a deleted version":    record(deleted),
		"an unknown version":   record(object.Location{Key: gone.S3Key, VersionID: id()}),
		"an unknown upload":    record(object.Location{Key: object.Key(alpha, id(), id()), VersionID: "1"}),
		"an unknown workspace": record(object.Location{Key: object.Key("gamma", id(), id()), VersionID: "1"}),
		"another object's key": record(object.Location{Key: object.Key(alpha, id(), swapped.ID), VersionID: "1"}),
	}
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			w.dead.letters = map[string]batch.Letter{}
			for range 2 { // delivered twice, kept once
				if back := w.deliver(t, body, record(at)); back != nil {
					t.Errorf("handed back %v", back)
				}
			}
			want := 1
			if name == "not JSON" || name == "nothing" || name == "no records" {
				want = 2 // S3 made two messages of it: nothing in them says that they are one
			}
			if len(w.dead.letters) != want {
				t.Fatalf("%d dead letters, want %d", len(w.dead.letters), want)
			}
			for _, l := range w.dead.letters {
				if l.Err == nil || !json.Valid(l.Payload) {
					t.Errorf("letter %s has the error %v and the payload %s", l.ID, l.Err, l.Payload)
				}
			}
		})
	}
	if o, err := w.store.Object(t.Context(), alpha, good.ObjectID); err != nil || o.State != object.Available {
		t.Errorf("the good one is %+v, error %v", o, err)
	}
	for _, u := range []upload.Upload{gone, swapped} {
		if u, err := w.store.Upload(t.Context(), alpha, u.ID); err != nil || u.State != upload.Open {
			t.Errorf("upload of %s is %s, error %v: want it open", u.Path, u.State, err)
		}
	}
}

// TestPoisonKeepsApart: records of which nothing can be read are told apart by
// their bytes.
func TestPoisonKeepsApart(t *testing.T) {
	w := newWorld(t, startS3(t))
	if back := w.deliver(t, `{"Records":[{"a":1},{"a":2}]}`, `{"Records":[{"a":3}]}`); back != nil {
		t.Errorf("handed back %v", back)
	}
	if len(w.dead.letters) != 3 {
		t.Errorf("%d dead letters, want 3: %v", len(w.dead.letters), w.dead.letters)
	}
}

func TestEventsThatChangeNothing(t *testing.T) {
	w := newWorld(t, startS3(t))
	u := w.open(t, "a", "image/png", png, nil)
	at := w.put(t, u, png)
	bodies := []string{
		string(samples.Read("s3/test-event")),
		string(samples.Read("s3/object-created-encoded-key")),
		string(samples.Read("s3/object-removed-delete-marker")),
		string(samples.Read("s3/lifecycle-transition")),
		string(samples.Read("s3/lifecycle-expiration-delete-marker")),
		string(samples.Read("s3/object-restore-post")),
		string(samples.Read("s3/object-restore-completed")),
		string(samples.Read("s3/object-restore-delete")),
		notification(t, "s3:ObjectCreated:Put", object.Location{Key: "c/alpha/readme.txt", VersionID: "1"}),
		notification(t, "ObjectCreated:Put", object.Location{Key: strings.ToLower(at.Key), VersionID: at.VersionID}),
	}
	for _, family := range []string{"ObjectRemoved:DeleteMarkerCreated", "LifecycleExpiration:DeleteMarkerCreated", "LifecycleTransition", "ObjectRestore:Completed", "ObjectTagging:Put", "IntelligentTiering", "SomethingNew:Soon"} {
		bodies = append(bodies, notification(t, family, at))
	}
	w.flaky.reset(0, false)
	if back := w.deliver(t, bodies...); back != nil || len(w.dead.letters) > 0 {
		t.Errorf("handed back %v, dead letters %v", back, w.dead.letters)
	}
	if len(w.flaky.calls) > 0 {
		t.Errorf("made the calls %v, want none", w.flaky.calls)
	}
}
