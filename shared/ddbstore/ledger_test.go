package ddbstore_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func TestSetQuotaBoundaries(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	b.publish(b.open(w, b.upload("alpha", "stored", 300)))
	b.open(w, b.upload("alpha", "reserved", 200))
	for _, tc := range []struct {
		bytes, objects, uploads int64
		code                    fault.Code
	}{
		{499, 100, 100, fault.QuotaInUse},
		{500, 1, 100, fault.QuotaInUse},
		{500, 2, 0, fault.QuotaInUse},
		{-1, 2, 1, fault.InvalidArgument},
		{500, 2, 1, ""},
		{500, 2, 1, ""},
		{501, 5, 1, ""},
		{10_007, 3, 9, ""},
	} {
		q := workspace.Quota{Bytes: tc.bytes, Objects: tc.objects, OpenUploads: tc.uploads, MaxObjectBytes: 7}
		changed, err := b.SetQuota(t.Context(), "alpha", q, 0)
		if fault.CodeOf(err) != tc.code || err == nil && changed.Quota != q {
			t.Errorf("%+v: %v, want code %q", q, err, tc.code)
		}
		b.wantUsage("alpha", amount(200, 1, 1), amount(300, 1, 0))
	}
	_, err := b.SetQuota(t.Context(), "ghost", roomy(), 0)
	wantCode(t, err, fault.NotFound)
}

// TestQuotaLedgerAgainstTheEngine runs random lives of uploads and compares the
// usage with what they should hold, after every step.
func TestQuotaLedgerAgainstTheEngine(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var run atomic.Int64
	rapid.Check(t, func(rt *rapid.T) {
		id := fmt.Sprintf("ws-%d", run.Add(1))
		l := &ledger{b: b, w: b.workspace(id, workspace.Quota{Bytes: 100, Objects: 6, OpenUploads: 4, MaxObjectBytes: 100})}
		for range rapid.IntRange(1, 8).Draw(rt, "steps") {
			l.step(rt)
			l.check(rt)
		}
	})
}

// ledger is the model: what a workspace should hold.
type ledger struct {
	b          *bench
	w          workspace.Workspace
	open       []upload.Upload
	ended      []upload.Upload
	unreleased []upload.Upload // ended without a version, and not yet released
	stored     workspace.Amount
}

func (l *ledger) reserved() workspace.Amount {
	var sum workspace.Amount
	for _, u := range append(append([]upload.Upload(nil), l.open...), l.unreleased...) {
		sum = sum.Plus(u.Wants())
	}
	return sum
}

func (l *ledger) step(rt *rapid.T) {
	ctx := l.b.t.Context()
	fail := func(err error) {
		if err != nil {
			rt.Fatal(err)
		}
	}
	action := rapid.SampledFrom([]string{"open", "open", "publish", "abort", "expire", "reject", "release", "quota", "repeat"}).Draw(rt, "action")
	switch action {
	case "open":
		l.openOne(rt)
	case "quota":
		l.resize(rt)
	case "release":
		if u, ok := take(rt, &l.unreleased); ok {
			fail(l.b.ReleaseUpload(ctx, u.Workspace, u.ID))
			l.ended = append(l.ended, u)
		}
	case "repeat": // whatever happens again to an upload that has ended
		if len(l.ended) > 0 {
			u := rapid.SampledFrom(l.ended).Draw(rt, "ended")
			_, _ = l.b.Publish(ctx, u, facts(u)) // refused or a repetition: only the usage matters
			_, _ = l.b.EndUpload(ctx, u.Workspace, u.ID, upload.Abort, upload.Client)
			_, _ = l.b.RejectUpload(ctx, u, facts(u), object.Reason{Code: fault.SizeMismatch})
			fail(l.b.ReleaseUpload(ctx, u.Workspace, u.ID))
		}
	default:
		if u, ok := take(rt, &l.open); ok {
			fail(l.end(rt, action, u))
		}
	}
}

func (l *ledger) openOne(rt *rapid.T) {
	u := l.b.upload(l.w.ID, path(len(l.open)+len(l.ended)+len(l.unreleased)), rapid.Int64Range(0, 60).Draw(rt, "size"))
	opened, err := l.b.OpenUpload(l.b.t.Context(), l.w, u)
	fits := l.w.Quota.Amount().Covers(l.reserved().Plus(l.stored).Plus(u.Wants()))
	switch {
	case err == nil && fits:
		l.open = append(l.open, opened)
	case !fault.Is(err, fault.QuotaExceeded) || fits:
		rt.Fatalf("open %d bytes: %v, fits: %t", u.Size, err, fits)
	}
}

func (l *ledger) resize(rt *rapid.T) {
	q := workspace.Quota{
		Bytes:          rapid.Int64Range(0, 200).Draw(rt, "bytes"),
		Objects:        rapid.Int64Range(0, 8).Draw(rt, "objects"),
		OpenUploads:    rapid.Int64Range(0, 6).Draw(rt, "uploads"),
		MaxObjectBytes: 100,
	}
	changed, err := l.b.SetQuota(l.b.t.Context(), l.w.ID, q, 0)
	fits := q.Amount().Covers(l.reserved().Plus(l.stored))
	switch {
	case err == nil && fits:
		l.w = changed
	case !fault.Is(err, fault.QuotaInUse) || fits:
		rt.Fatalf("set quota %+v: %v, fits: %t", q, err, fits)
	}
}

func (l *ledger) end(rt *rapid.T, action string, u upload.Upload) error {
	ctx := l.b.t.Context()
	switch action {
	case "publish":
		f := facts(u)
		f.Size = rapid.Int64Range(0, u.Size).Draw(rt, "actual")
		l.stored = l.stored.Plus(amount(f.Size, 1, 0))
		l.ended = append(l.ended, u)
		_, err := l.b.Publish(ctx, u, f)
		return err
	case "reject":
		l.unreleased = append(l.unreleased, u)
		_, err := l.b.RejectUpload(ctx, u, facts(u), object.Reason{Code: fault.SizeMismatch})
		return err
	case "expire":
		l.unreleased = append(l.unreleased, u)
		_, err := l.b.EndUpload(ctx, u.Workspace, u.ID, upload.Expire, upload.Sweeper)
		return err
	default:
		l.unreleased = append(l.unreleased, u)
		_, err := l.b.EndUpload(ctx, u.Workspace, u.ID, upload.Abort, upload.Client)
		return err
	}
}

func (l *ledger) check(rt *rapid.T) {
	u, err := l.b.Usage(l.b.t.Context(), l.w.ID)
	if err != nil {
		rt.Fatal(err)
	}
	if u.Reserved != l.reserved() || u.Stored != l.stored || u.Total() != u.Limit || u.Limit != l.w.Quota.Amount() {
		rt.Fatalf("usage is %+v; reserved should be %+v, stored %+v, the limit %+v", u, l.reserved(), l.stored, l.w.Quota.Amount())
	}
}

// take removes a random element.
func take(rt *rapid.T, from *[]upload.Upload) (upload.Upload, bool) {
	if len(*from) == 0 {
		return upload.Upload{}, false
	}
	i := rapid.IntRange(0, len(*from)-1).Draw(rt, "which")
	u := (*from)[i]
	*from = append((*from)[:i:i], (*from)[i+1:]...)
	return u, true
}
