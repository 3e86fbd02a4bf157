package ledgercheck

import (
	"context"
	"maps"
	"math/big"
	"slices"
	"time"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/pgstore"
)

// totals are bytes by workspace.
type totals map[string]*big.Int

func (t totals) add(workspace string, bytes int64) {
	sum := t[workspace]
	if sum == nil {
		sum = new(big.Int)
		t[workspace] = sum
	}
	sum.Add(sum, big.NewInt(bytes))
}

// of is the bytes of a workspace.
func (t totals) of(workspace string) *big.Int {
	if sum := t[workspace]; sum != nil {
		return sum
	}
	return new(big.Int)
}

// orphans looks for objects that hold bytes in the ledger and are not in the catalog. Only
// in workspaces of which the ledger holds more or less than their objects explain: there is
// an orphan, or something was written while the catalog was read.
func (c *check) orphans(ctx context.Context) error {
	held, err := c.Books.Totals(ctx)
	if err != nil {
		return err
	}
	var lone suspicions
	for _, ws := range slices.Sorted(maps.Keys(held)) {
		if held[ws].Bytes.Cmp(c.explained.of(ws)) == 0 {
			continue
		}
		if err := c.walk(ctx, ws, &lone); err != nil {
			return err
		}
	}
	return c.confirm(ctx, &lone)
}

// suspicions are objects that only the ledger knows.
type suspicions struct {
	facts []ledger.Fact
	last  time.Time // when the latest of them was found, by the machine's clock
}

// most is how many suspicions are kept before they are looked at again, each for some 200
// bytes.
const most = 10_000

// walk looks up in the catalog what the ledger holds of a workspace, page by page.
func (c *check) walk(ctx context.Context, ws string, lone *suspicions) error {
	after := ""
	for {
		facts, err := c.Books.HeldAfter(ctx, ws, after, lookups)
		if err != nil {
			return err
		}
		if len(facts) == 0 {
			return nil
		}
		after = facts[len(facts)-1].Object
		c.report.Held += len(facts)
		gone, err := c.unknown(ctx, facts)
		if err != nil {
			return err
		}
		if len(gone) > 0 {
			lone.facts, lone.last = append(lone.facts, gone...), time.Now()
		}
		if len(lone.facts) >= most {
			if err := c.confirm(ctx, lone); err != nil {
				return err
			}
		}
		if len(facts) < lookups {
			return nil
		}
	}
}

// unknown are those facts, settled long since, of which the catalog has no object now. The
// ledger was read before: an object that it knows was there.
func (c *check) unknown(ctx context.Context, facts []ledger.Fact) ([]ledger.Fact, error) {
	settled := slices.DeleteFunc(facts, func(f ledger.Fact) bool { return f.At.After(c.settled) })
	if len(settled) == 0 {
		return nil, nil
	}
	named := make([]object.Object, len(settled))
	for i, f := range settled {
		named[i] = object.Object{Workspace: f.Workspace, ID: f.Object}
	}
	found, err := c.Catalog.ObjectsOf(ctx, named)
	if err != nil {
		return nil, err
	}
	there := make(map[pgstore.ObjectID]bool, len(found))
	for _, o := range found {
		there[idOf(o)] = true
	}
	return slices.DeleteFunc(settled, func(f ledger.Fact) bool { return there[pgstore.ObjectID{Workspace: f.Workspace, ID: f.Object}] }), nil
}

// confirm waits for the events of purged objects, reports what holds bytes even then, and
// forgets the suspicions.
func (c *check) confirm(ctx context.Context, lone *suspicions) error {
	suspects := lone.facts
	lone.facts = nil
	for end := c.patience(ctx, lone.last); len(suspects) > 0; {
		left := time.Until(end)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(min(left, c.Look)):
		}
		var err error
		if suspects, err = c.still(ctx, suspects); err != nil {
			return err
		}
		if left <= c.Look {
			break
		}
	}
	for _, f := range suspects {
		c.differ(ctx, "ledger holds an object that the catalog does not", ledger.Fact{Workspace: f.Workspace, Object: f.Object}, f)
	}
	return nil
}

// patience is until when objects found at a time are waited for: a check with much to do
// goes on with it when half of its time is over.
func (c *check) patience(ctx context.Context, found time.Time) time.Time {
	end := found.Add(c.Recheck)
	deadline, limited := ctx.Deadline()
	if !limited {
		return end
	}
	if half := time.Now().Add(time.Until(deadline) / 2); half.Before(end) {
		return half
	}
	return end
}

// still are those suspects that hold bytes in the ledger as before, and are not in the
// catalog.
func (c *check) still(ctx context.Context, suspects []ledger.Fact) ([]ledger.Fact, error) {
	var all []ledger.Fact
	for some := range slices.Chunk(suspects, lookups) {
		ids := make([]pgstore.ObjectID, len(some))
		for i, f := range some {
			ids[i] = pgstore.ObjectID{Workspace: f.Workspace, ID: f.Object}
		}
		held, err := c.Books.Holdings(ctx, ids)
		if err != nil {
			return nil, err
		}
		var same []ledger.Fact
		for i, f := range some {
			if now := held[ids[i]]; now.Bytes > 0 && now.Rev == f.Rev {
				same = append(same, now)
			}
		}
		if same, err = c.unknown(ctx, same); err != nil {
			return nil, err
		}
		all = append(all, same...)
	}
	return all, nil
}
