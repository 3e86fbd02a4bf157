package ddbstore_test

import (
	"slices"
	"testing"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

func TestListObjectsInPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	beta := b.workspace("beta", roomy())
	var want []string
	for i := range 7 {
		b.publish(b.open(w, b.upload("alpha", path(i), 1)))
		want = append(want, path(i))
	}
	b.publish(b.open(w, b.upload("alpha", "top", 1)))
	b.publish(b.open(w, b.upload("alpha", "folder/sub/deep", 1)))
	b.publish(b.open(beta, b.upload("beta", path(3), 1)))

	for _, limit := range []int{1, 2, 3, 6, 7, 8, 0, 5000} {
		got, pages := pagesOf(t, b, "alpha", "folder", limit)
		if !slices.Equal(got, want) {
			t.Errorf("in pages of %d: %v, want %v", limit, got, want)
		}
		if size := limit; size > 0 && pages != (len(want)+size-1)/size {
			t.Errorf("%d objects in pages of %d took %d pages", len(want), limit, pages)
		}
	}
	if got, _ := pagesOf(t, b, "alpha", "", 10); !slices.Equal(got, []string{"top"}) {
		t.Errorf("the root holds %v", got)
	}
	if got, _ := pagesOf(t, b, "alpha", "nowhere", 10); len(got) != 0 {
		t.Errorf("an empty folder holds %v", got)
	}
}

func pagesOf(t *testing.T, b *bench, ws, parent string, limit int) (paths []string, pages int) {
	t.Helper()
	for page := (catalog.Page{Limit: limit}); ; {
		objects, next, err := b.ListObjects(t.Context(), ws, parent, page)
		if err != nil {
			t.Fatal(err)
		}
		pages++
		for _, o := range objects {
			if o.Workspace != ws {
				t.Fatalf("%s was shown %s of %s", ws, o.Path, o.Workspace)
			}
			paths = append(paths, o.Path)
		}
		if page.After = next; next == "" {
			return paths, pages
		}
	}
}

// TestAPageEndOpensNoOtherWorkspace carries page ends from one workspace into
// another one.
func TestAPageEndOpensNoOtherWorkspace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	alpha, beta := b.workspace("alpha", roomy()), b.workspace("beta", roomy())
	for i := range 3 {
		b.publish(b.open(alpha, b.upload("alpha", path(i), 1)))
		b.publish(b.open(beta, b.upload("beta", path(i), 1)))
	}
	_, next, err := b.ListObjects(t.Context(), "alpha", "folder", catalog.Page{Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	objects, _, err := b.ListObjects(t.Context(), "beta", "folder", catalog.Page{After: next})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range objects {
		if o.Workspace != "beta" {
			t.Errorf("beta was shown %s of %s", o.Path, o.Workspace)
		}
	}
}

func TestListByState(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	var want []string
	for i := range 4 {
		o := b.publish(b.open(w, b.upload("alpha", path(i), 1)))
		if i == 2 {
			continue
		}
		if _, err := b.DeleteObject(t.Context(), "alpha", o.ID, 0, "owner"); err != nil {
			t.Fatal(err)
		}
		want = append([]string{o.Path}, want...) // the latest first
	}
	rejected := b.open(w, b.upload("alpha", "bad", 1))
	if _, err := b.RejectUpload(t.Context(), rejected, facts(rejected), object.Reason{Code: fault.SizeMismatch}); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 2, 3, 4} {
		var got []string
		for page := (catalog.Page{Limit: limit}); ; {
			objects, next, err := b.ListByState(t.Context(), "alpha", object.Deleted, page)
			if err != nil {
				t.Fatal(err)
			}
			for _, o := range objects {
				got = append(got, o.Path)
			}
			if page.After = next; next == "" {
				break
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("deleted, in pages of %d: %v, want %v", limit, got, want)
		}
	}
	if got, _ := pagesOf(t, b, "alpha", "folder", 10); !slices.Equal(got, []string{path(2)}) {
		t.Errorf("the folder still shows %v", got)
	}
	objects, _, err := b.ListByState(t.Context(), "alpha", object.Rejected, catalog.Page{})
	if err != nil || len(objects) != 1 || objects[0].Path != "bad" {
		t.Errorf("rejected are %v, %v", objects, err)
	}
	_, _, err = b.ListByState(t.Context(), "alpha", object.Available, catalog.Page{})
	wantCode(t, err, fault.InvalidArgument)
}

func TestMalformedPageEnd(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	b.workspace("alpha", roomy())
	for _, after := range []string{" ", "x", newID(), newID() + " ", "O#beta#1 name", string(make([]byte, 2000))} {
		_, _, err := b.ListObjects(t.Context(), "alpha", "", catalog.Page{After: after})
		if !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("folder page after %q: %v", after, err)
		}
		_, _, err = b.ListByState(t.Context(), "alpha", object.Deleted, catalog.Page{After: after})
		if !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("state page after %q: %v", after, err)
		}
	}
	_, _, err := b.ListByState(t.Context(), "alpha", object.Deleted, catalog.Page{After: newID() + " yesterday"})
	wantCode(t, err, fault.InvalidArgument)
}
