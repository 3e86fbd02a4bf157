package ddbstore_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

// smallPages has a scan read three items at a time, whatever they are.
type smallPages struct{ next ddbtest.Transport }

func (s *smallPages) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".Scan") {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			return nil, err
		}
		body = append([]byte(`{"Limit":3,`), bytes.TrimPrefix(body, []byte("{"))...)
		r = r.Clone(r.Context())
		r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	}
	return s.next.RoundTrip(r)
}

func TestObjectsGoOnFromEveryPage(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	var want []string
	for i := range 7 {
		want = append(want, b.publish(b.open(w, b.upload("alpha", path(i), 1))).ID)
	}
	slices.Sort(want)
	s := b.over(&smallPages{})
	var first []string
	ends := []string{""}
	before := []int{0} // how many objects come before each end
	for page, err := range s.ObjectsFrom(t.Context(), "") {
		if err != nil {
			t.Fatal(err)
		}
		first = append(first, ids(page.Objects)...)
		if page.End != "" {
			ends, before = append(ends, page.End), append(before, len(first))
		}
	}
	if got := slices.Sorted(slices.Values(first)); !slices.Equal(got, want) || len(ends) < 5 {
		t.Fatalf("%d pages with %v, want %v", len(ends), got, want)
	}
	for i, end := range ends {
		var rest []string
		for page, err := range s.ObjectsFrom(t.Context(), end) {
			if err != nil {
				t.Fatal(err)
			}
			rest = append(rest, ids(page.Objects)...)
		}
		if !slices.Equal(rest, first[before[i]:]) {
			t.Errorf("from end %d on: %v, want %v", i, rest, first[before[i]:])
		}
	}
	for _, end := range []string{"?", "QQ", "Cg"} {
		for _, err := range s.ObjectsFrom(t.Context(), end) {
			if !fault.Is(err, fault.InvalidArgument) {
				t.Errorf("from %q on: %v", end, err)
			}
		}
	}
}

func TestObjectsOfAreThoseThatThereAre(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	var named []object.Object
	var want []string
	for i := range 3 {
		o := b.publish(b.open(w, b.upload("alpha", path(i), 1)))
		named, want = append(named, object.Object{Workspace: "alpha", ID: o.ID}), append(want, o.ID)
	}
	for i := range 250 { // several calls
		named = append(named, object.Object{Workspace: "alpha", ID: fmt.Sprintf("01KB3Z5V0QJ8W4N6T2M9R7X%03d", i)})
	}
	found, err := b.ObjectsOf(t.Context(), named)
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(want)
	if got := slices.Sorted(slices.Values(ids(found))); !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if none, err := b.ObjectsOf(t.Context(), nil); err != nil || len(none) != 0 {
		t.Errorf("of none: %v, %v", none, err)
	}
}

func ids(objects []object.Object) []string {
	all := make([]string, len(objects))
	for i, o := range objects {
		all[i] = o.ID
	}
	return all
}
