package sweeper_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/functions/internal/sweeper"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// play is one random history of a workspace.
type play struct {
	*world
	opened []upload.Upload
}

// any draws one of the uploads there have been.
func (p *play) any(rt *rapid.T, mode upload.Mode) upload.Upload {
	var some []upload.Upload
	for _, u := range p.opened {
		if mode == "" || u.Mode == mode && (mode == upload.Single || u.S3UploadID != "") {
			some = append(some, u)
		}
	}
	if len(some) == 0 {
		rt.Skip("there is none")
	}
	return rapid.SampledFrom(some).Draw(rt, "upload")
}

// drawLife draws when a process dies.
func drawLife(rt *rapid.T) *life {
	return &life{last: rapid.SampledFrom([]int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 14, 18}).Draw(rt, "dies at call"), after: rapid.Bool().Draw(rt, "after it")}
}

func (p *play) path(rt *rapid.T) string {
	return rapid.SampledFrom([]string{"a", "b", "c/d"}).Draw(rt, "path")
}

func (p *play) actions() map[string]func(*rapid.T) {
	return map[string]func(*rapid.T){
		"open single": func(rt *rapid.T) {
			p.opened = append(p.opened, p.openSingle(p.path(rt), rapid.Int64Range(0, 20).Draw(rt, "size")))
		},
		"open multipart": func(rt *rapid.T) {
			steps := rapid.SampledFrom([]int{1, 2, 3, 3, 3, 3}).Draw(rt, "dies after step")
			p.opened = append(p.opened, p.openMultipart(p.path(rt), rapid.Int64Range(1, 20).Draw(rt, "size"), steps))
		},
		"put": func(rt *rapid.T) { // in time, late, or replayed
			u := p.any(rt, upload.Single)
			if p.now().After(u.ExpiresAt.Add(limits.SealLife)) {
				rt.Skip("even the slowest PUT is over")
			}
			p.put(u, content(u))
		},
		"put other bytes": func(rt *rapid.T) { // as only a forger could; ingest rejects them
			u := p.any(rt, upload.Single)
			if p.now().After(u.ExpiresAt.Add(limits.SealLife)) {
				rt.Skip("even the slowest PUT is over")
			}
			p.put(u, append(content(u), '!'))
		},
		"part":     func(rt *rapid.T) { p.part(p.any(rt, upload.Multipart)) },
		"assemble": func(rt *rapid.T) { p.assemble(p.any(rt, upload.Multipart)) },
		"abort": func(rt *rapid.T) {
			_ = p.abort(drawLife(rt), p.any(rt, "").ID) // what it leaves is what this is about
		},
		"ingest": func(rt *rapid.T) {
			if len(p.landed) == 0 {
				rt.Skip("nothing has landed")
			}
			i := rapid.IntRange(0, len(p.landed)-1).Draw(rt, "event")
			if p.deliver(drawLife(rt), p.landed[i]) && rapid.Bool().Draw(rt, "and never again") {
				p.landed = slices.Delete(p.landed, i, i+1)
			}
		},
		"lose an event": func(rt *rapid.T) {
			if len(p.landed) == 0 {
				rt.Skip("nothing has landed")
			}
			p.landed = p.landed[1:]
		},
		"sweep uploads": func(rt *rapid.T) { p.interrupted(rt, sweeper.Uploads) },
		"sweep bytes":   func(rt *rapid.T) { p.interrupted(rt, sweeper.Bytes) },
		"time passes": func(rt *rapid.T) {
			p.move(rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 3 * time.Hour, 26 * time.Hour, 8 * 24 * time.Hour, 31 * 24 * time.Hour}).Draw(rt, "by"))
		},
		"records expire": func(*rapid.T) { p.expireRecords() },
		"":               p.nothingIsHeldForFree,
	}
}

// interrupted runs a sweep whose process dies, or has little time.
func (p *play) interrupted(rt *rapid.T, what string) {
	ctx, cancel := context.WithCancel(context.Background())
	if rapid.Bool().Draw(rt, "has little time") {
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(rapid.IntRange(0, 8).Draw(rt, "ms"))*time.Millisecond)
	}
	defer cancel()
	p.skipEmptyHours()
	_, _ = p.sweeper(drawLife(rt)).Handle(ctx, sweeper.Request{Sweep: what}) // it may have died
}

// nothingIsHeldForFree asks, after every step, that no upload that has given its quota back
// has bytes in the bucket.
func (p *play) nothingIsHeldForFree(rt *rapid.T) {
	for at, size := range p.stored() {
		key, err := object.ParseKey(at.Key)
		if err != nil {
			rt.Fatal(err)
		}
		u, err := p.store.Upload(context.Background(), key.Workspace, key.Version)
		if err == nil && u.State.Ended() && !u.Keeps(at.VersionID) && len(u.Reservation) == 0 && size > 0 {
			rt.Fatalf("upload %s is %s, holds no quota, and has %d bytes in %s", u.ID, u.State, size, at)
		}
	}
}

// end lets the dust settle: no process dies any more, time passes, and the sweeper runs.
func (p *play) end(rt *rapid.T) {
	p.move(limits.UnverifiedBytes + time.Hour)
	p.sweep(sweeper.Uploads)
	for range 3 { // what was sealed in one pass is unsealed in a later one
		p.move(limits.UnknownBytes)
		p.sweep(sweeper.Uploads)
		p.sweep(sweeper.Bytes) // of a pass that was interrupted, the rest
		p.move(26 * time.Hour)
		p.sweep(sweeper.Bytes)
	}
	if err := p.wantClean(p.opened); err != nil {
		rt.Fatal(err)
	}
}

// TestAfterAnyHistoryTheSweeperLeavesNothing lets clients, ingest, aborts and sweepers do
// anything in any order and die at any call. Once the sweeper has run, nothing is held by
// uploads that have ended, no byte is without an owner, and no owner without its bytes.
func TestAfterAnyHistoryTheSweeperLeavesNothing(t *testing.T) {
	s := startS3(t)
	rapid.Check(t, func(rt *rapid.T) {
		p := &play{world: newWorld(t, s)}
		defer p.empty()
		rt.Repeat(p.actions())
		p.end(rt)
	})
}

// TestSweepersTogether lets several sweepers, clients that abort and replay, and ingest work
// at the same time.
func TestSweepersTogether(t *testing.T) {
	w := newWorld(t, startS3(t))
	var opened []upload.Upload
	for i := range 24 {
		if i%3 == 0 {
			opened = append(opened, w.openMultipart(fmt.Sprint("m", i), 10, 1+i/3%3))
		} else {
			opened = append(opened, w.openSingle(fmt.Sprint("s", i), 10))
		}
	}
	w.move(8 * 24 * time.Hour)
	w.skipEmptyHours()
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for _, what := range []string{sweeper.Uploads, sweeper.Bytes, sweeper.Uploads} {
				if _, err := w.sweeper(&life{}).Handle(t.Context(), sweeper.Request{Sweep: what}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for _, u := range opened {
			_ = w.abort(&life{}, u.ID) // it may have expired
		}
	})
	for range 2 {
		wg.Go(func() {
			for _, u := range opened {
				switch {
				case u.Mode == upload.Single:
					w.put(u, content(u))
				case u.S3UploadID != "":
					w.part(u)
					w.assemble(u)
				}
			}
		})
	}
	stop := make(chan struct{})
	var ingesting sync.WaitGroup
	ingesting.Go(func() {
		for {
			w.mu.Lock()
			var next []events.S3EventRecord
			next, w.landed = w.landed, nil
			w.mu.Unlock()
			for _, r := range next {
				for !w.deliver(&life{}, r) {
				}
			}
			select {
			case <-stop:
				if len(next) == 0 {
					return
				}
			default:
			}
		}
	})
	wg.Wait()
	close(stop)
	ingesting.Wait()
	for range 3 {
		w.move(limits.UnknownBytes)
		w.sweep(sweeper.Uploads)
		w.sweep(sweeper.Bytes)
		w.move(26 * time.Hour)
		w.sweep(sweeper.Bytes)
	}
	if err := w.wantClean(opened); err != nil {
		t.Error(err)
	}
}
