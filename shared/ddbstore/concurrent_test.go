package ddbstore_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// TestEverythingAtOnce runs whole lives of uploads on a few paths while others
// abort them, delete what they made and change the quota, and while transactions
// on the same item cancel each other. Whatever happened, the catalog must agree
// with itself at the end.
func TestEverythingAtOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", workspace.Quota{Bytes: 5000, Objects: 500, OpenUploads: 40, MaxObjectBytes: 1000})
	s := ddbstore.New(ddbtest.Client(&ddbtest.Conflicts{}), ddbstore.Config{Table: b.table, Now: b.now})

	const workers, lives = 12, 6
	var mu sync.Mutex
	var opened []upload.Upload
	together(workers, func(i int) {
		random := rand.New(rand.NewPCG(1, uint64(i)))
		for range lives {
			u := b.upload("alpha", path(random.IntN(3)), random.Int64N(100))
			if random.IntN(2) == 0 {
				u.IfExists = upload.NewVersion
			}
			u, err := s.OpenUpload(t.Context(), w, u)
			if fault.Is(err, fault.QuotaExceeded) {
				continue
			}
			if err != nil {
				t.Errorf("open: %v", err)
				continue
			}
			mu.Lock()
			opened = append(opened, u)
			mu.Unlock()
			c := crowd{b: b, s: s, u: u}
			actions := [3]int{random.IntN(8), random.IntN(8), random.IntN(8)}
			together(len(actions), func(j int) { c.disturb(t, actions[j]) })
		}
	})
	checkCatalog(t, b, opened)
}

// crowd does things to one upload.
type crowd struct {
	b *bench
	s *ddbstore.Store
	u upload.Upload
}

func (c crowd) disturb(t *testing.T, action int) {
	t.Helper()
	ctx := t.Context()
	switch action {
	case 0:
		_, err := c.s.EndUpload(ctx, "alpha", c.u.ID, upload.Abort, upload.Client)
		c.tolerate(t, err, fault.UploadEnded)
		c.tolerate(t, c.s.ReleaseUpload(ctx, "alpha", c.u.ID), fault.Conflict)
	case 1:
		_, err := c.s.RejectUpload(ctx, c.u, facts(c.u), object.Reason{Code: fault.ChecksumMismatch})
		c.tolerate(t, err, fault.UploadEnded, fault.Conflict)
		c.tolerate(t, c.s.ReleaseUpload(ctx, "alpha", c.u.ID))
	case 2:
		q := workspace.Quota{Bytes: 4000 + rand.Int64N(2000), Objects: 500, OpenUploads: 40, MaxObjectBytes: 1000}
		_, err := c.s.SetQuota(ctx, "alpha", q, 0)
		c.tolerate(t, err, fault.QuotaInUse)
	case 3:
		owner, err := c.s.PathOwner(ctx, "alpha", c.u.Path)
		if err == nil {
			_, err = c.s.DeleteObject(ctx, "alpha", owner, 0, "somebody")
		}
		c.tolerate(t, err, fault.NotFound)
	default:
		_, err := c.s.Publish(ctx, c.u, facts(c.u))
		c.tolerate(t, err, fault.UploadEnded, fault.PathTaken)
	}
}

func (c crowd) tolerate(t *testing.T, err error, codes ...fault.Code) {
	t.Helper()
	for _, code := range codes {
		if fault.Is(err, code) {
			return
		}
	}
	if err != nil {
		t.Error(err)
	}
}

// checkCatalog compares what every upload became with the quota, the paths and
// the versions.
func checkCatalog(t *testing.T, b *bench, opened []upload.Upload) {
	t.Helper()
	var reserved, stored workspace.Amount
	objects := map[string]bool{}
	for _, u := range opened {
		now, err := b.Upload(t.Context(), "alpha", u.ID)
		if err != nil {
			t.Fatal(err)
		}
		switch now.State {
		case upload.Available:
			stored.Bytes += now.Size
			objects[now.ObjectID] = true
			if v, err := b.Version(t.Context(), "alpha", now.ObjectID, u.ID); err != nil || v.State != object.Available || v.S3Key != u.S3Key {
				t.Errorf("version of %s is %+v, %v", u.ID, v, err)
			}
		case upload.Open:
			reserved = reserved.Plus(now.Wants())
		default:
		}
		if now.State.Ended() && len(now.Reservation) > 0 {
			t.Errorf("%s is %s and still holds %v", u.ID, now.State, now.Reservation)
		}
	}
	stored.Objects = int64(len(objects))
	b.wantUsage("alpha", reserved, stored)
	for id := range objects {
		o, err := b.Object(t.Context(), "alpha", id)
		if err != nil {
			t.Fatal(err)
		}
		// A path has one owner, so no two objects can both pass.
		owner, err := b.PathOwner(t.Context(), "alpha", o.Path)
		if o.State.OwnsPath() != (owner == id) {
			t.Errorf("%s is %s and its path belongs to %q (%v)", id, o.State, owner, err)
		}
	}
}
