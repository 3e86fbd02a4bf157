package e2e_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/shared/client"
)

// document is a small text that no other has.
func document(name string) (client.NewUpload, []byte) {
	body := []byte("The document " + name + ".\n" + strings.Repeat("All work and no play. ", 40))
	sum := sha256.Sum256(body)
	return client.NewUpload{Path: "documents/" + name + ".txt", Size: int64(len(body)), ContentType: "text/plain",
		SHA256: base64.StdEncoding.EncodeToString(sum[:])}, body
}

// TestUploadToAvailable holds the time from opening an upload to its object
// being available, most of which is the way through queue, ingest and catalog.
func TestUploadToAvailable(t *testing.T) {
	l := launch(t, t.TempDir())
	c := l.client(t, "alpha")
	const uploads = 40
	var took []time.Duration
	for i := range uploads {
		upload, body := document(fmt.Sprint("timed-", i))
		start := time.Now()
		got, err := c.Put(t.Context(), upload, bytes.NewReader(body), upload.Size, nil)
		if err != nil || got.State != "available" {
			t.Fatalf("upload %d: %+v, %v", i, got, err)
		}
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	p50 := took[uploads/2]
	t.Logf("upload to available: p50 %s, p90 %s, worst %s", p50, took[uploads*9/10], took[uploads-1])
	if limit := 150 * time.Millisecond; p50 > limit {
		t.Errorf("p50 is %s, over %s", p50, limit)
	}
}

// TestKilledRuntimeLosesNoUpload: bytes that S3 has acknowledged become
// available whatever is killed in between, and their events leave for the bus.
func TestKilledRuntimeLosesNoUpload(t *testing.T) {
	state := t.TempDir()
	const kills = 3
	sent := map[string]string{} // acknowledged uploads: id to object
	for round := range kills {
		l := launch(t, state)
		maps.Copy(sent, sendUntilKilled(t, l, round))
	}
	if len(sent) == 0 {
		t.Fatal("nothing was acknowledged before the kills")
	}
	l := launch(t, state)
	c := l.client(t, "alpha")
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	objects := map[string]bool{}
	for id, object := range sent {
		got, err := c.Wait(ctx, id)
		if err != nil || got.State != "available" {
			t.Errorf("upload %s of %d: %+v, %v", id, len(sent), got, err)
		}
		objects[object] = true
	}
	t.Logf("%d acknowledged uploads over %d kills", len(sent), kills)
	awaitEvents(t, l.dev.Events, objects)
}

// sendUntilKilled uploads from several clients at once and kills the runtime at
// a random moment. It gives the uploads whose bytes were acknowledged.
func sendUntilKilled(t *testing.T, l *local, round int) map[string]string {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := l.client(t, "alpha")
	var mu sync.Mutex
	sent := map[string]string{}
	first := make(chan struct{})
	var begun sync.Once
	var workers sync.WaitGroup
	for worker := range 4 {
		workers.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				upload, body := document(fmt.Sprintf("round-%d-%d-%d", round, worker, i))
				opened, err := c.Open(ctx, upload)
				if err != nil {
					return // killed
				}
				if err := c.Send(ctx, opened.Put, bytes.NewReader(body), upload.Size); err != nil {
					return // killed
				}
				mu.Lock()
				sent[opened.Upload.ID] = opened.Upload.ObjectID
				mu.Unlock()
				begun.Do(func() { close(first) })
			}
		})
	}
	select {
	case <-first:
	case <-time.After(30 * time.Second):
		t.Error("no upload was acknowledged within 30 s")
	}
	time.Sleep(rand.N(500 * time.Millisecond))
	l.kill()
	cancel()
	workers.Wait()
	return sent
}

// awaitEvents waits until every object has an event on the bus, and checks that
// the events of each object carry revisions without a gap.
func awaitEvents(t *testing.T, file string, objects map[string]bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		revs := revisions(t, file)
		missing := 0
		for id := range objects {
			if len(revs[id]) == 0 {
				missing++
			}
		}
		if missing > 0 && time.Now().Before(deadline) {
			continue
		}
		if missing > 0 {
			t.Errorf("%d of %d objects have no event", missing, len(objects))
		}
		for id := range objects {
			seen := slices.Compact(slices.Sorted(slices.Values(revs[id])))
			for i, rev := range seen {
				if rev != seen[0]+int64(i) {
					t.Errorf("object %s: revisions %v have a gap", id, seen)
					break
				}
			}
		}
		return
	}
}

// revisions reads the events file: object ids to the revisions that were told.
func revisions(t *testing.T, file string) map[string][]int64 {
	t.Helper()
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	revs := map[string][]int64{}
	for line := range strings.Lines(string(raw)) {
		var e struct {
			Detail struct {
				Data struct {
					ID  string `json:"id"`
					Rev int64  `json:"rev"`
				} `json:"data"`
			} `json:"detail"`
		}
		if !strings.HasSuffix(line, "\n") {
			continue // a kill cut it short, or it is being written
		}
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("event %q: %v", line, err)
		}
		data := e.Detail.Data
		revs[data.ID] = append(revs[data.ID], data.Rev)
	}
	return revs
}
