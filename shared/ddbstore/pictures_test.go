package ddbstore_test

import (
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// pictured is what was found out about a version, and its two derivatives.
func (b *bench) pictured(o object.Object) (object.Picture, []object.Derivative) {
	p := object.Picture{Width: 4000, Height: 3000, CapturedAt: b.now(), Derivatives: []string{"256", "1024"}}
	var ds []object.Derivative
	for _, name := range p.Derivatives {
		ds = append(ds, object.Derivative{
			Workspace: o.Workspace, ObjectID: o.ID, Name: name, Version: o.Version,
			Size: 9, ContentType: "image/jpeg", Width: 4, Height: 3, CreatedAt: b.now(),
			S3Key: object.DerivativeKey(o.Workspace, o.ID, o.Version, name), S3VersionID: "s3-" + name,
		})
	}
	return p, ds
}

func TestRecordPicture(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.publish(b.open(b.workspace("alpha", roomy()), b.upload("alpha", "a.jpg", 10)))
	p, ds := b.pictured(o)
	_, err := b.Derivative(t.Context(), "alpha", o.ID, "256")
	wantCode(t, err, fault.NotFound)

	for range 2 { // again: no second effect
		if replaced, err := b.RecordPicture(t.Context(), o, p, ds, "derivatives"); err != nil || len(replaced) != 0 {
			t.Fatalf("replaced %v, %v", replaced, err)
		}
	}
	now, err := b.Object(t.Context(), "alpha", o.ID)
	if err != nil || now.Rev != 2 || now.UpdatedBy != "derivatives" {
		t.Errorf("object is %+v, %v", now, err)
	}
	if diff := cmp.Diff(&p, now.Picture); diff != "" {
		t.Errorf("picture of the object:\n%s", diff)
	}
	v, err := b.Version(t.Context(), "alpha", o.ID, o.Version)
	if diff := cmp.Diff(&p, v.Picture); err != nil || diff != "" {
		t.Errorf("picture of the version: %v\n%s", err, diff)
	}
	got, err := b.Derivative(t.Context(), "alpha", o.ID, "256")
	if diff := cmp.Diff(ds[0], got); err != nil || diff != "" {
		t.Errorf("derivative: %v\n%s", err, diff)
	}
}

func TestPictureOfANewerVersion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	first := b.publish(b.open(w, b.upload("alpha", "a.jpg", 10)))
	p, ds := b.pictured(first)
	if _, err := b.RecordPicture(t.Context(), first, p, ds, "derivatives"); err != nil {
		t.Fatal(err)
	}
	next := b.upload("alpha", "a.jpg", 20)
	next.IfExists = upload.NewVersion
	second := b.publish(b.open(w, next))
	if second.Picture != nil || second.Rev != 3 {
		t.Errorf("the new version has the picture of the old one: %+v", second)
	}

	// The old version is no longer current: nothing is written.
	_, err := b.RecordPicture(t.Context(), first, p, ds, "derivatives")
	wantCode(t, err, fault.Conflict)

	p2, ds2 := b.pictured(second)
	replaced, err := b.RecordPicture(t.Context(), second, p2, ds2, "derivatives")
	if diff := cmp.Diff(ds, replaced); err != nil || diff != "" {
		t.Errorf("replaced: %v\n%s", err, diff)
	}
	if d, err := b.Derivative(t.Context(), "alpha", first.ID, "1024"); err != nil || d.Version != second.Version {
		t.Errorf("derivative is of version %s, %v", d.Version, err)
	}
	v, err := b.Version(t.Context(), "alpha", first.ID, first.Version)
	if err != nil || v.Picture == nil {
		t.Errorf("the old version has lost its picture: %+v, %v", v, err)
	}
}

func TestPictureOfADeletedObject(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	o := b.publish(b.open(b.workspace("alpha", roomy()), b.upload("alpha", "a.jpg", 10)))
	if _, err := b.DeleteObject(t.Context(), "alpha", o.ID, 0, "owner"); err != nil {
		t.Fatal(err)
	}
	p, ds := b.pictured(o)
	_, err := b.RecordPicture(t.Context(), o, p, ds, "derivatives")
	wantCode(t, err, fault.Conflict)
	_, err = b.Derivative(t.Context(), "alpha", o.ID, "256")
	wantCode(t, err, fault.NotFound)
	o.ID = newID()
	_, err = b.RecordPicture(t.Context(), o, p, ds, "derivatives")
	wantCode(t, err, fault.NotFound)
}

// TestPictureRacesWithDeletion: whoever comes first, rev tells of each write once.
func TestPictureRacesWithDeletion(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	for i := range 20 {
		o := b.publish(b.open(w, b.upload("alpha", path(i), 1)))
		p, ds := b.pictured(o)
		var recorded, deleted error
		var both sync.WaitGroup
		both.Go(func() { _, recorded = b.RecordPicture(t.Context(), o, p, ds, "derivatives") })
		both.Go(func() {
			time.Sleep(time.Duration(i%4) * time.Millisecond)
			_, deleted = b.DeleteObject(t.Context(), "alpha", o.ID, 0, "owner")
		})
		both.Wait()
		now, err := b.Object(t.Context(), "alpha", o.ID)
		if err != nil || deleted != nil {
			t.Fatal(err, deleted)
		}
		want := int64(3)
		if recorded != nil {
			wantCode(t, recorded, fault.Conflict)
			want = 2
		}
		if now.Rev != want || now.State != object.Deleted || (now.Picture != nil) != (recorded == nil) {
			t.Errorf("recorded %v: object is %+v", recorded, now)
		}
	}
}
