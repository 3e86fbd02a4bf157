package pgstore

import (
	"context"
	"fmt"
	"math/big"
	"time"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore/internal/queries"
)

// Imbalance is a place where the books do not agree with themselves.
type Imbalance struct {
	Workspace string
	Class     ledger.Class
	// What disagrees, with both figures.
	What string
	A, B string
}

// Imbalances returns where the books do not agree with themselves: debits and credits,
// entries and their sums by quarter, entries and what objects hold. There are at most some
// hundred; none means that all is well. It reads all of the ledger, in one state.
//
// Quarters are compared one by one, with basis and moment: those that are moved, exchanged
// or counted as adjustments have the right bytes in all, and make wrong statements. Of a
// workspace, class and basis the first that differs is told, and how many do.
func (db *DB) Imbalances(ctx context.Context) ([]Imbalance, error) {
	var found []Imbalance
	t := transaction{name: "Imbalances", begin: snapshot}
	t.do = func(ctx context.Context, q *queries.Queries) error {
		found = nil
		off, err := q.Imbalances(ctx)
		if err != nil {
			return fmt.Errorf("compare debits and credits: %w", err)
		}
		for _, r := range off {
			found = append(found, Imbalance{r.Workspace, ledger.Class(r.Class), "debits less credits", r.Off, "0"})
		}
		quarters, err := q.QuarterMismatches(ctx)
		if err != nil {
			return fmt.Errorf("compare entries and quarters: %w", err)
		}
		for _, r := range quarters {
			found = append(found, wrongQuarter(r))
		}
		held, err := q.HoldingMismatches(ctx)
		if err != nil {
			return fmt.Errorf("compare entries and holdings: %w", err)
		}
		for _, r := range held {
			found = append(found, Imbalance{r.Workspace, ledger.Class(r.Class), "entries and holdings", r.Entries, r.Holdings})
		}
		return nil
	}
	return found, db.read(ctx, t)
}

func wrongQuarter(r *queries.QuarterMismatchesRow) Imbalance {
	what := fmt.Sprintf("entries and their sums by quarter (%s, %d of them, the first of %s)",
		r.Basis, r.Quarters, ledger.QuarterStart(r.Quarter).Format(time.RFC3339))
	figures := func(bytes, moment string) string { return bytes + " bytes, moment " + moment }
	return Imbalance{r.Workspace, ledger.Class(r.Class), what, figures(r.EntryBytes, r.EntryMoment), figures(r.Bytes, r.Moment)}
}

// ObjectID names an object.
type ObjectID struct{ Workspace, ID string }

// Holdings returns, of those objects that the ledger knows, the latest facts.
func (db *DB) Holdings(ctx context.Context, objects []ObjectID) (map[ObjectID]ledger.Fact, error) {
	var in queries.HoldingsOfParams
	for _, o := range objects {
		in.Workspaces = append(in.Workspaces, o.Workspace)
		in.Objects = append(in.Objects, o.ID)
	}
	held := map[ObjectID]ledger.Fact{}
	t := transaction{name: "Holdings", single: true}
	t.do = func(ctx context.Context, q *queries.Queries) error {
		rows, err := q.HoldingsOf(ctx, in)
		if err != nil {
			return fmt.Errorf("read holdings: %w", err)
		}
		clear(held)
		for _, r := range rows {
			held[ObjectID{r.Workspace, r.Object}] = factOf(r)
		}
		return nil
	}
	if err := db.read(ctx, t); err != nil {
		return nil, err
	}
	return held, nil
}

func factOf(r *queries.StowageHolding) ledger.Fact {
	return ledger.Fact{Workspace: r.Workspace, Object: r.Object, Rev: r.Rev, At: r.At.UTC(), Class: ledger.Class(r.Class), Bytes: r.Bytes}
}

// Total is what the objects of a workspace hold.
type Total struct {
	Objects int64
	Bytes   *big.Int
}

// Totals returns what every workspace holds by the ledger.
func (db *DB) Totals(ctx context.Context) (map[string]Total, error) {
	totals := map[string]Total{}
	t := transaction{name: "Totals", single: true}
	t.do = func(ctx context.Context, q *queries.Queries) error {
		rows, err := q.HoldingTotals(ctx)
		if err != nil {
			return fmt.Errorf("sum up holdings: %w", err)
		}
		clear(totals)
		for _, r := range rows {
			n, ok := new(big.Int).SetString(r.Bytes, 10)
			if !ok {
				return fmt.Errorf("the bytes of %s are no integer", r.Workspace)
			}
			totals[r.Workspace] = Total{r.Objects, n}
		}
		return nil
	}
	if err := db.read(ctx, t); err != nil {
		return nil, err
	}
	return totals, nil
}

// HeldAfter returns objects of a workspace that hold bytes, by id, from the one after the
// given id on.
func (db *DB) HeldAfter(ctx context.Context, workspace, after string, limit int) ([]ledger.Fact, error) {
	var facts []ledger.Fact
	t := transaction{name: "HeldAfter", single: true}
	t.do = func(ctx context.Context, q *queries.Queries) error {
		rows, err := q.HoldingsAfter(ctx, queries.HoldingsAfterParams{Workspace: workspace, After: after, Page: int32(limit)})
		if err != nil {
			return fmt.Errorf("list holdings: %w", err)
		}
		facts = make([]ledger.Fact, len(rows))
		for i, r := range rows {
			facts[i] = factOf(r)
		}
		return nil
	}
	return facts, db.read(ctx, t)
}
