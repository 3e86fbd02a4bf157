package ddbstore_test

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

const crowdClients = 200

// crowdRuns is few by default: a run keeps a processor busy for some seconds. The figure that is promised
// is 50: go test ./shared/ddbstore -run TestCrowdOnOneQuota -crowd-runs 50
var crowdRuns = flag.Int("crowd-runs", 3, "how many crowds of 200 clients use a quota")

// TestCrowdOnOneQuota has 200 clients open uploads against one workspace's quota at once, and
// some of them abort, while transactions that meet on an item cancel each other as in
// DynamoDB. Never is the quota exceeded, and afterwards each reservation is where it belongs.
// The model of it, in package workspace, takes far more interleavings.
func TestCrowdOnOneQuota(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	conflicts := &ddbtest.Conflicts{}
	// Long pauses let all through with few attempts; most of a run is waiting, so four go
	// side by side.
	store := ddbstore.New(ddbtest.Client(conflicts), ddbstore.Config{
		Table: b.table, Now: b.now, Retry: ddbstore.Retry{Base: 25 * time.Millisecond, Cap: 2 * time.Second, Attempts: 60},
	})
	runs, lanes := *crowdRuns, 4
	together(lanes, func(lane int) {
		for run := lane; run < runs; run += lanes {
			crowdRun(t, b, store, run)
		}
	})
	t.Logf("%d transactions were cancelled", conflicts.Count())
	if conflicts.Count() < runs {
		t.Error("hardly a transaction met another one")
	}
}

func crowdRun(t *testing.T, b *bench, store *ddbstore.Store, run int) {
	t.Helper()
	random := rand.New(rand.NewPCG(uint64(run), 11))
	quota := workspace.Quota{
		Bytes: 1000 + random.Int64N(9000), Objects: 50 + random.Int64N(200), OpenUploads: 50 + random.Int64N(200), MaxObjectBytes: 100,
	}
	w := b.sharded(fmt.Sprintf("crowd-%d", run), quota, workspace.DefaultShards)
	sizes := make([]int64, crowdClients)
	for i := range sizes {
		sizes[i] = random.Int64N(100)
	}
	var bytes, open, refused atomic.Int64
	together(crowdClients, func(i int) {
		declared := b.upload(w.ID, path(i), sizes[i])
		u, err := store.OpenUpload(t.Context(), w, declared)
		for fault.Is(err, fault.Unavailable) { // on a slow machine: the client sends it again
			u, err = store.OpenUpload(t.Context(), w, declared)
		}
		switch {
		case fault.Is(err, fault.QuotaExceeded):
			refused.Add(1)
			return
		case err != nil:
			t.Errorf("run %d: open: %v", run, err)
			return
		case i%3 > 0:
			bytes.Add(sizes[i])
			open.Add(1)
			return
		}
		if _, err := store.EndUpload(t.Context(), w.ID, u.ID, upload.Abort, upload.Client); err != nil {
			t.Errorf("run %d: abort: %v", run, err)
		}
		if err := store.ReleaseUpload(t.Context(), w.ID, u.ID); err != nil {
			t.Errorf("run %d: release: %v", run, err)
		}
	})
	b.wantUsage(w.ID, amount(bytes.Load(), open.Load(), open.Load()), amount(0, 0, 0))
	if !quota.Amount().Covers(amount(bytes.Load(), open.Load(), open.Load())) {
		t.Errorf("run %d: %d bytes in %d uploads exceed %+v", run, bytes.Load(), open.Load(), quota)
	}
	if refused.Load() == crowdClients {
		t.Errorf("run %d: all were refused", run)
	}
}
