package ddbstore_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// due lists what is due in the hour of at, page by page.
func (b *bench) due(at, until time.Time, pageSize int) []string {
	b.t.Helper()
	var ids []string
	for shard := range catalog.ExpiryShards {
		for page := (catalog.Page{Limit: pageSize}); ; {
			found, next, err := b.DueUploads(b.t.Context(), at, shard, until, page)
			if err != nil {
				b.t.Fatal(err)
			}
			for _, p := range found {
				ids = append(ids, p.ID)
			}
			if page.After = next; next == "" {
				break
			}
		}
	}
	slices.Sort(ids)
	return ids
}

func TestDueUploadsAreThoseThatHoldQuota(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	at := time.Date(2026, 11, 4, 10, 30, 0, 0, time.UTC)
	open := func(expires time.Time) upload.Upload {
		u := b.upload("alpha", "p", 1)
		u.ExpiresAt = expires
		return b.open(w, u)
	}
	var expired []string
	for range 9 {
		expired = append(expired, open(at).ID)
	}
	open(at.Add(time.Millisecond))
	open(at.Add(time.Hour))
	published := open(at)
	b.publish(published)
	slices.Sort(expired)

	for _, pageSize := range []int{0, 1, 2, 3} {
		if got := b.due(at, at, pageSize); !slices.Equal(got, expired) {
			t.Errorf("pages of %d: due are %v, want %v", pageSize, got, expired)
		}
	}
	if got := b.due(at, at.Add(-time.Millisecond), 0); len(got) != 0 {
		t.Errorf("due a moment earlier: %v", got)
	}

	// What has ended is due at once, whenever it would have expired, until it is
	// released.
	late := open(at.Add(100 * time.Hour))
	ended, err := b.EndUpload(t.Context(), "alpha", late.ID, upload.Abort, upload.Client)
	if err != nil {
		t.Fatal(err)
	}
	if got := b.due(ended.EndedAt, ended.EndedAt, 0); !slices.Equal(got, []string{late.ID}) {
		t.Errorf("due after its end: %v", got)
	}
	if err := b.ReleaseUpload(t.Context(), "alpha", late.ID); err != nil {
		t.Fatal(err)
	}
	if got := b.due(ended.EndedAt, ended.EndedAt, 0); len(got) != 0 {
		t.Errorf("due after its release: %v", got)
	}
}

func TestDueUploadsRefusesForeignPages(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for _, after := range []string{"x", "alpha " + newID(), "alpha nonsense 2026-11-04T10:30:00Z", "alpha " + newID() + " yesterday", strings.Repeat(" ", 2)} {
		_, _, err := b.DueUploads(t.Context(), b.now(), 0, b.now(), catalog.Page{After: after})
		wantCode(t, err, fault.InvalidArgument)
	}
}

func TestPostponeOnlyLater(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.open(w, b.upload("alpha", "p", 1))
	later := u.ExpiresAt.Add(time.Hour)
	for _, until := range []time.Time{later, later, u.ExpiresAt, {}} {
		got, err := b.PostponeUpload(t.Context(), "alpha", u.ID, until)
		if err != nil || !got.ExpiresAt.Equal(later) || got.Rev != 2 {
			t.Errorf("postponed to %s: %+v, %v", until, got, err)
		}
	}
	if got := b.due(u.ExpiresAt, u.ExpiresAt, 0); len(got) != 0 {
		t.Errorf("still due: %v", got)
	}
	if got := b.due(later, later, 0); !slices.Equal(got, []string{u.ID}) {
		t.Errorf("due later: %v", got)
	}
	if _, err := b.EndUpload(t.Context(), "alpha", u.ID, upload.Expire, upload.Sweeper); err != nil {
		t.Fatal(err)
	}
	if got, err := b.PostponeUpload(t.Context(), "alpha", u.ID, later.Add(time.Hour)); err != nil || got.State != upload.Expired || !got.ExpiresAt.Equal(later) {
		t.Errorf("postponed after its end: %+v, %v", got, err)
	}
	b.wantUsage("alpha", u.Wants(), workspace.Amount{})
}

func TestCheckpoints(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	_, err := b.Checkpoint(t.Context(), "uploads")
	wantCode(t, err, fault.NotFound)
	for _, mark := range []string{"one", "two", ""} {
		want := upload.Checkpoint{Sweep: "uploads", Mark: mark, SavedAt: b.now()}
		if err := b.SaveCheckpoint(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		if got, err := b.Checkpoint(t.Context(), "uploads"); err != nil || got != want {
			t.Errorf("checkpoint is %+v, %v, want %+v", got, err, want)
		}
	}
	_, err = b.Checkpoint(t.Context(), "bytes")
	wantCode(t, err, fault.NotFound)
}
