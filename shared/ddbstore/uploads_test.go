package ddbstore_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

func TestOpenedUploadReadsBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.upload("alpha", "a/b.txt", 10)
	u.Tags, u.Metadata = map[string]string{"k": "v"}, map[string]string{"m": "n"}
	opened := b.open(w, u)

	found, err := b.Upload(t.Context(), "alpha", u.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(opened, found); diff != "" {
		t.Errorf("opened and read differ:\n%s", diff)
	}
	if found.State != upload.Open || found.Rev != 1 || found.S3Key != "c/alpha/"+u.ObjectID+"/"+u.ID {
		t.Errorf("opened as %s, rev %d, key %s", found.State, found.Rev, found.S3Key)
	}
	b.wantUsage("alpha", amount(10, 1, 1), amount(0, 0, 0))
}

func TestOpeningTwiceReservesOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.upload("alpha", "a", 10)
	first, second := b.open(w, u), b.open(w, u)
	if diff := cmp.Diff(first, second); diff != "" {
		t.Errorf("second answer differs:\n%s", diff)
	}
	other := u
	other.Path = "b"
	_, err := b.OpenUpload(t.Context(), w, other)
	wantCode(t, err, fault.Conflict)
	b.wantUsage("alpha", amount(10, 1, 1), amount(0, 0, 0))
}

func TestQuotaBoundaries(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy()) // 1000 bytes, over 4 shards
	for _, tc := range []struct {
		name string
		size int64
		code fault.Code
	}{
		{"negative", -1, fault.InvalidArgument},
		{"beyond the largest object", 1001, fault.TooLarge},
		{"all of the quota, over every shard", 1000, ""},
		{"one byte more", 1, fault.QuotaExceeded},
		{"nothing", 0, ""},
	} {
		_, err := b.OpenUpload(t.Context(), w, b.upload("alpha", "p", tc.size))
		if fault.CodeOf(err) != tc.code {
			t.Errorf("%s: %v, want code %q", tc.name, err, tc.code)
		}
	}
	b.wantUsage("alpha", amount(1000, 2, 2), amount(0, 0, 0))
}

func TestQuotaErrorCarriesTheNumbers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	q := roomy()
	q.OpenUploads = 1
	w := b.workspace("alpha", q)
	b.open(w, b.upload("alpha", "p", 1))
	_, err := b.OpenUpload(t.Context(), w, b.upload("alpha", "q", 1))
	var f *fault.Error
	if !asFault(err, &f) || f.Code != fault.QuotaExceeded {
		t.Fatalf("error is %v", err)
	}
	want := map[string]any{"openUploadsWanted": int64(1), "openUploadsAvailable": int64(0), "openUploadsLimit": int64(1)}
	if diff := cmp.Diff(want, f.Details); diff != "" {
		t.Errorf("details:\n%s", diff)
	}
}

func TestUploadOfNoWorkspace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	w.ID = "ghost"
	_, err := b.OpenUpload(t.Context(), w, b.upload("ghost", "p", 1))
	wantCode(t, err, fault.NotFound)
}

// TestEndingKeepsTheReservationUntilReleased: bytes may still be on their way when an
// upload ends.
func TestEndingKeepsTheReservationUntilReleased(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.open(w, b.upload("alpha", "p", 1000)) // over all shards
	for range 3 {
		ended, err := b.EndUpload(t.Context(), "alpha", u.ID, upload.Abort, upload.Client)
		if err != nil {
			t.Fatal(err)
		}
		if ended.State != upload.Aborted || ended.Rev != 2 || len(ended.Reservation) == 0 {
			t.Errorf("ended as %s, rev %d, holding %v", ended.State, ended.Rev, ended.Reservation)
		}
	}
	b.wantUsage("alpha", amount(1000, 1, 1), amount(0, 0, 0))
	_, err := b.EndUpload(t.Context(), "alpha", u.ID, upload.Expire, upload.Sweeper)
	wantCode(t, err, fault.UploadEnded)
	_, err = b.Publish(t.Context(), u, facts(u))
	wantCode(t, err, fault.UploadEnded)
	_, err = b.RejectUpload(t.Context(), u, facts(u), object.Reason{Code: fault.SizeMismatch})
	wantCode(t, err, fault.UploadEnded)
	for range 2 {
		if err := b.ReleaseUpload(t.Context(), "alpha", u.ID); err != nil {
			t.Error(err)
		}
		b.wantUsage("alpha", amount(0, 0, 0), amount(0, 0, 0))
	}
	if ended, err := b.EndUpload(t.Context(), "alpha", u.ID, upload.Abort, upload.Client); err != nil || ended.State != upload.Aborted {
		t.Errorf("ended again as %+v, %v", ended, err)
	}
}

func TestEndUploadRefusesOtherEvents(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.open(w, b.upload("alpha", "p", 1))
	if _, err := b.EndUpload(t.Context(), "alpha", u.ID, upload.Publish, upload.Ingest); err == nil {
		t.Error("an upload was ended by publish")
	}
	_, err := b.EndUpload(t.Context(), "alpha", u.ID, upload.Expire, upload.Client)
	wantCode(t, err, fault.Forbidden)
	b.wantUsage("alpha", amount(1, 1, 1), amount(0, 0, 0))
}

func TestRejectionHoldsTheQuotaUntilReleased(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.open(w, b.upload("alpha", "a/p", 10))
	wantCode(t, b.ReleaseUpload(t.Context(), "alpha", u.ID), fault.Conflict)

	reason := object.Reason{Code: fault.ChecksumMismatch, Detail: "the SHA-256 differs"}
	for range 2 {
		rejected, err := b.RejectUpload(t.Context(), u, facts(u), reason)
		if err != nil {
			t.Fatal(err)
		}
		if rejected.State != upload.Rejected || len(rejected.Reservation) == 0 {
			t.Errorf("rejected as %s, holding %v", rejected.State, rejected.Reservation)
		}
	}
	b.wantUsage("alpha", amount(10, 1, 1), amount(0, 0, 0))
	for range 2 {
		if err := b.ReleaseUpload(t.Context(), "alpha", u.ID); err != nil {
			t.Fatal(err)
		}
	}
	b.wantUsage("alpha", amount(0, 0, 0), amount(0, 0, 0))

	o, err := b.Object(t.Context(), "alpha", u.ObjectID)
	if err != nil {
		t.Fatal(err)
	}
	if o.State != object.Rejected || *o.Reason != reason || o.Rev != 1 {
		t.Errorf("rejected object is %+v", o)
	}
	_, err = b.PathOwner(t.Context(), "alpha", "a/p")
	wantCode(t, err, fault.NotFound)
	v, err := b.Version(t.Context(), "alpha", u.ObjectID, u.ID)
	if err != nil || v.State != object.Rejected || *v.Reason != reason {
		t.Errorf("rejected version is %+v, %v", v, err)
	}
	_, err = b.DeleteObject(t.Context(), "alpha", u.ObjectID, 0, "owner")
	wantCode(t, err, fault.Conflict)
}

func TestReleaseOfAnExpiredRecord(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.workspace("alpha", roomy())
	if err := b.ReleaseUpload(t.Context(), "alpha", newID()); err != nil {
		t.Error(err)
	}
}
