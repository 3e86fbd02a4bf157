package ddbstore_test

import (
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func asFault(err error, f **fault.Error) bool { return errors.As(err, f) }

func TestPublishOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.upload("alpha", "docs/a.txt", 10)
	u.Tags = map[string]string{"k": "v"}
	u = b.open(w, u)

	first := b.publish(u)
	for range 2 { // the same event again, and what was read before it
		again := b.publish(u)
		if diff := cmp.Diff(first, again); diff != "" {
			t.Errorf("published again as:\n%s", diff)
		}
	}
	read, err := b.Object(t.Context(), "alpha", u.ObjectID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(first, read); diff != "" {
		t.Errorf("published and read differ:\n%s", diff)
	}
	if read.Rev != 1 || read.Parent != "docs" || read.Name != "a.txt" || read.State != object.Available || read.Tags["k"] != "v" {
		t.Errorf("published %+v", read)
	}
	if owner, err := b.PathOwner(t.Context(), "alpha", "docs/a.txt"); err != nil || owner != read.ID {
		t.Errorf("path is owned by %q, %v", owner, err)
	}
	ended, err := b.Upload(t.Context(), "alpha", u.ID)
	if err != nil || ended.State != upload.Available || len(ended.Reservation) != 0 || ended.S3VersionID != "s3-"+u.ID {
		t.Errorf("upload is %+v, %v", ended, err)
	}
	b.wantUsage("alpha", amount(0, 0, 0), amount(10, 1, 0))

	_, err = b.EndUpload(t.Context(), "alpha", u.ID, upload.Abort, upload.Client)
	wantCode(t, err, fault.UploadEnded)
	_, err = b.RejectUpload(t.Context(), u, facts(u), object.Reason{Code: fault.PathTaken})
	wantCode(t, err, fault.Conflict)
	second := facts(u)
	second.S3VersionID = "another"
	_, err = b.Publish(t.Context(), u, second)
	wantCode(t, err, fault.UploadEnded)
	b.wantUsage("alpha", amount(0, 0, 0), amount(10, 1, 0))
}

func TestSmallerObjectGivesTheRestBack(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.open(w, b.upload("alpha", "p", 900)) // over several shards
	f := facts(u)
	f.Size = 901
	_, err := b.Publish(t.Context(), u, f)
	wantCode(t, err, fault.SizeMismatch)
	f.Size = 300
	if _, err := b.Publish(t.Context(), u, f); err != nil {
		t.Fatal(err)
	}
	b.wantUsage("alpha", amount(0, 0, 0), amount(300, 1, 0))
}

func TestTakenPath(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	first, second := b.open(w, b.upload("alpha", "p", 1)), b.open(w, b.upload("alpha", "p", 2))
	b.publish(first)
	_, err := b.Publish(t.Context(), second, facts(second))
	wantCode(t, err, fault.PathTaken)
	b.wantUsage("alpha", amount(2, 1, 1), amount(1, 1, 0))

	if _, err := b.RejectUpload(t.Context(), second, facts(second), object.Reason{Code: fault.PathTaken}); err != nil {
		t.Fatal(err)
	}
	loser, err := b.Object(t.Context(), "alpha", second.ObjectID)
	if err != nil || loser.State != object.Rejected || loser.Reason.Code != fault.PathTaken {
		t.Errorf("loser is %+v, %v", loser, err)
	}
}

func TestVersions(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	versioned := func(size int64) upload.Upload {
		u := b.upload("alpha", "p", size)
		u.IfExists = upload.NewVersion
		return b.open(w, u)
	}
	// Opened in this order, published in another.
	first, second, third := versioned(1), versioned(2), versioned(4)
	owner := b.publish(second)
	if owner.ID != second.ObjectID || owner.Rev != 1 {
		t.Fatalf("first to be published is %+v", owner)
	}
	// An older version changes what the object holds, and so its rev, and nothing else.
	older, want := b.publish(first), owner
	want.Rev, want.Stored = 2, 3
	if diff := cmp.Diff(want, older, cmpopts.IgnoreFields(object.Object{}, "UpdatedAt")); diff != "" {
		t.Errorf("an older version changed the object:\n%s", diff)
	}
	newer := b.publish(third)
	if newer.ID != owner.ID || newer.Version != third.ID || newer.Rev != 3 || newer.Size != 4 || newer.Stored != 7 || newer.S3Key != third.S3Key {
		t.Errorf("after a newer version the object is %+v", newer)
	}
	for _, u := range []upload.Upload{first, second, third} {
		v, err := b.Version(t.Context(), "alpha", owner.ID, u.ID)
		if err != nil || v.S3Key != u.S3Key || v.Size != u.Size {
			t.Errorf("version %s is %+v, %v", u.ID, v, err)
		}
		again := b.publish(u)
		if again.Rev != 3 || again.Stored != 7 {
			t.Errorf("publishing %s again made rev %d", u.ID, again.Rev)
		}
	}
	b.wantUsage("alpha", amount(0, 0, 0), amount(7, 1, 0))
}

func TestRejectedVersionLeavesTheObject(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	o := b.publish(b.open(w, b.upload("alpha", "p", 1)))
	u := b.upload("alpha", "p", 2)
	u.ObjectID, u.IfExists = o.ID, upload.NewVersion
	u = b.open(w, u)
	if _, err := b.RejectUpload(t.Context(), u, facts(u), object.Reason{Code: fault.UnsupportedType}); err != nil {
		t.Fatal(err)
	}
	now, err := b.Object(t.Context(), "alpha", o.ID)
	if diff := cmp.Diff(o, now); err != nil || diff != "" {
		t.Errorf("the object changed: %v\n%s", err, diff)
	}
	if v, err := b.Version(t.Context(), "alpha", o.ID, u.ID); err != nil || v.State != object.Rejected {
		t.Errorf("rejected version is %+v, %v", v, err)
	}
}

func TestVersionOfADeletedObjectIsANewObject(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	o := b.publish(b.open(w, b.upload("alpha", "p", 1)))
	u := b.upload("alpha", "p", 2)
	u.ObjectID, u.IfExists = o.ID, upload.NewVersion
	u = b.open(w, u)
	if _, err := b.DeleteObject(t.Context(), "alpha", o.ID, 0, "owner"); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		fresh := b.publish(u)
		if fresh.ID != u.ID || fresh.Rev != 1 || fresh.State != object.Available || fresh.S3Key != u.S3Key {
			t.Errorf("published as %+v", fresh)
		}
	}
	b.wantUsage("alpha", amount(0, 0, 0), amount(3, 2, 0)) // a deleted object holds its quota
}

func TestDeleteFreesThePath(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	o := b.publish(b.open(w, b.upload("alpha", "p", 1)))
	_, err := b.DeleteObject(t.Context(), "alpha", o.ID, 2, "somebody")
	wantCode(t, err, fault.PreconditionFailed)
	deleted, err := b.DeleteObject(t.Context(), "alpha", o.ID, 1, "somebody")
	if err != nil || deleted.State != object.Deleted || deleted.Rev != 2 || deleted.UpdatedBy != "somebody" || deleted.DeletedAt.IsZero() {
		t.Errorf("deleted is %+v, %v", deleted, err)
	}
	again, err := b.DeleteObject(t.Context(), "alpha", o.ID, 1, "somebody else")
	if diff := cmp.Diff(deleted, again); err != nil || diff != "" {
		t.Errorf("deleting again: %v\n%s", err, diff)
	}
	_, err = b.PathOwner(t.Context(), "alpha", "p")
	wantCode(t, err, fault.NotFound)
	b.publish(b.open(w, b.upload("alpha", "p", 1)))
	_, err = b.DeleteObject(t.Context(), "alpha", newID(), 0, "somebody")
	wantCode(t, err, fault.NotFound)
}

// TestRacingForOnePath lets uploads, and duplicates of each, race for a path.
func TestRacingForOnePath(t *testing.T) {
	t.Parallel()
	for _, ifExists := range []upload.IfExists{upload.Fail, upload.NewVersion} {
		t.Run(string(ifExists), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			w := b.workspace("alpha", roomy())
			const uploads, duplicates = 6, 3
			opened := make([]upload.Upload, uploads)
			for i := range opened {
				u := b.upload("alpha", "p", 10)
				u.IfExists = ifExists
				opened[i] = b.open(w, u)
			}
			outcome := make([][]object.Object, uploads)
			var mu sync.Mutex
			var wg sync.WaitGroup
			for i, u := range opened {
				for range duplicates {
					wg.Go(func() {
						o, err := ingest(t, b, u)
						if err != nil {
							t.Errorf("ingest %s: %v", u.ID, err)
						}
						mu.Lock()
						defer mu.Unlock()
						outcome[i] = append(outcome[i], o)
					})
				}
			}
			wg.Wait()
			checkRace(t, b, ifExists, opened, outcome)
		})
	}
}

// ingest does with the catalog what the ingest function does.
func ingest(t *testing.T, b *bench, u upload.Upload) (object.Object, error) {
	t.Helper()
	o, err := b.Publish(t.Context(), u, facts(u))
	if fault.Is(err, fault.UploadEnded) {
		return object.Object{}, b.ReleaseUpload(t.Context(), u.Workspace, u.ID)
	}
	if !fault.Is(err, fault.PathTaken) {
		return o, err
	}
	if _, err := b.RejectUpload(t.Context(), u, facts(u), object.Reason{Code: fault.PathTaken}); err != nil {
		return object.Object{}, err
	}
	return object.Object{}, b.ReleaseUpload(t.Context(), u.Workspace, u.ID)
}

func checkRace(t *testing.T, b *bench, ifExists upload.IfExists, opened []upload.Upload, outcome [][]object.Object) {
	t.Helper()
	owner, err := b.PathOwner(t.Context(), "alpha", "p")
	if err != nil {
		t.Fatal(err)
	}
	o, err := b.Object(t.Context(), "alpha", owner)
	if err != nil {
		t.Fatal(err)
	}
	winners := 0
	for i, answers := range outcome {
		won := answers[0].ID != ""
		if won {
			winners++
		}
		for _, a := range answers {
			if (a.ID != "") != won || won && a.ID != owner {
				t.Errorf("upload %d: duplicates were told %q and %q", i, answers[0].ID, a.ID)
			}
		}
	}
	if ifExists == upload.Fail {
		if winners != 1 || o.Rev != 1 {
			t.Errorf("%d uploads own the path, rev %d", winners, o.Rev)
		}
		b.wantUsage("alpha", amount(0, 0, 0), amount(10, 1, 0))
		return
	}
	last := opened[len(opened)-1]
	if winners != len(opened) || o.Version != last.ID || o.S3Key != last.S3Key {
		t.Errorf("%d versions, the current one is %s, want %s", winners, o.Version, last.ID)
	}
	b.wantUsage("alpha", amount(0, 0, 0), workspace.Amount{Bytes: int64(10 * len(opened)), Objects: 1})
}
