package ledgercheck

import (
	"context"
	"log/slog"
	"slices"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/pgstore"
)

// lookups is how many objects are asked for at once.
const lookups = 500

// objects compares what the catalog says of each object with what the ledger says.
func (c *check) objects(ctx context.Context) error {
	for page, err := range c.Catalog.AllObjects(ctx) {
		if err != nil {
			return err
		}
		for some := range slices.Chunk(page, lookups) {
			if err := c.compare(ctx, some); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare compares some objects. The page that they come from is eventually consistent, and
// was read before the ledger: those that differ are read once more, as they are now, and
// compared with what the ledger says after that.
func (c *check) compare(ctx context.Context, page []object.Object) error {
	held, err := c.holdings(ctx, page)
	if err != nil {
		return err
	}
	var suspects []object.Object
	for _, o := range page {
		f, known := held[idOf(o)]
		switch c.judge(o, f, known) {
		case differs:
			suspects = append(suspects, o)
			continue // counted when it is known what it holds
		case unsettled:
			c.report.Unsettled++
		case agrees:
		}
		c.report.Objects++
		c.explained.add(o.Workspace, f.Bytes)
	}
	return c.compareAgain(ctx, suspects)
}

// compareAgain reports those that still differ. One that is gone since is no object of the
// catalog any more.
func (c *check) compareAgain(ctx context.Context, suspects []object.Object) error {
	if len(suspects) == 0 {
		return nil
	}
	now, err := c.Catalog.ObjectsOf(ctx, suspects)
	if err != nil {
		return err
	}
	held, err := c.holdings(ctx, now)
	if err != nil {
		return err
	}
	for _, o := range now {
		f, known := held[idOf(o)]
		switch c.judge(o, f, known) {
		case differs:
			c.differ(ctx, "ledger and catalog differ", expected(o), f)
		case unsettled:
			c.report.Unsettled++
		case agrees:
		}
		c.report.Objects++
		c.explained.add(o.Workspace, f.Bytes)
	}
	return nil
}

func (c *check) holdings(ctx context.Context, objects []object.Object) (map[pgstore.ObjectID]ledger.Fact, error) {
	if len(objects) == 0 {
		return nil, nil
	}
	ids := make([]pgstore.ObjectID, len(objects))
	for i, o := range objects {
		ids[i] = idOf(o)
	}
	return c.Books.Holdings(ctx, ids)
}

func idOf(o object.Object) pgstore.ObjectID {
	return pgstore.ObjectID{Workspace: o.Workspace, ID: o.ID}
}

// judgement is what becomes of a comparison.
type judgement int

const (
	agrees    judgement = iota
	unsettled           // changed so lately that the event may be under way
	differs
)

func (c *check) judge(o object.Object, f ledger.Fact, known bool) judgement {
	if o.UpdatedAt.After(c.settled) || known && f.At.After(c.settled) {
		return unsettled
	}
	want := expected(o)
	if !known || f.Rev != want.Rev || f.Bytes != want.Bytes || f.Bytes > 0 && f.Class != want.Class {
		return differs
	}
	return agrees
}

// expected is the fact that the ledger should have of an object.
func expected(o object.Object) ledger.Fact {
	class, err := ledger.ParseClass(o.StorageClass)
	if err != nil {
		class = ledger.Class(o.StorageClass) // which no fact has
	}
	f := ledger.Fact{Workspace: o.Workspace, Object: o.ID, Rev: o.Rev, At: o.UpdatedAt, Class: class, Bytes: o.Stored}
	if o.State == object.Rejected {
		f.Bytes = 0
	}
	return f
}

func (c *check) differ(ctx context.Context, message string, catalog, books ledger.Fact) {
	c.report.Differences++
	if c.report.Differences > shown {
		return
	}
	//nolint:sloglint // one of two constants
	c.Log.LogAttrs(ctx, slog.LevelError, message,
		slog.String("workspace", catalog.Workspace), slog.String("object", catalog.Object),
		slog.Int64("catalogRev", catalog.Rev), slog.Int64("ledgerRev", books.Rev),
		slog.Int64("catalogBytes", catalog.Bytes), slog.Int64("ledgerBytes", books.Bytes),
		slog.String("catalogClass", string(catalog.Class)), slog.String("ledgerClass", string(books.Class)))
}
