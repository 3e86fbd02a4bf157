package ledgercheck_test

import (
	"context"
	"fmt"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/functions/internal/ledgercheck"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// busy lets others write at the moments at which a check could be misled.
type busy struct {
	ledgercheck.Books
	ledgercheck.Catalog
	scans, looks                         int
	onPage, onTotals, onHeld, afterLooks func(ctx context.Context)
	again                                func(ctx context.Context) // after an object that only the ledger knows was looked at again
}

func (b *busy) at(ctx context.Context, moment *func(context.Context)) {
	if do := *moment; do != nil {
		*moment = nil
		do(ctx)
	}
}

func (b *busy) AllObjects(ctx context.Context) iter.Seq2[[]object.Object, error] {
	b.scans++
	return func(yield func([]object.Object, error) bool) {
		for page, err := range b.Catalog.AllObjects(ctx) {
			b.at(ctx, &b.onPage)
			if !yield(page, err) {
				return
			}
		}
	}
}

func (b *busy) ObjectsOf(ctx context.Context, named []object.Object) ([]object.Object, error) {
	found, err := b.Catalog.ObjectsOf(ctx, named)
	if b.onHeld == nil { // of the second part of the check
		b.at(ctx, &b.afterLooks)
	}
	return found, err
}

func (b *busy) Totals(ctx context.Context) (map[string]pgstore.Total, error) {
	b.at(ctx, &b.onTotals)
	return b.Books.Totals(ctx)
}

func (b *busy) HeldAfter(ctx context.Context, ws, after string, limit int) ([]ledger.Fact, error) {
	facts, err := b.Books.HeldAfter(ctx, ws, after, limit)
	b.at(ctx, &b.onHeld)
	return facts, err
}

func (b *busy) Holdings(ctx context.Context, objects []pgstore.ObjectID) (map[pgstore.ObjectID]ledger.Fact, error) {
	held, err := b.Books.Holdings(ctx, objects)
	if b.onHeld == nil && b.onTotals == nil {
		b.looks++
		b.at(ctx, &b.again)
	}
	return held, err
}

// busyWorld is a world whose check is interrupted.
func busyWorld(t *testing.T) (*world, *busy) {
	t.Helper()
	w := newWorld(t)
	b := &busy{Books: w.handler.Books, Catalog: w.store}
	w.handler.Books, w.handler.Catalog = b, b
	for _, o := range w.objects {
		w.book(t, o, nil)
	}
	return w, b
}

// remove takes an object out of the catalog, as a purge does.
func (w *world) remove(t *testing.T, o object.Object) {
	t.Helper()
	key := map[string]types.AttributeValue{
		"pk": &types.AttributeValueMemberS{Value: "O#" + o.Workspace + "#" + o.ID}, "sk": &types.AttributeValueMemberS{Value: "OBJECT"},
	}
	out, err := ddbtest.Client(nil).DeleteItem(t.Context(), &dynamodb.DeleteItemInput{TableName: aws.String(w.table), Key: key, ReturnValues: types.ReturnValueAllOld})
	if err != nil || len(out.Attributes) == 0 {
		t.Fatalf("%v, removed %v", err, out)
	}
}

// TestWritesDuringTheCheckAreNoDifferences: none of them is lately enough to be left for
// the next night, as if an hour had passed between two calls.
func TestWritesDuringTheCheckAreNoDifferences(t *testing.T) {
	t.Parallel()
	w, b := busyWorld(t)
	space := workspace.Workspace{ID: "alpha", Name: "alpha", Shards: 1, Quota: workspace.Quota{Bytes: 1 << 40, Objects: 1000, OpenUploads: 100, MaxObjectBytes: 1 << 40}}
	b.onPage = func(ctx context.Context) { // the page is old already
		o, err := w.store.DeleteObject(ctx, "alpha", w.objects[0].ID, 0, "owner")
		if err != nil {
			t.Error(err)
			return
		}
		w.book(t, o, nil)
	}
	b.onTotals = func(context.Context) { // alpha holds what no page explains
		w.publish(t, space, 7)
		w.book(t, w.objects[len(w.objects)-1], nil)
	}
	purged := w.objects[1]
	b.onHeld = func(context.Context) { w.remove(t, purged) }
	b.afterLooks = func(context.Context) { // its event comes
		w.book(t, purged, func(f *ledger.Fact) { f.Rev++; f.Bytes = 0 })
	}
	got := w.report(t)
	if got.Differences != 0 || got.Objects != 6 || got.Held == 0 || got.Incomplete != "" {
		t.Errorf("%+v\n%s", got, w.log.String())
	}
	if b.scans != 1 {
		t.Errorf("the catalog was read %d times", b.scans)
	}
}

// TestOrphansAreFoundWhileOthersWrite: more of them than a page has, beside objects that
// are there.
func TestOrphansAreFoundWhileOthersWrite(t *testing.T) {
	t.Parallel()
	w, b := busyWorld(t)
	const lone = 1001
	var ghosts []ledger.Fact
	for i := range lone {
		ghosts = append(ghosts, ledger.Fact{
			Workspace: "beta", Object: fmt.Sprintf("01KB3Z5V0QJ8W4N6T2M9%06d", i), Rev: 1, At: published(), Class: ledger.DefaultClass, Bytes: 1,
		})
	}
	if _, err := w.writer.Book(t.Context(), ghosts, nil); err != nil {
		t.Fatal(err)
	}
	purged := w.objects[3]
	b.onTotals = func(context.Context) {
		w.remove(t, purged)
		w.book(t, purged, func(f *ledger.Fact) { f.Rev++; f.Bytes = 0 })
	}
	got := w.report(t)
	if got.Differences != lone || got.Held != lone+2 || got.Incomplete != "" {
		t.Errorf("%+v", got)
	}
	if shown := strings.Count(w.log.String(), "that the catalog does not"); shown != 100 {
		t.Errorf("%d of them are in the log, want 100", shown)
	}
}

// TestACheckWithoutTimeSaysHowFarItCame: rather than being killed.
func TestACheckWithoutTimeSaysHowFarItCame(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		left time.Duration // for the check itself
		want []ledgercheck.Phase
	}{
		"at once":          {0, []ledgercheck.Phase{ledgercheck.Balancing}},
		"amid the objects": {2 * time.Second, []ledgercheck.Phase{ledgercheck.Comparing, ledgercheck.Balancing}}, // by how busy the machine is
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w, b := busyWorld(t)
			b.onPage = func(ctx context.Context) { <-ctx.Done() }
			w.handler.Reserve = time.Hour
			ctx, cancel := context.WithTimeout(t.Context(), w.handler.Reserve+tt.left)
			defer cancel()
			got, err := w.handler.Handle(ctx, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got.Incomplete != tt.want[0] && got.Incomplete != tt.want[len(tt.want)-1] {
				t.Errorf("%+v", got)
			}
			if err := w.handler.Metrics.Flush(); err != nil {
				t.Fatal(err)
			}
			for _, said := range []string{`"LedgerCheckIncomplete":1`, "the time was over", `"at":"` + string(got.Incomplete) + `"`} {
				if !strings.Contains(w.log.String(), said) {
					t.Errorf("nothing says %s:\n%s", said, w.log.String())
				}
			}
		})
	}
}

// TestPurgesAreWaitedFor: the projector is behind, and nobody can tell when a purge was.
func TestPurgesAreWaitedFor(t *testing.T) {
	t.Parallel()
	w, b := busyWorld(t)
	w.handler.Recheck = time.Hour
	purged := w.objects[1]
	w.remove(t, purged)
	b.onTotals = func(context.Context) {}
	b.again = func(context.Context) { // at the second look it is there
		w.book(t, purged, func(f *ledger.Fact) { f.Rev++; f.Bytes = 0 })
	}
	if got := w.report(t); got.Differences != 0 || got.Held == 0 || b.looks != 2 {
		t.Errorf("%+v after %d looks\n%s", got, b.looks, w.log.String())
	}
}

// TestWaitingLeavesTimeForTheRest: half of it.
func TestWaitingLeavesTimeForTheRest(t *testing.T) {
	t.Parallel()
	w, b := busyWorld(t)
	w.handler.Recheck, w.handler.Look, w.handler.Reserve = time.Hour, time.Hour, time.Millisecond
	w.remove(t, w.objects[1])
	b.onTotals = func(context.Context) {}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	got, err := w.handler.Handle(ctx, nil)
	if err != nil || got.Differences != 1 || got.Incomplete != "" || b.looks != 1 {
		t.Errorf("%+v, %v after %d looks\n%s", got, err, b.looks, w.log.String())
	}
}
