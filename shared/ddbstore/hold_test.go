package ddbstore_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

var infected = object.Reason{Code: fault.MalwareFound, Detail: "Eicar"}

// hold holds an upload that must be accepted.
func (b *bench) hold(u upload.Upload) upload.Upload {
	b.t.Helper()
	held, err := b.Hold(b.t.Context(), u, facts(u))
	if err != nil {
		b.t.Fatalf("hold %s: %v", u.Path, err)
	}
	return held
}

// reject rejects an upload and gives back its quota.
func (b *bench) reject(u upload.Upload) {
	b.t.Helper()
	if _, err := b.RejectUpload(b.t.Context(), u, facts(u), infected); err != nil {
		b.t.Fatalf("reject %s: %v", u.Path, err)
	}
	if err := b.ReleaseUpload(b.t.Context(), u.Workspace, u.ID); err != nil {
		b.t.Fatal(err)
	}
}

// wantObject checks an object's state, rev, current version and stored bytes.
func (b *bench) wantObject(id string, state object.State, rev int64, version string, stored int64) {
	b.t.Helper()
	o, err := b.Object(b.t.Context(), "alpha", id)
	if err != nil {
		b.t.Fatal(err)
	}
	if o.State != state || o.Rev != rev || o.Version != version || o.Stored != stored {
		b.t.Errorf("object is %s, rev %d, version %s, stores %d: want %s, %d, %s, %d", o.State, o.Rev, o.Version, o.Stored, state, rev, version, stored)
	}
	owner, err := b.PathOwner(b.t.Context(), "alpha", o.Path)
	if err != nil && !fault.Is(err, fault.NotFound) {
		b.t.Fatal(err)
	}
	if (owner == id) != state.OwnsPath() {
		b.t.Errorf("the object is %s and its path belongs to %q", state, owner)
	}
	if (state == object.Deleted) != !o.DeletedAt.IsZero() || (state == object.Rejected) != (o.Reason != nil) {
		b.t.Errorf("object is %s, deleted at %s, for %v", state, o.DeletedAt, o.Reason)
	}
}

func TestHold(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]func(b *bench, u upload.Upload){
		"clean": func(b *bench, u upload.Upload) {
			b.publish(u)
			b.wantObject(u.ObjectID, object.Available, 2, u.ID, 10)
			b.wantUsage("alpha", amount(0, 0, 0), amount(10, 1, 0))
		},
		"infected": func(b *bench, u upload.Upload) {
			b.reject(u)
			b.wantObject(u.ObjectID, object.Rejected, 2, u.ID, 0)
			b.wantUsage("alpha", amount(0, 0, 0), amount(0, 0, 0))
		},
		"deleted, then clean": func(b *bench, u upload.Upload) {
			b.delete(u.ObjectID)
			b.publish(u)
			b.wantObject(u.ObjectID, object.Deleted, 3, u.ID, 10)
			b.wantUsage("alpha", amount(0, 0, 0), amount(10, 1, 0))
			b.undelete(u.ObjectID)
			b.wantObject(u.ObjectID, object.Available, 4, u.ID, 10)
		},
		"deleted, then infected": func(b *bench, u upload.Upload) {
			b.delete(u.ObjectID)
			b.reject(u)
			b.wantObject(u.ObjectID, object.Rejected, 3, u.ID, 0)
			_, err := b.UndeleteObject(b.t.Context(), "alpha", u.ObjectID, 0, "ann")
			wantCode(b.t, err, fault.Conflict)
			b.wantUsage("alpha", amount(0, 0, 0), amount(0, 0, 0))
		},
		"deleted and brought back, then clean": func(b *bench, u upload.Upload) {
			b.delete(u.ObjectID)
			b.undelete(u.ObjectID)
			b.wantObject(u.ObjectID, object.Quarantined, 3, u.ID, 0)
			b.publish(u)
			b.wantObject(u.ObjectID, object.Available, 4, u.ID, 10)
			b.wantUsage("alpha", amount(0, 0, 0), amount(10, 1, 0))
		},
		"a newer version is clean first": func(b *bench, u upload.Upload) {
			newer := b.version(3)
			b.hold(newer)
			b.wantObject(u.ObjectID, object.Quarantined, 1, u.ID, 0) // and as it was
			b.publish(newer)
			b.wantObject(u.ObjectID, object.Available, 2, newer.ID, 3)
			b.publish(u)
			b.wantObject(u.ObjectID, object.Available, 3, newer.ID, 13)
			b.wantUsage("alpha", amount(0, 0, 0), amount(13, 1, 0))
		},
		"a newer version is clean, the first infected": func(b *bench, u upload.Upload) {
			newer := b.version(3)
			b.publish(newer)
			b.reject(u)
			b.wantObject(u.ObjectID, object.Available, 2, newer.ID, 3)
			b.wantUsage("alpha", amount(0, 0, 0), amount(3, 1, 0))
		},
		"a newer version is infected": func(b *bench, u upload.Upload) {
			newer := b.hold(b.version(3))
			b.reject(newer)
			b.wantObject(u.ObjectID, object.Quarantined, 1, u.ID, 0)
			b.publish(u)
			b.wantObject(u.ObjectID, object.Available, 2, u.ID, 10)
			b.wantUsage("alpha", amount(0, 0, 0), amount(10, 1, 0))
		},
		"taken over and deleted, then clean": func(b *bench, u upload.Upload) {
			newer := b.version(3)
			b.publish(newer)
			b.delete(u.ObjectID)
			b.publish(u)
			b.wantObject(u.ObjectID, object.Deleted, 4, newer.ID, 13)
			b.wantUsage("alpha", amount(0, 0, 0), amount(13, 1, 0))
		},
		"another version of the key": func(b *bench, u upload.Upload) {
			second := facts(u)
			second.S3VersionID = "another"
			_, err := b.Hold(b.t.Context(), u, second)
			wantCode(b.t, err, fault.UploadEnded)
			_, err = b.Publish(b.t.Context(), u, second)
			wantCode(b.t, err, fault.UploadEnded)
			_, err = b.RejectUpload(b.t.Context(), u, second, infected)
			wantCode(b.t, err, fault.UploadEnded)
			b.wantObject(u.ObjectID, object.Quarantined, 1, u.ID, 0)
		},
		"its time is never up": func(b *bench, u upload.Upload) {
			_, err := b.EndUpload(b.t.Context(), "alpha", u.ID, upload.Expire, upload.Sweeper)
			wantCode(b.t, err, fault.Conflict)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			w := b.workspace("alpha", roomy())
			opened := b.open(w, b.upload("alpha", "p", 10))
			u := b.hold(opened)
			for _, read := range []upload.Upload{u, opened} { // the same event again, and what was read before it
				if diff := cmp.Diff(u, b.hold(read)); diff != "" {
					t.Errorf("held again as:\n%s", diff)
				}
			}
			b.wantObject(u.ObjectID, object.Quarantined, 1, u.ID, 0)
			b.wantUsage("alpha", amount(10, 1, 0), amount(0, 0, 0))
			tc(b, u)
		})
	}
}

// version opens a version of what is at "p".
func (b *bench) version(size int64) upload.Upload {
	b.t.Helper()
	w, err := b.Workspace(b.t.Context(), "alpha")
	if err != nil {
		b.t.Fatal(err)
	}
	u := b.upload("alpha", "p", size)
	u.IfExists = upload.NewVersion
	return b.open(w, u)
}

func (b *bench) delete(id string) {
	b.t.Helper()
	if _, err := b.DeleteObject(b.t.Context(), "alpha", id, 0, "ann"); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) undelete(id string) object.Object {
	b.t.Helper()
	o, err := b.UndeleteObject(b.t.Context(), "alpha", id, 0, "ann")
	if err != nil {
		b.t.Fatal(err)
	}
	return o
}

func TestHoldOfATakenPath(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	first, second := b.open(w, b.upload("alpha", "p", 1)), b.open(w, b.upload("alpha", "p", 2))
	b.hold(first)
	_, err := b.Hold(t.Context(), second, facts(second))
	wantCode(t, err, fault.PathTaken)
	b.publish(first)
	_, err = b.Hold(t.Context(), first, facts(first))
	wantCode(t, err, fault.Conflict)
}

func TestNoteUpload(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	u := b.hold(b.open(b.workspace("alpha", roomy()), b.upload("alpha", "p", 1)))
	why := object.Reason{Code: fault.ScanInconclusive, Detail: "too large"}
	for range 2 {
		if err := b.NoteUpload(t.Context(), "alpha", u.ID, why); err != nil {
			t.Fatal(err)
		}
	}
	noted, err := b.Upload(t.Context(), "alpha", u.ID)
	if err != nil || noted.State != upload.Quarantined || *noted.Reason != why || noted.Rev != u.Rev+1 {
		t.Errorf("upload is %+v, %v", noted, err)
	}
	b.publish(u)
	if err := b.NoteUpload(t.Context(), "alpha", u.ID, why); err != nil {
		t.Fatal(err)
	}
	if ended, err := b.Upload(t.Context(), "alpha", u.ID); err != nil || ended.Reason != nil {
		t.Errorf("the upload was published for %v, %v", ended.Reason, err)
	}
}

func TestUndelete(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	o := b.publish(b.open(w, b.upload("alpha", "p", 10)))

	if got := b.undelete(o.ID); got.Rev != o.Rev { // it owns its path
		t.Errorf("undeleting what is not deleted made rev %d", got.Rev)
	}
	b.delete(o.ID)
	_, err := b.UndeleteObject(t.Context(), "alpha", o.ID, 1, "ann")
	wantCode(t, err, fault.PreconditionFailed)
	b.undelete(o.ID)
	again := b.undelete(o.ID)
	b.wantObject(o.ID, object.Available, 3, o.Version, 10)
	if again.Rev != 3 || again.UpdatedBy != "ann" || !again.DeletedAt.Equal(time.Time{}) {
		t.Errorf("undeleted as %+v", again)
	}
	b.wantUsage("alpha", amount(0, 0, 0), amount(10, 1, 0))

	b.delete(o.ID)
	other := b.publish(b.open(w, b.upload("alpha", "p", 1)))
	_, err = b.UndeleteObject(t.Context(), "alpha", o.ID, 4, "ann")
	wantCode(t, err, fault.PathTaken)
	b.delete(other.ID)
	if got, err := b.UndeleteObject(t.Context(), "alpha", o.ID, 4, "ann"); err != nil || got.State != object.Available {
		t.Errorf("undeleted as %+v, %v", got, err)
	}
	_, err = b.UndeleteObject(t.Context(), "alpha", newID(), 0, "ann")
	wantCode(t, err, fault.NotFound)
	_, err = b.UndeleteObject(t.Context(), "beta", o.ID, 0, "ann")
	wantCode(t, err, fault.NotFound)
}

func TestVersionsInPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.workspace("alpha", roomy())
	var want []string
	var id string
	for range 5 {
		o := b.publish(b.version(1))
		id, want = o.ID, append([]string{o.Version}, want...)
		time.Sleep(2 * time.Millisecond) // ULIDs of one millisecond have no order
	}
	var got []string
	for page := (catalog.Page{Limit: 2}); ; {
		versions, next, err := b.Versions(t.Context(), "alpha", id, page)
		if err != nil {
			t.Fatal(err)
		}
		for _, v := range versions {
			got = append(got, v.ID)
		}
		if page.After = next; next == "" {
			break
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("versions (-want +got):\n%s", diff)
	}
	_, _, err := b.Versions(t.Context(), "alpha", id, catalog.Page{After: "nonsense"})
	wantCode(t, err, fault.InvalidArgument)
}
