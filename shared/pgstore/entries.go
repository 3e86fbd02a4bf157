package pgstore

import (
	"context"
	"fmt"
	"math"
	"math/big"
	"strconv"
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

// Entries lists entries, the last booked first, and where the next page begins: 0 when
// there is none. before is where the page begins, 0 for the first.
func (db *DB) Entries(ctx context.Context, workspace string, f EntryFilter, before int64, limit int) (page []Entry, next int64, err error) {
	if before <= 0 {
		before = math.MaxInt64
	}
	t := transaction{name: "Entries", single: true, workspaces: []string{workspace}}
	t.do = func(ctx context.Context, q *queries.Queries) error {
		rows, err := listEntries(ctx, q, workspace, f, before, limit+1)
		if err != nil {
			return err
		}
		page, next = make([]Entry, 0, len(rows)), 0
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

func listEntries(ctx context.Context, q *queries.Queries, workspace string, f EntryFilter, before int64, rows int) ([]*queries.StowageEntry, error) {
	all := queries.ListEntriesParams{
		Workspace: workspace, Before: before, Page: int32(rows),
		Account: optional(string(f.Account)), Class: optional(string(f.Class)), After: optionalTime(f.From), Until: optionalTime(f.Until),
	}
	if f.Object == "" {
		found, err := q.ListEntries(ctx, all)
		if err != nil {
			return nil, fmt.Errorf("list entries: %w", err)
		}
		return found, nil
	}
	found, err := q.ListEntriesOfObject(ctx, queries.ListEntriesOfObjectParams{
		Workspace: all.Workspace, Object: f.Object, Before: all.Before, Page: all.Page,
		Account: all.Account, Class: all.Class, After: all.After, Until: all.Until,
	})
	if err != nil {
		return nil, fmt.Errorf("list entries of an object: %w", err)
	}
	return found, nil
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
		sums[i] = ledger.Sums{Class: ledger.Class(r.Class), Basis: ledger.Basis(r.Basis), Span: spans[r.Span], Moment: new(big.Int)}
		if sums[i].Opening, err = strconv.ParseInt(r.Opening, 10, 64); err != nil {
			return nil, fmt.Errorf("balance of %s: %w", r.Class, err)
		}
		if sums[i].Within, err = strconv.ParseInt(r.Within, 10, 64); err != nil {
			return nil, fmt.Errorf("movements of %s: %w", r.Class, err)
		}
		if _, ok := sums[i].Moment.SetString(r.Moment, 10); !ok {
			return nil, fmt.Errorf("moment of %s is no integer", r.Class)
		}
	}
	return sums, nil
}
