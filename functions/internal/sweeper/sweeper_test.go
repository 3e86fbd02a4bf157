package sweeper_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/functions/internal/sweeper"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// upload reads an upload.
func (w *world) upload(id string) upload.Upload {
	w.t.Helper()
	u, err := w.store.Upload(context.Background(), alpha, id)
	w.check(err)
	return u
}

// moveTo sets the clock.
func (w *world) moveTo(at time.Time) { w.move(at.Sub(w.now())) }

// publish has the bytes of an upload verified.
func (w *world) publish(u upload.Upload) object.Location {
	w.t.Helper()
	version := w.put(u, content(u))
	if version == "" || !w.deliver(&life{}, w.landed[len(w.landed)-1]) {
		w.t.Fatalf("cannot publish %s", u.ID)
	}
	return object.Location{Key: u.S3Key, VersionID: version}
}

func (w *world) has(at object.Location) bool {
	w.t.Helper()
	_, has := w.stored()[at]
	return has
}

func TestUploadsExpireWhenTheyAreDue(t *testing.T) {
	w := newWorld(t, startS3(t))
	single, multi := w.openSingle("s", 10), w.openMultipart("m", 10, 3)
	w.part(multi)
	w.moveTo(single.ExpiresAt.Add(-time.Minute))
	w.sweep(sweeper.Uploads)
	if u := w.upload(single.ID); u.State != upload.Open {
		t.Errorf("a minute early it is %s", u.State)
	}
	w.moveTo(single.ExpiresAt)
	w.sweep(sweeper.Uploads)
	if u := w.upload(single.ID); u.State != upload.Expired || u.EndedBy != upload.Sweeper || len(u.Reservation) > 0 {
		t.Errorf("expired as %s by %s holding %v", u.State, u.EndedBy, u.Reservation)
	}
	if w.put(single, content(single)) != "" {
		t.Error("a PUT landed after the upload had expired")
	}
	if u := w.upload(multi.ID); u.State != upload.Uploading || len(w.parts()) != 1 {
		t.Errorf("the other is %s, parts of %v", u.State, w.parts())
	}
	w.moveTo(multi.ExpiresAt)
	w.sweep(sweeper.Uploads)
	w.assemble(multi)
	if u := w.upload(multi.ID); u.State != upload.Expired || len(w.parts()) > 0 {
		t.Errorf("the multipart upload is %s, parts of %v", u.State, w.parts())
	}
	if usage, err := w.store.Usage(t.Context(), alpha); err != nil || usage.Reserved != (workspace.Amount{}) {
		t.Errorf("reserved %+v, %v", usage.Reserved, err)
	}
}

// TestArrivedBytesWaitForTheirVerification: ingest may be late by days, and whoever sent
// the bytes has done all there was to do.
func TestArrivedBytesWaitForTheirVerification(t *testing.T) {
	w := newWorld(t, startS3(t))
	u := w.openSingle("a", 10)
	at := object.Location{Key: u.S3Key, VersionID: w.put(u, content(u))}
	landed := w.now()
	w.moveTo(u.ExpiresAt)
	w.sweep(sweeper.Uploads)
	if now := w.upload(u.ID); now.State != upload.Open || !now.ExpiresAt.After(w.now()) || !w.has(at) {
		t.Fatalf("the upload is %s until %s", now.State, now.ExpiresAt)
	}
	w.moveTo(landed.Add(limits.UnverifiedBytes - time.Minute))
	w.sweep(sweeper.Uploads)
	if now := w.upload(u.ID); now.State != upload.Open || !w.has(at) {
		t.Fatalf("a minute early it is %s", now.State)
	}
	late := w.upload(u.ID).ExpiresAt
	if !w.deliver(&life{}, w.landed[0]) || w.upload(u.ID).State != upload.Available {
		t.Errorf("verified at last it is %s", w.upload(u.ID).State)
	}

	gone := w.openSingle("b", 10)
	at = object.Location{Key: gone.S3Key, VersionID: w.put(gone, content(gone))}
	w.moveTo(late.Add(limits.UnverifiedBytes + time.Hour))
	w.sweep(sweeper.Uploads)
	if now := w.upload(gone.ID); now.State != upload.Expired || len(now.Reservation) > 0 || w.has(at) {
		t.Errorf("never verified it is %s holding %v", now.State, now.Reservation)
	}
}

// TestWhatWaitsForAScannerWaits: its verdict may come late, or never, and until then the
// bytes are neither opened nor thrown away.
func TestWhatWaitsForAScannerWaits(t *testing.T) {
	w := newWorld(t, startS3(t))
	u := w.openSingle("a", 10)
	at := object.Location{Key: u.S3Key, VersionID: w.put(u, content(u))}
	_, err := w.store.Hold(t.Context(), u, object.Facts{Size: u.Size, SHA256: u.SHA256, S3VersionID: at.VersionID})
	w.check(err)
	for range 2 {
		w.move(limits.UnverifiedBytes + time.Hour)
		w.skipEmptyHours()
		w.sweep(sweeper.Uploads)
		w.sweep(sweeper.Bytes)
	}
	if now := w.upload(u.ID); now.State != upload.Quarantined || len(now.Reservation) == 0 || !now.ExpiresAt.After(w.now()) || !w.has(at) {
		t.Errorf("upload is %s until %s and holds %v, its bytes are there: %t", now.State, now.ExpiresAt, now.Reservation, w.has(at))
	}
}

// TestUploadsWithoutBytes: somebody has removed from the bucket what the catalog takes for being there.
// Once nobody can bring it any more, the upload ends and its quota is given back.
func TestUploadsWithoutBytes(t *testing.T) {
	w := newWorld(t, startS3(t))
	var uploads []upload.Upload
	for _, state := range []upload.State{upload.Uploading, upload.Completing, upload.Uploaded} {
		u := w.openMultipart(string(state), 10, 3)
		w.part(u)
		var err error
		if state != upload.Uploading {
			u, err = w.store.BeginCompletion(t.Context(), alpha, u.ID, upload.Completion{BegunAt: w.now()})
			w.check(err)
		}
		if state == upload.Uploaded {
			w.assemble(u)
			u, err = w.store.EndCompletion(t.Context(), u, upload.Assemble, upload.Completer, nil)
			w.check(err)
		}
		if u.State != state {
			t.Fatalf("an upload is %s, want %s", u.State, state)
		}
		uploads = append(uploads, u)
	}
	w.emptyBucket()
	w.moveTo(uploads[2].ExpiresAt)
	w.sweep(sweeper.Uploads)
	for _, u := range uploads {
		if now := w.upload(u.ID); now.State != upload.Expired || len(now.Reservation) > 0 {
			t.Errorf("%s without bytes: %s, holds %v", u.State, now.State, now.Reservation)
		}
	}
	if usage, err := w.store.Usage(t.Context(), alpha); err != nil || usage.Reserved != (workspace.Amount{}) {
		t.Errorf("reserved %+v, %v", usage.Reserved, err)
	}
}

// TestWhatAnAbortLeft kills the API's function at every one of its calls.
func TestWhatAnAbortLeft(t *testing.T) {
	s := startS3(t)
	for last := int64(1); last <= 8; last++ {
		for _, after := range []bool{false, true} {
			w := newWorld(t, s)
			u := w.openMultipart("m", 10, 3)
			w.part(u)
			aborted := w.abort(&life{last: last, after: after}, u.ID) == nil
			w.sweep(sweeper.Uploads) // at once: what has ended is due
			ended := w.upload(u.ID)
			if ended.State == upload.Aborted && (len(ended.Reservation) > 0 || len(w.parts()) > 0) {
				t.Errorf("killed at call %d: holds %v, parts of %v", last, ended.Reservation, w.parts())
			}
			if aborted && ended.State != upload.Aborted {
				t.Errorf("killed at call %d: answered, and is %s", last, ended.State)
			}
			w.empty()
		}
	}
}

func TestSealsAreRemovedOnceEveryURLIsDead(t *testing.T) {
	w := newWorld(t, startS3(t))
	u := w.openSingle("a", 10)
	w.check(w.abort(&life{}, u.ID))
	for _, tc := range []struct {
		at     time.Time
		sealed bool
	}{
		{u.ExpiresAt.Add(limits.SealLife - time.Minute), true},
		{u.ExpiresAt.Add(limits.SealLife + 24*time.Hour), false}, // a pass begins once a day
	} {
		w.moveTo(tc.at)
		w.sweep(sweeper.Bytes)
		if sealed := len(w.stored()) > 0; sealed != tc.sealed {
			t.Errorf("at %s sealed is %t", tc.at, sealed)
		}
	}
}

// TestBytesOfObjectsOutliveTheirUploads: the record of an upload expires, and what was
// published stays, under whichever object.
func TestBytesOfObjectsOutliveTheirUploads(t *testing.T) {
	w := newWorld(t, startS3(t))
	first, second, empty := w.openSingle("a", 10), w.openSingle("a", 11), w.openSingle("b", 0)
	kept := []object.Location{w.publish(first), w.publish(second), w.publish(empty)}
	if moved := w.upload(second.ID); moved.ObjectID == second.ObjectID {
		t.Fatal("the second is no version of the first's object")
	}
	for range 4 {
		w.move(limits.UnknownBytes)
		w.expireRecords()
		w.sweep(sweeper.Bytes)
	}
	if _, err := w.store.Upload(t.Context(), alpha, first.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("the first upload's record: %v", err)
	}
	for _, at := range kept {
		if !w.has(at) {
			t.Errorf("%s is gone", at)
		}
	}
}

func TestUnknownBytesAreKeptForALongTime(t *testing.T) {
	w := newWorld(t, startS3(t))
	write := func(key string) object.Location {
		out, err := w.objects.PutObject(t.Context(), &s3.PutObjectInput{Bucket: aws.String(bucket), Key: &key, Body: bytes.NewReader([]byte("?"))})
		w.check(err)
		return object.Location{Key: key, VersionID: aws.ToString(out.VersionId)}
	}
	began := w.now()
	u := w.openSingle("a", 10)
	unknown, foreign := write(object.Key(alpha, newID(), newID())), write(object.KeyPrefix+"not/ours")
	misnamed := write(object.Key(alpha, newID(), u.ID)) // another object's key with a known upload's id
	for _, tc := range []struct {
		at   time.Time
		kept bool
	}{
		{began.Add(2 * time.Hour), true},
		{began.Add(limits.UnknownBytes - time.Minute), true},
		{began.Add(limits.UnknownBytes + 24*time.Hour), false},
	} {
		w.moveTo(tc.at)
		w.sweep(sweeper.Bytes)
		for _, at := range []object.Location{unknown, misnamed} {
			if has := w.has(at); has != tc.kept {
				t.Errorf("at %s: %s is kept: %t", tc.at.Sub(began), at, has)
			}
		}
	}
	if !w.has(foreign) {
		t.Error("a key that is not ours was deleted")
	}
}

func TestPartsThatNobodyWaitsFor(t *testing.T) {
	w := newWorld(t, startS3(t))
	mine, lost := w.openMultipart("m", 10, 3), w.openMultipart("l", 10, 2)
	w.part(mine)
	w.sweep(sweeper.Bytes)
	if n := len(w.parts()); n != 2 {
		t.Errorf("%d left of 2 that are fresh", n)
	}
	w.move(25 * time.Hour)
	w.sweep(sweeper.Bytes)
	if keys := w.parts(); len(keys) != 1 || keys[0] != mine.S3Key {
		t.Errorf("left are parts of %v, want those of %s and not of %s", keys, mine.S3Key, lost.S3Key)
	}
}

// TestSweepsGoOnWhereTheyStopped gives the first invocation a moment only, and each next
// one a little more.
func TestSweepsGoOnWhereTheyStopped(t *testing.T) {
	w := newWorld(t, startS3(t))
	for i := range 60 {
		u := w.openSingle(fmt.Sprint(i), 1)
		if i%2 == 0 {
			w.put(u, content(u))
		}
	}
	w.move(limits.UnverifiedBytes + 24*time.Hour)
	for what, atLeast := range map[string]int{sweeper.Uploads: 60, sweeper.Bytes: 60} {
		looked, runs := 0, 0
		allowed := 4 * time.Millisecond
		for complete := false; !complete; runs++ {
			ctx, cancel := context.WithTimeout(t.Context(), allowed)
			allowed += allowed / 4
			report, err := w.sweeper(&life{}).Handle(ctx, sweeper.Request{Sweep: what})
			cancel()
			if err != nil && ctx.Err() == nil {
				t.Fatal(err)
			}
			looked += report.Looked
			complete = err == nil && report.Complete
		}
		if looked < atLeast || runs < 2 {
			t.Errorf("%s: looked at %d in %d invocations", what, looked, runs)
		}
	}
	usage, err := w.store.Usage(t.Context(), alpha)
	if err != nil || usage.Reserved != (workspace.Amount{}) {
		t.Errorf("reserved %+v, %v", usage.Reserved, err)
	}
}

// broken fails every call about a key.
type broken struct{ key string }

func (b broken) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.Contains(r.URL.String(), b.key) {
		return nil, errDead
	}
	return http.DefaultTransport.RoundTrip(r)
}

// TestWhatFailsIsFoundAgain: one upload cannot be closed for days, the others go on, and
// it is not forgotten.
func TestWhatFailsIsFoundAgain(t *testing.T) {
	s := startS3(t)
	w := newWorld(t, s)
	bad, good := w.openSingle("bad", 10), w.openSingle("good", 10)
	w.moveTo(bad.ExpiresAt.Add(time.Minute))
	for range 3 {
		report, err := w.sweeperOver(broken{bad.ID}).Handle(t.Context(), sweeper.Request{Sweep: sweeper.Uploads})
		if err != nil || !report.Complete {
			t.Fatalf("%+v, %v", report, err)
		}
		if report.Failed != 1 {
			t.Errorf("%d failed", report.Failed)
		}
		w.move(9 * time.Hour)
	}
	if u := w.upload(good.ID); u.State != upload.Expired || len(u.Reservation) > 0 {
		t.Errorf("the good one is %s holding %v", u.State, u.Reservation)
	}
	report, err := w.sweeper(&life{}).Handle(t.Context(), sweeper.Request{Sweep: sweeper.Uploads})
	if u := w.upload(bad.ID); err != nil || !report.Complete || u.State != upload.Expired || len(u.Reservation) > 0 {
		t.Errorf("the bad one is %s holding %v: %+v, %v", u.State, u.Reservation, report, err)
	}
}

// TestALongAbsence lets nobody sweep for a month.
func TestALongAbsence(t *testing.T) {
	w := newWorld(t, startS3(t))
	u := w.openSingle("a", 10)
	w.move(30 * 24 * time.Hour)
	report, err := w.sweeper(&life{}).Handle(t.Context(), sweeper.Request{Sweep: sweeper.Uploads})
	if now := w.upload(u.ID); err != nil || !report.Complete || now.State != upload.Expired || len(now.Reservation) > 0 {
		t.Errorf("it is %s holding %v: %+v, %v", now.State, now.Reservation, report, err)
	}
}

func TestCheckpointsThatNobodyCanRead(t *testing.T) {
	w := newWorld(t, startS3(t))
	hour := w.now().Truncate(time.Hour).Format(time.RFC3339)
	for _, mark := range []string{
		"", "{", `{"since":7}`,
		`{"after":"nonsense","since":"` + hour + `","hour":"` + hour + `"}`,
		`{"after":"nonsense","since":"` + hour + `","began":"` + hour + `"}`,
	} {
		for _, what := range []string{sweeper.Uploads, sweeper.Bytes} {
			w.check(w.store.SaveCheckpoint(t.Context(), upload.Checkpoint{Sweep: what, Mark: mark, SavedAt: w.now()}))
			var report sweeper.Report
			for range 2 { // a place that is none is given up, and the next run begins anew
				report, _ = w.sweeper(&life{}).Handle(t.Context(), sweeper.Request{Sweep: what})
			}
			if !report.Complete {
				t.Errorf("%s with the mark %q: %+v", what, mark, report)
			}
		}
	}
}

func TestUnknownSweep(t *testing.T) {
	w := newWorld(t, startS3(t))
	if _, err := w.sweeper(&life{}).Handle(t.Context(), sweeper.Request{Sweep: "floor"}); err == nil {
		t.Error("swept the floor")
	}
}

func TestParseConfig(t *testing.T) {
	for name, tc := range map[string]struct {
		env  map[string]string
		want string
	}{
		"nothing":              {nil, "STOWAGE_TABLE, STOWAGE_BUCKET"},
		"a bucket of reports":  {map[string]string{"STOWAGE_TABLE": "t", "STOWAGE_BUCKET": "b", "STOWAGE_INVENTORY_BUCKET": "r"}, "STOWAGE_INVENTORY_PREFIX"},
		"without an inventory": {map[string]string{"STOWAGE_TABLE": "t", "STOWAGE_BUCKET": "b"}, ""},
		"with one":             {map[string]string{"STOWAGE_TABLE": "t", "STOWAGE_BUCKET": "b", "STOWAGE_INVENTORY_BUCKET": "r", "STOWAGE_INVENTORY_PREFIX": "p"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			cfg, err := sweeper.ParseConfig(boot.NewSettings(func(name string) (string, bool) { v, ok := tc.env[name]; return v, ok }))
			switch {
			case tc.want == "" && (err != nil || cfg.Table != "t" || cfg.InventoryPrefix != tc.env["STOWAGE_INVENTORY_PREFIX"]):
				t.Errorf("%+v, %v", cfg, err)
			case tc.want != "" && (err == nil || !strings.Contains(err.Error(), tc.want)):
				t.Errorf("error is %v, want one that names %s", err, tc.want)
			}
		})
	}
}
