package ingest_test

import (
	"encoding/json"
	"regexp"
	"strconv"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"github.com/google/go-cmp/cmp"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// about is a sample of S3's, about another version.
func about(t *testing.T, sample string, at object.Location, edit func(*events.S3EventRecord)) string {
	t.Helper()
	var ev events.S3Event
	if err := json.Unmarshal(samples.Read(sample), &ev); err != nil {
		t.Fatal(err)
	}
	r := &ev.Records[0]
	r.S3.Object.Key, r.S3.Object.VersionID = at.Key, at.VersionID
	if edit != nil {
		edit(r)
	}
	text, err := json.Marshal(ev)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// published publishes a picture at a path.
func (w *world) published(t *testing.T, path string) (upload.Upload, object.Location) {
	t.Helper()
	u := w.open(t, path, "image/png", png, func(u *upload.Upload) { u.IfExists = upload.NewVersion })
	at := w.put(t, u, png)
	if back := w.created(t, at); back != nil {
		t.Fatal("handed back")
	}
	return u, at
}

// remove deletes a version for good, as somebody with rights on the bucket can.
func (w *world) remove(t *testing.T, at object.Location) {
	t.Helper()
	if _, err := w.objects.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &at.Key, VersionId: &at.VersionID}); err != nil {
		t.Fatal(err)
	}
}

// counted is what a counter of the handler has come to. A count that was never told is 0.
func (w *world) counted(t *testing.T, name string) int {
	t.Helper()
	if err := w.metrics.Flush(); err != nil {
		t.Fatal(err)
	}
	total := 0
	for _, m := range regexp.MustCompile(`"`+name+`":(\d+)`).FindAllStringSubmatch(w.told.String(), -1) {
		n, err := strconv.Atoi(m[1])
		if err != nil {
			t.Fatal(err)
		}
		total += n
	}
	return total
}

// TestRemovals: bytes that the catalog counts on and that were removed are told of; all
// other removals, and those that did not happen, are not.
func TestRemovals(t *testing.T) {
	objects := startS3(t)
	for _, sample := range []string{"s3/object-removed", "s3/lifecycle-expiration"} {
		t.Run(sample, func(t *testing.T) {
			w := newWorld(t, objects)
			u, at := w.published(t, "a")
			before, err := w.store.Object(t.Context(), alpha, u.ObjectID)
			if err != nil {
				t.Fatal(err)
			}
			deliver := func(at object.Location, lost int) {
				t.Helper()
				if back := w.deliver(t, about(t, sample, at, nil)); back != nil || len(w.dead.letters) > 0 {
					t.Errorf("handed back %v, dead letters %v", back, w.dead.letters)
				}
				if got := w.counted(t, "IngestLostVersions"); got != lost {
					t.Errorf("%d versions were told lost, want %d", got, lost)
				}
			}
			deliver(at, 0) // it is still there
			deliver(object.Location{Key: at.Key, VersionID: id()}, 0)
			deliver(object.Location{Key: object.Key(alpha, id(), id()), VersionID: id()}, 0)
			open := w.open(t, "b", "image/png", png, nil)
			deliver(object.Location{Key: open.S3Key, VersionID: id()}, 0)
			w.remove(t, at)
			deliver(at, 1)
			after, err := w.store.Object(t.Context(), alpha, u.ObjectID)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, after); diff != "" {
				t.Errorf("object (-before +after):\n%s", diff)
			}
		})
	}
}

// TestTransitions: where S3 has moved the bytes of a current version is recorded once.
func TestTransitions(t *testing.T) {
	w := newWorld(t, startS3(t))
	old, oldAt := w.published(t, "a")
	u, at := w.published(t, "a")
	to := func(at object.Location, class string) string {
		return about(t, "s3/lifecycle-transition", at, func(r *events.S3EventRecord) {
			r.LifecycleEventData.TransitionEventData.DestinationStorageClass = class
		})
	}
	want := func(rev int64, class string) {
		t.Helper()
		o, err := w.store.Object(t.Context(), alpha, old.ObjectID)
		if err != nil || o.Rev != rev || o.StorageClass != class || o.Version != u.ID {
			t.Errorf("object of rev %d is in %q, %v: want rev %d in %q", o.Rev, o.StorageClass, err, rev, class)
		}
	}
	for _, body := range []string{to(at, "INTELLIGENT_TIERING"), to(oldAt, "GLACIER"), to(object.Location{Key: at.Key, VersionID: id()}, "GLACIER")} {
		if back := w.deliver(t, body); back != nil {
			t.Error("handed back")
		}
		want(2, "")
	}
	for range 2 {
		if back := w.deliver(t, to(at, "GLACIER"), to(at, "GLACIER")); back != nil {
			t.Error("handed back")
		}
		want(3, "GLACIER")
	}
	if len(w.dead.letters) > 0 {
		t.Errorf("dead letters %v", w.dead.letters)
	}
}

// TestOrderOfAKey: the messages of a batch that are about one key are handled in the order
// of S3's sequencer, whatever order they came in, and those without one first.
func TestOrderOfAKey(t *testing.T) {
	w := newWorld(t, startS3(t))
	u, at := w.published(t, "a")
	class := func(sequencer, class string) string {
		return about(t, "s3/lifecycle-transition", at, func(r *events.S3EventRecord) {
			r.S3.Object.Sequencer, r.LifecycleEventData.TransitionEventData.DestinationStorageClass = sequencer, class
		})
	}
	// "0A" is 0A00..., which is less than 0A01.
	if back := w.deliver(t, class("0A02", "DEEP_ARCHIVE"), class("0A", "GLACIER_IR"), class("0A01", "GLACIER"), class("", "STANDARD_IA")); back != nil {
		t.Fatal("handed back")
	}
	o, err := w.store.Object(t.Context(), alpha, u.ObjectID)
	if err != nil || o.StorageClass != "DEEP_ARCHIVE" || o.Rev != 5 {
		t.Errorf("object of rev %d is in %s, %v: want rev 5 in DEEP_ARCHIVE", o.Rev, o.StorageClass, err)
	}
}
