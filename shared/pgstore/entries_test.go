package pgstore_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

// TestStatementOfAnyBalance: what objects hold is not bound, so sums may be larger than any
// of the entries.
func TestStatementOfAnyBalance(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	var facts []ledger.Fact
	for o := range 3 {
		facts = append(facts, fact("alpha", fmt.Sprintf("O%d", o), 1, 0, 1<<62, ledger.Standard))
	}
	if _, err := writer.Book(t.Context(), facts, nil); err != nil {
		t.Fatal(err)
	}
	// Once the bytes move within the period, once they are there when it begins.
	for _, from := range []time.Time{at(-10_000_000), at(10_000_000)} {
		s := statementOf(t, db, "alpha", from, at(100_000_000))
		if len(s.Lines) != 1 {
			t.Fatalf("lines are %+v", s.Lines)
		}
		begin := max(s.Period.Start.UnixMilli(), at(0).UnixMilli())
		held := ledger.Held(1<<62, time.Duration(s.Through.UnixMilli()-begin)*time.Millisecond)
		if want := held.Add(held).Add(held); !s.Lines[0].Total().Equal(want) {
			t.Errorf("from %s: %s byte-ms, want %s", from, s.Lines[0].Total().ByteMillis(), want.ByteMillis())
		}
	}
}

// fill inserts entries of a workspace: the first happened in 2020 and is of another class.
func fill(tb testing.TB, admin *pgx.Conn, ws string, entries int) {
	tb.Helper()
	_, err := admin.Exec(tb.Context(), `INSERT INTO stowage.entries (workspace, journal, account, class, object, at, bytes)
		SELECT $1, 'J' || n / 2, CASE n % 2 WHEN 0 THEN 'stored' ELSE 'supply' END, CASE n / 2 WHEN 0 THEN 'GLACIER' ELSE 'STANDARD' END, 'O' || n / 2,
			CASE n WHEN 0 THEN '2020-01-01Z' ELSE '2026-01-01Z'::timestamptz + n * interval '1 second' END, 1 - 2 * (n % 2)
		FROM generate_series(0, $2::int - 1) n ORDER BY n`, ws, entries)
	if err != nil {
		tb.Fatal(err)
	}
}

// TestFilteredPagesAreBounded: what is rare is found, however many entries there are, by
// pages each of which reads no more than some.
func TestFilteredPagesAreBounded(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db, admin := d.Open(t, pgtest.API), d.Admin(t)
	const most = 20_000
	old := pgstore.EntryFilter{Until: time.Date(2021, 1, 1, 0, 0, 0, 0, time.UTC)}
	for _, tc := range []struct{ entries, pages int }{{most - 2, 1}, {most, 2}, {most + 2, 2}, {2*most + 2, 3}} {
		ws := fmt.Sprintf("of-%d", tc.entries)
		fill(t, admin, ws, tc.entries)
		found, pages := 0, 0
		for before := int64(0); ; {
			page, next, err := db.Entries(t.Context(), ws, old, before, 10)
			if err != nil {
				t.Fatal(err)
			}
			found, pages = found+len(page), pages+1
			if before = next; next == 0 {
				break
			}
		}
		if found != 1 || pages != tc.pages {
			t.Errorf("of %d entries %d were found in %d pages, want 1 in %d", tc.entries, found, pages, tc.pages)
		}
		page, next, err := db.Entries(t.Context(), ws, pgstore.EntryFilter{Class: ledger.Glacier}, 0, 10)
		if err != nil || len(page) != 2 || next != 0 {
			t.Errorf("of a rare class %d were found, next is %d, %v, want all on one page", len(page), next, err)
		}
	}
}

// TestFiltersUseIndexes: of 100,000 entries none is read in vain for a rare class or for
// adjustments.
func TestFiltersUseIndexes(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	admin := d.Admin(t)
	fill(t, admin, "alpha", 100_000)
	if _, _, err := d.Open(t, pgtest.API).Adjust(t.Context(), adjustment("A1", 5), key("k")); err != nil {
		t.Fatal(err)
	}
	if _, err := admin.Exec(t.Context(), "ANALYZE stowage.entries"); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		filter pgstore.EntryFilter
		index  string
	}{
		{pgstore.EntryFilter{}, "entries_pkey"},
		{pgstore.EntryFilter{Class: ledger.Glacier}, "entries_of_class"},
		{pgstore.EntryFilter{Class: ledger.Glacier, Account: ledger.Stored}, "entries_of_class"},
		{pgstore.EntryFilter{Account: ledger.Adjusted}, "entries_of_adjustments"},
		{pgstore.EntryFilter{Account: ledger.Allowance, From: at(0)}, "entries_of_adjustments"},
		{pgstore.EntryFilter{From: at(0), Until: at(1)}, "entries_pkey"},
	} {
		plan := planOf(t, d, tc.filter)
		if !strings.Contains(plan, "using "+tc.index+" on entries") || strings.Contains(plan, "Sort") || strings.Contains(plan, "Seq Scan") {
			t.Errorf("%+v is not served by %s alone:\n%s", tc.filter, tc.index, plan)
		}
	}
}

// planOf returns the plan of what is sent for a filter, as it is sent.
func planOf(t *testing.T, d *pgtest.Database, f pgstore.EntryFilter) string {
	t.Helper()
	var sql string
	var args []any
	cfg := d.Config(pgtest.API)
	cfg.Watch = func(s string, a []any) {
		if strings.Contains(s, "stowage.entries") {
			sql, args = s, a
		}
	}
	if _, _, err := pgtest.Open(t, cfg).Entries(t.Context(), "alpha", f, 0, 100); err != nil {
		t.Fatal(err)
	}
	tx := asRole(t, d, pgtest.API)
	rows, err := tx.Query(t.Context(), "EXPLAIN "+sql, append([]any{pgx.QueryExecModeExec}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}
