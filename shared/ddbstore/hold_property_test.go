package ddbstore_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// life is a workspace to which anything happens in any order, and what is known of it.
type life struct {
	*bench
	numbers *rand.Rand
	w       workspace.Workspace
	uploads []upload.Upload // as they were opened
	objects map[string]bool
	done    []string
}

// pick is one of the uploads, as it was opened: whoever acts on it may have read it long
// ago.
func (l *life) pick() (upload.Upload, bool) {
	if len(l.uploads) == 0 {
		return upload.Upload{}, false
	}
	return l.uploads[l.numbers.IntN(len(l.uploads))], true
}

// step does one thing. Refusals with a code are answers; anything else is a defect.
func (l *life) step() error {
	u, any := l.pick()
	what := l.numbers.IntN(9)
	if !any {
		what = 0
	}
	ctx := l.t.Context()
	var err error
	switch what {
	case 0, 1:
		u = l.upload("alpha", fmt.Sprintf("p%d", l.numbers.IntN(2)), 1+l.numbers.Int64N(20))
		if l.numbers.IntN(2) == 0 {
			u.IfExists = upload.NewVersion
		}
		if u, err = l.OpenUpload(ctx, l.w, u); err == nil {
			l.uploads = append(l.uploads, u)
		}
	case 2, 3:
		_, err = l.Hold(ctx, u, facts(u))
	case 4, 5:
		_, err = l.Publish(ctx, u, facts(u))
	case 6:
		if _, err = l.RejectUpload(ctx, u, facts(u), infected); err == nil {
			err = l.ReleaseUpload(ctx, "alpha", u.ID)
		}
	case 7, 8:
		var now upload.Upload
		if now, err = l.Upload(ctx, "alpha", u.ID); err != nil {
			break
		}
		if what == 7 {
			_, err = l.DeleteObject(ctx, "alpha", now.ObjectID, 0, "ann")
		} else {
			_, err = l.UndeleteObject(ctx, "alpha", now.ObjectID, 0, "ann")
		}
	}
	l.done = append(l.done, fmt.Sprintf("%d %s %v", what, u.ID, err))
	var coded *fault.Error
	if err != nil && !errors.As(err, &coded) {
		return err
	}
	return nil
}

// check holds what is stored against what must be so at any time.
func (l *life) check() {
	l.t.Helper()
	ctx := l.t.Context()
	var reserved, stored workspace.Amount
	held := map[string]int64{} // bytes of each object's published versions
	for _, opened := range l.uploads {
		u, err := l.Upload(ctx, "alpha", opened.ID)
		if err != nil {
			l.t.Fatal(err)
		}
		for _, r := range u.Reservation {
			reserved = reserved.Plus(r.Amount)
		}
		l.objects[u.ObjectID] = true
		v, err := l.Version(ctx, "alpha", u.ObjectID, u.ID)
		switch published := u.State == upload.Available; {
		case err != nil && !fault.Is(err, fault.NotFound):
			l.t.Fatal(err)
		case published != (err == nil && v.State == object.Available):
			l.t.Errorf("upload %s is %s, its version %s (%v)", u.ID, u.State, v.State, err)
		case published:
			held[u.ObjectID] += u.Size
			stored.Bytes += u.Size
		}
	}
	stored.Objects = int64(len(held))
	l.wantUsage("alpha", reserved, stored)
	for id := range l.objects {
		o, err := l.Object(ctx, "alpha", id)
		if fault.Is(err, fault.NotFound) {
			if held[id] > 0 {
				l.t.Errorf("object %s does not exist and has %d bytes", id, held[id])
			}
			continue
		}
		if err != nil {
			l.t.Fatal(err)
		}
		owner, err := l.PathOwner(ctx, "alpha", o.Path)
		if err != nil && !fault.Is(err, fault.NotFound) {
			l.t.Fatal(err)
		}
		_, published := held[id]
		switch {
		case (owner == id) != o.State.OwnsPath():
			l.t.Errorf("object %s is %s, its path belongs to %q", id, o.State, owner)
		case o.Stored != held[id]:
			l.t.Errorf("object %s says that it stores %d bytes, its versions %d", id, o.Stored, held[id])
		case o.State == object.Available && !published, o.State == object.Quarantined && published, o.State == object.Rejected && published:
			l.t.Errorf("object %s is %s, published: %t", id, o.State, published)
		}
		if o.State == object.Available {
			if v, err := l.Version(ctx, "alpha", id, o.Version); err != nil || v.State != object.Available {
				l.t.Errorf("object %s is available at %s, which is %s, %v", id, o.Version, v.State, err)
			}
		}
	}
}

// TestAnyLifeWithAScanner: whatever is held, published, rejected, deleted and brought back
// in whatever order, quota, paths, versions and objects agree, and nothing is available
// that was not published.
func TestAnyLifeWithAScanner(t *testing.T) {
	t.Parallel()
	seed := rand.Uint64()
	for run := range uint64(12) {
		t.Run(fmt.Sprintf("%d-%d", seed, run), func(t *testing.T) {
			t.Parallel()
			l := &life{bench: newBench(t), numbers: rand.New(rand.NewPCG(seed, run)), objects: map[string]bool{}}
			l.w = l.workspace("alpha", roomy())
			for range 40 {
				if err := l.step(); err != nil {
					t.Fatalf("%v\n%v", err, l.done)
				}
			}
			l.check()
			if t.Failed() {
				for _, d := range l.done {
					t.Log(d)
				}
			}
		})
	}
}
