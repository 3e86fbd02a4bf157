package pgstore

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"time"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore/internal/queries"
)

// EntryFilter says which entries of a workspace are listed. Zero fields filter nothing.
type EntryFilter struct {
	Account ledger.Account
	Class   ledger.Class
	Object  string
	// From and Until bound when the bytes came or went.
	From, Until time.Time
}

// Entry is an entry with its place in the ledger.
type Entry struct {
	ledger.Entry
	// ID rises with every entry of the ledger, with gaps.
	ID       int64
	BookedAt time.Time
}

// mostWalked is how many entries a page reads at most to find those that match: some 20 ms.
const mostWalked = 20_000

// Entries lists entries, the last booked first, and where the next page begins: 0 when
// there is none. before is where the page begins, 0 for the first. A page of entries that
// are few among others may hold fewer than limit, or none, before the end.
func (db *DB) Entries(ctx context.Context, workspace string, f EntryFilter, before int64, limit int) (page []Entry, next int64, err error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	t := transaction{name: "Entries", single: true, workspaces: []string{workspace}}
	t.do = func(ctx context.Context, q *queries.Queries) error {
		rows, walked, err := listEntries(ctx, q, workspace, f, before, limit+1)
		if err != nil {
			return err
		}
		page, next = make([]Entry, 0, len(rows)), walked
		for i, r := range rows {
			if i == limit {
				next = page[limit-1].ID
				break
			}
			page = append(page, Entry{
				ID: r.ID, BookedAt: r.BookedAt.UTC(),
				Entry: ledger.Entry{
					Workspace: r.Workspace, Journal: r.Journal, Account: ledger.Account(r.Account), Class: ledger.Class(r.Class),
					Object: r.Object, At: r.At.UTC(), Bytes: r.Bytes,
				},
			})
		}
		return nil
	}
	return page, next, db.read(ctx, t)
}

// listEntries returns the first entries that match, and the last one that was read where
// there may be more behind it.
func listEntries(ctx context.Context, q *queries.Queries, workspace string, f EntryFilter, before int64, rows int) (found []*queries.StowageEntry, walked int64, err error) {
	switch {
	case f.Object != "":
		found, err = q.ListEntriesOfObject(ctx, queries.ListEntriesOfObjectParams{
			Workspace: workspace, Object: f.Object, Before: before, Page: int32(rows),
			Account: optional(string(f.Account)), Class: optional(string(f.Class)), After: optionalTime(f.From), Until: optionalTime(f.Until),
		})
		if err != nil {
			return nil, 0, fmt.Errorf("list entries of an object: %w", err)
		}
		return found, 0, nil
	case f != EntryFilter{}:
		return filterEntries(ctx, q, workspace, f, before, rows)
	}
	found, err = q.ListEntries(ctx, queries.ListEntriesParams{Workspace: workspace, Before: before, Page: int32(rows)})
	if err != nil {
		return nil, 0, fmt.Errorf("list entries: %w", err)
	}
	return found, 0, nil
}

// filterEntries walks the entries of a class, the adjustments, or all of a workspace: what
// an index holds by id. What else is asked for is picked from those.
func filterEntries(ctx context.Context, q *queries.Queries, workspace string, f EntryFilter, before int64, rows int) (found []*queries.StowageEntry, walked int64, err error) {
	list, err := q.FilterEntries(ctx, queries.FilterEntriesParams{
		Workspace: workspace, Before: before, Page: int32(rows), Walk: mostWalked,
		Class: optional(string(f.Class)), Adjustments: f.Account == ledger.Adjusted || f.Account == ledger.Allowance,
		Account: optional(string(f.Account)), After: optionalTime(f.From), Until: optionalTime(f.Until),
	})
	if err != nil {
		return nil, 0, fmt.Errorf("filter entries: %w", err)
	}
	for _, r := range list {
		if r.Cut {
			walked = r.ID
		}
		if r.Matches {
			found = append(found, &queries.StowageEntry{
				ID: r.ID, Workspace: r.Workspace, Journal: r.Journal, Account: r.Account, Class: r.Class,
				Object: r.Object, At: r.At, Bytes: r.Bytes, BookedAt: r.BookedAt,
			})
		}
	}
	return found, walked, nil
}

// Statement draws up what a workspace held over a period, up to a time, and what it costs.
func (db *DB) Statement(ctx context.Context, workspace string, p ledger.Period, through time.Time) (ledger.Statement, error) {
	var statement ledger.Statement
	t := transaction{name: "Statement", begin: snapshot, workspaces: []string{workspace}}
	t.do = func(ctx context.Context, q *queries.Queries) error {
		prices, err := readPrices(ctx, q)
		if err != nil {
			return err
		}
		spans := prices.Spans(ledger.Span{Start: p.Start, End: through})
		sums, err := sumSpans(ctx, q, workspace, spans)
		if err != nil {
			return err
		}
		statement = ledger.Draw(workspace, p, through, prices, sums)
		return nil
	}
	return statement, db.read(ctx, t)
}

func readPrices(ctx context.Context, q *queries.Queries) (ledger.Prices, error) {
	rows, err := q.ListPrices(ctx)
	if err != nil {
		return ledger.Prices{}, fmt.Errorf("list prices: %w", err)
	}
	list := make([]ledger.Price, len(rows))
	for i, r := range rows {
		list[i] = ledger.Price{Class: ledger.Class(r.Class), Currency: r.Currency, From: r.ValidFrom.UTC(), PicosPerGiBHour: r.PicosPerGibHour}
	}
	return ledger.NewPrices(list)
}

func sumSpans(ctx context.Context, q *queries.Queries, workspace string, spans []ledger.Span) ([]ledger.Sums, error) {
	in := queries.SumQuartersParams{Workspace: workspace}
	for i, s := range spans {
		in.Spans = append(in.Spans, int64(i))
		in.FromQuarters = append(in.FromQuarters, ledger.QuarterOf(s.Start))
		in.ToQuarters = append(in.ToQuarters, ledger.QuarterOf(s.End))
	}
	rows, err := q.SumQuarters(ctx, in)
	if err != nil {
		return nil, fmt.Errorf("sum up quarters: %w", err)
	}
	sums := make([]ledger.Sums, len(rows))
	for i, r := range rows {
		sums[i] = ledger.Sums{Class: ledger.Class(r.Class), Basis: ledger.Basis(r.Basis), Span: spans[r.Span]}
		for _, sum := range []struct {
			what, text string
			into       **big.Int
		}{{"balance", r.Opening, &sums[i].Opening}, {"movements", r.Within, &sums[i].Within}, {"moment", r.Moment, &sums[i].Moment}} {
			n, ok := new(big.Int).SetString(sum.text, 10)
			if !ok {
				return nil, fmt.Errorf("%s of %s is no integer", sum.what, r.Class)
			}
			*sum.into = n
		}
	}
	return sums, nil
}
