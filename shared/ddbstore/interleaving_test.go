package ddbstore_test

import (
	"bytes"
	"sync"
	"testing"

	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// justBefore does something else just before the first call of an operation
// whose body holds a text.
func justBefore(operation, text string, do func()) *ddbtest.Transport {
	var once sync.Once
	return &ddbtest.Transport{Intercept: func(op string, body []byte) *ddbtest.Answer {
		if op == operation && bytes.Contains(body, []byte(text)) {
			once.Do(do)
		}
		return nil
	}}
}

// TestTwinPublishesBetweenTwoReads lets a duplicate of the same event publish
// between the moment at which the other one has read the upload, still open, and
// the moment at which it reads who owns the path: its own object.
func TestTwinPublishesBetweenTwoReads(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.open(w, b.upload("alpha", "p", 10))

	transport := justBefore("GetItem", `"PATH"`, func() { b.publish(u) })
	readTwin := transport.Intercept
	contended := sometimes(1, "TransactWriteItems", canceled("TransactionConflict")).Intercept
	transport.Intercept = func(op string, body []byte) *ddbtest.Answer {
		if a := contended(op, body); a != nil {
			return a
		}
		return readTwin(op, body)
	}
	o, err := b.over(transport).Publish(t.Context(), u, facts(u))
	if err != nil || o.ID != u.ObjectID || o.Rev != 1 {
		t.Errorf("the second of two twins got %+v, %v", o, err)
	}
	b.wantUsage("alpha", amount(0, 0, 0), amount(10, 1, 0))
}

// TestNewerVersionOvertakes lets a newer version be published after another one
// has read the object and before it writes it.
func TestNewerVersionOvertakes(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	var u [3]upload.Upload
	for i := range u {
		u[i] = b.upload("alpha", "p", 10)
		u[i].IfExists = upload.NewVersion
		u[i] = b.open(w, u[i])
	}
	b.publish(u[0])
	s := b.over(justBefore("TransactWriteItems", "", func() { b.publish(u[2]) }))
	o, err := s.Publish(t.Context(), u[1], facts(u[1]))
	if err != nil || o.Version != u[2].ID || o.Rev != 3 || o.Stored != 30 {
		t.Errorf("the object is %+v, %v", o, err)
	}
	now, err := b.Object(t.Context(), "alpha", o.ID)
	if err != nil || now.Version != u[2].ID || now.Rev != 3 || now.Stored != 30 {
		t.Errorf("the object reads as %+v, %v", now, err)
	}
	b.wantUsage("alpha", amount(0, 0, 0), amount(30, 1, 0))
}

// TestDeletedUnderAVersion lets an object be deleted after a version of it, old
// or new, has read it and before that version is written: the path is free
// then, and gets a new object.
func TestDeletedUnderAVersion(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]int{"newer": 0, "older": 1} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			w := b.workspace("alpha", roomy())
			var u [2]upload.Upload
			for i := range u {
				u[i] = b.upload("alpha", "p", 10)
				u[i].IfExists = upload.NewVersion
				u[i] = b.open(w, u[i])
			}
			old, second := b.publish(u[first]), u[1-first]
			s := b.over(justBefore("TransactWriteItems", "", func() {
				if _, err := b.DeleteObject(t.Context(), "alpha", old.ID, 0, "somebody"); err != nil {
					t.Error(err)
				}
			}))
			o, err := s.Publish(t.Context(), second, facts(second))
			if err != nil || o.ID == old.ID || o.State != object.Available || o.Rev != 1 {
				t.Errorf("published as %+v, %v", o, err)
			}
			if owner, err := b.PathOwner(t.Context(), "alpha", "p"); err != nil || owner != o.ID {
				t.Errorf("the path belongs to %q, %v", owner, err)
			}
			b.wantUsage("alpha", amount(0, 0, 0), amount(20, 2, 0))
		})
	}
}
