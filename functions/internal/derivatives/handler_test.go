package derivatives_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/functions/internal/derivatives"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
)

func TestParseConfig(t *testing.T) {
	t.Parallel()
	_, err := derivatives.ParseConfig(boot.NewSettings(func(string) (string, bool) { return "", false }))
	for _, name := range []string{"STOWAGE_TABLE", "STOWAGE_BUCKET", "STOWAGE_DEAD_LETTER_BUCKET"} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

func TestDerivatives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startS3(t))
	o := w.publish(t, "beach.jpeg", photo(t, 2000, 1500))
	for range 3 { // the second and third have no effect
		if back := w.deliver(t, message(t, o)); back != nil {
			t.Fatalf("handed back %v", back)
		}
	}
	now := w.object(t, o.ID)
	if now.Rev != 2 || now.UpdatedBy != "image-derivatives" || now.Picture == nil || now.Picture.Width != 2000 || now.Picture.Height != 1500 ||
		!slices.Equal(now.Picture.Derivatives, []string{"1024", "256"}) {
		t.Errorf("object is %+v with picture %+v", now, now.Picture)
	}
	for name, want := range map[string][2]int{"256": {256, 192}, "1024": {1024, 768}} {
		d, err := w.store.Derivative(t.Context(), alpha, o.ID, name)
		if err != nil {
			t.Fatal(err)
		}
		out, err := w.objects.GetObject(t.Context(), &s3.GetObjectInput{Bucket: aws.String(bucket), Key: &d.S3Key, VersionId: &d.S3VersionID})
		if err != nil {
			t.Fatal(err)
		}
		cfg, err := jpeg.DecodeConfig(out.Body)
		if err != nil || cfg.Width != want[0] || cfg.Height != want[1] || d.Width != want[0] || d.Height != want[1] || d.Size != aws.ToInt64(out.ContentLength) ||
			d.Version != o.Version || d.ContentType != "image/jpeg" || aws.ToString(out.ContentType) != "image/jpeg" {
			t.Errorf("derivative %+v is %+v, %v", d, cfg, err)
		}
		if !strings.HasPrefix(d.S3Key, "d/") || strings.HasPrefix(d.S3Key, object.KeyPrefix) {
			t.Errorf("%s lies where notifications look", d.S3Key)
		}
		if aws.ToInt32(out.TagCount) != 1 {
			t.Errorf("%s is not tagged", d.S3Key)
		}
	}
	if keys := w.stored(t, o.ID); len(keys) != 2 {
		t.Errorf("stored %v", keys)
	}
	if len(w.dead.letters) != 0 {
		t.Errorf("%d dead letters", len(w.dead.letters))
	}
}

// TestSampleEvent: the handler reads what the bus really sends.
func TestSampleEvent(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startS3(t))
	var ev events.SQSEvent
	if err := json.Unmarshal(samples.Read("sqs/object-available-image"), &ev); err != nil {
		t.Fatal(err)
	}
	resp, err := w.handler.Handle(t.Context(), ev) // about an object that is gone
	if err != nil || len(resp.BatchItemFailures) != 0 || len(w.dead.letters) != 0 {
		t.Errorf("%+v, %v, %d dead letters", resp, err, len(w.dead.letters))
	}
}

func TestStaleEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startS3(t))
	first := w.publish(t, "beach.jpeg", photo(t, 300, 200))
	second := w.publish(t, "beach.jpeg", photo(t, 400, 300))
	if first.ID != second.ID {
		t.Fatal("the second is no version of the first")
	}
	deleted := w.publish(t, "gone.jpeg", photo(t, 30, 20))
	if _, err := w.store.DeleteObject(t.Context(), alpha, deleted.ID, 0, "zoe"); err != nil {
		t.Fatal(err)
	}
	purged := deleted
	purged.ID = id()
	if back := w.deliver(t, message(t, first), message(t, deleted), message(t, purged)); back != nil {
		t.Errorf("handed back %v", back)
	}
	if o := w.object(t, first.ID); o.Picture != nil || o.Rev != 2 || len(w.stored(t, first.ID)) != 0 {
		t.Errorf("object is %+v, stored %v", o, w.stored(t, first.ID))
	}
	if keys := w.stored(t, deleted.ID); keys != nil || len(w.dead.letters) != 0 {
		t.Errorf("stored %v, %d dead letters", keys, len(w.dead.letters))
	}
	// An event from a future that the catalog does not know yet waits.
	ahead := second
	ahead.Rev = 9
	if back := w.deliver(t, message(t, ahead)); !slices.Equal(back, []int{0}) {
		t.Errorf("handed back %v", back)
	}
}

func TestNewVersionReplacesDerivatives(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startS3(t))
	first := w.publish(t, "beach.jpeg", photo(t, 300, 200))
	w.deliver(t, message(t, first))
	second := w.publish(t, "beach.jpeg", photo(t, 400, 300))
	w.deliver(t, message(t, second), message(t, first))
	now := w.object(t, first.ID)
	if now.Rev != 4 || now.Picture == nil || now.Picture.Width != 400 {
		t.Errorf("object is %+v with picture %+v", now, now.Picture)
	}
	for _, key := range w.stored(t, first.ID) {
		if !strings.Contains(key, second.Version) {
			t.Errorf("%s was left behind", key)
		}
	}
}

// TestReplacedMeanwhile: a version that is no longer current when its copies are made
// leaves none of them.
func TestReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startS3(t))
	first := w.publish(t, "beach.jpeg", photo(t, 300, 200))
	var second object.Object
	w.flaky.before = map[string]func(){"RecordPicture": sync.OnceFunc(func() { second = w.publish(t, "beach.jpeg", photo(t, 400, 300)) })}
	if back := w.deliver(t, message(t, first)); back != nil {
		t.Errorf("handed back %v", back)
	}
	if keys := w.stored(t, first.ID); keys != nil {
		t.Errorf("stored %v", keys)
	}
	w.deliver(t, message(t, second))
	if now := w.object(t, first.ID); now.Picture == nil || now.Picture.Width != 400 || now.Rev != 3 {
		t.Errorf("object is %+v", now)
	}
}

// TestTwins: two deliveries at once make one change.
func TestTwins(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startS3(t))
	o := w.publish(t, "beach.jpeg", photo(t, 900, 600))
	var all sync.WaitGroup
	for range 6 {
		all.Go(func() {
			if back := w.deliver(t, message(t, o)); back != nil {
				t.Errorf("handed back %v", back)
			}
		})
	}
	all.Wait()
	now := w.object(t, o.ID)
	if now.Rev != 2 || now.Picture == nil || len(w.stored(t, o.ID)) != 2 {
		t.Errorf("object is %+v, stored %v", now, w.stored(t, o.ID))
	}
	for _, name := range now.Picture.Derivatives {
		d, err := w.store.Derivative(t.Context(), alpha, o.ID, name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.objects.HeadObject(t.Context(), &s3.HeadObjectInput{Bucket: aws.String(bucket), Key: &d.S3Key, VersionId: &d.S3VersionID}); err != nil {
			t.Errorf("the catalog names a version of %s that is not there: %v", d.S3Key, err)
		}
	}
}

// TestAnyCallFails: whichever call fails, before or after its effect, the message comes
// back and the next delivery finishes what is left, once.
func TestAnyCallFails(t *testing.T) {
	t.Parallel()
	objects := startS3(t)
	for _, after := range []bool{false, true} {
		made := 0
		for n := 1; n == 1 || made == n-1; n++ {
			t.Run(fmt.Sprintf("%d/%t", n, after), func(t *testing.T) {
				if anyCallFails(t, objects, n, after) {
					made = n
				}
			})
		}
		if made < 5 {
			t.Errorf("only %d calls were made", made)
		}
	}
}

// anyCallFails lets the n-th call fail, and reports whether there is one.
func anyCallFails(t *testing.T, objects *s3.Client, n int, after bool) bool {
	t.Helper()
	w := newWorld(t, objects)
	o := w.publish(t, "beach.jpeg", photo(t, 300, 200))
	w.flaky.reset(n, after)
	back := w.deliver(t, message(t, o))
	if w.flaky.calls < n {
		return false
	}
	if !slices.Equal(back, []int{0}) {
		t.Errorf("handed back %v", back)
	}
	w.flaky.reset(0, false)
	if back := w.deliver(t, message(t, o)); back != nil {
		t.Errorf("handed back %v again", back)
	}
	now := w.object(t, o.ID)
	if now.Rev != 2 || now.Picture == nil || len(w.stored(t, o.ID)) != 2 || len(w.dead.letters) != 0 {
		t.Errorf("object is %+v, stored %v, %d dead letters", now, w.stored(t, o.ID), len(w.dead.letters))
	}
	return true
}

// TestBadPictures: what cannot be copied is recorded with why, and holds up nothing else.
func TestBadPictures(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startS3(t))
	good := photo(t, 300, 200)
	huge := bytes.Clone(good)
	at := bytes.Index(huge, []byte{0xff, 0xc0}) + 5
	binary.BigEndian.PutUint16(huge[at:], 50_000)
	binary.BigEndian.PutUint16(huge[at+2:], 50_000)
	bad := map[string]struct {
		data []byte
		code fault.Code
	}{
		"cut.jpeg":  {good[:len(good)/2], fault.InvalidArgument},
		"huge.jpeg": {huge, fault.TooLarge},
		"html.jpeg": {[]byte("\x00<html>"), fault.UnsupportedType},
		"none.jpeg": {nil, fault.UnsupportedType},
	}
	var bodies []string
	ids := map[string]string{}
	for path, b := range bad {
		o := w.publish(t, path, b.data)
		ids[path] = o.ID
		bodies = append(bodies, message(t, o), message(t, w.publish(t, "beside-"+path, good)))
	}
	if back := w.deliver(t, bodies...); back != nil {
		t.Errorf("handed back %v", back)
	}
	for path, b := range bad {
		o := w.object(t, ids[path])
		if o.State != object.Available || o.Picture == nil || o.Picture.Reason == nil || o.Picture.Reason.Code != b.code || o.Picture.Derivatives != nil {
			t.Errorf("%s: object is %+v, picture %+v", path, o, o.Picture)
			continue
		}
		if strings.Contains(o.Picture.Reason.Detail, "panicked") || o.Picture.Reason.Detail == "" {
			t.Errorf("%s: %q", path, o.Picture.Reason.Detail)
		}
		if path == "huge.jpeg" && o.Picture.Width != 50_000 {
			t.Errorf("%s: %d pixels wide", path, o.Picture.Width)
		}
		if keys := w.stored(t, o.ID); keys != nil {
			t.Errorf("%s: stored %v", path, keys)
		}
	}
	if len(w.dead.letters) != 0 {
		t.Errorf("%d dead letters", len(w.dead.letters))
	}
}

// TestTooManyBytes: what is too large to be read is not read.
func TestTooManyBytes(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startS3(t))
	o := w.publish(t, "beach.jpeg", photo(t, 30, 20))
	w.flaky.before = map[string]func(){"Read": func() { t.Error("it was read") }}
	big := bigger{w.flaky}
	p := w.handler.Parts
	p.Catalog = big
	w.handler = derivatives.New(p)
	w.deliver(t, message(t, o))
	if now := w.object(t, o.ID); now.Picture == nil || now.Picture.Reason == nil || now.Picture.Reason.Code != fault.TooLarge {
		t.Errorf("picture is %+v", now.Picture)
	}
}

// bigger says of every object that it has a byte too many.
type bigger struct{ derivatives.Catalog }

func (b bigger) Object(ctx context.Context, ws, id string) (object.Object, error) {
	o, err := b.Catalog.Object(ctx, ws, id)
	o.Size = limits.PictureBytes + 1
	return o, err
}

func TestPoison(t *testing.T) {
	t.Parallel()
	w := newWorld(t, startS3(t))
	good := w.publish(t, "beach.jpeg", photo(t, 300, 200))
	lost := w.publish(t, "lost.jpeg", photo(t, 300, 200))
	if _, err := w.objects.DeleteObject(t.Context(), &s3.DeleteObjectInput{Bucket: aws.String(bucket), Key: &lost.S3Key, VersionId: &lost.S3VersionID}); err != nil {
		t.Fatal(err)
	}
	poison := []string{
		"", "not json", "null", "[]", "{}", `{"detail":null}`, `{"detail":{"specversion":"0.3"}}`,
		strings.ReplaceAll(message(t, good), good.ID, "../../etc/passwd"),
		strings.ReplaceAll(message(t, good), good.Version, "x"),
		`{"detail":{"specversion":"1.0","subject":"` + good.ID + `","data":{"version":"` + good.Version + `"}}}`, // of no workspace
		message(t, lost), // the catalog says that its bytes are there
	}
	back := w.deliver(t, append(poison, message(t, good))...)
	if back != nil {
		t.Errorf("handed back %v", back)
	}
	if len(w.dead.letters) != len(poison) {
		t.Errorf("%d dead letters of %d", len(w.dead.letters), len(poison))
	}
	for _, l := range w.dead.letters {
		if len(l.Payload) == 0 || l.Err == nil {
			t.Errorf("dead letter %+v", l)
		}
	}
	if now := w.object(t, good.ID); now.Picture == nil {
		t.Error("the good one among them was not copied")
	}
}

func TestSizesFall(t *testing.T) {
	t.Parallel()
	sizes := derivatives.Sizes()
	if !slices.IsSortedFunc(sizes, func(a, b int) int { return b - a }) {
		t.Errorf("%v: each copy is made of the one before", sizes)
	}
	if fmt.Sprint(sizes) != "[1024 256]" {
		t.Errorf("%v: the API offers 256 and 1024", sizes)
	}
}
