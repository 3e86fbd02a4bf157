package pgstore_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

func adjustment(id string, bytes int64) ledger.Adjustment {
	return ledger.Adjustment{
		Workspace: "alpha", ID: id, Class: ledger.Standard, Bytes: bytes, From: at(1000), Reason: "a test",
		BookedBy: "ann", BookedAt: at(10_000_000),
	}
}

func key(name string) pgstore.Key { return pgstore.Key{Name: name, Request: []byte(name)} }

func TestAdjustOnce(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	if _, err := writer.Book(t.Context(), []ledger.Fact{fact("alpha", "O", 1, 0, 100, ledger.Standard)}, nil); err != nil {
		t.Fatal(err)
	}
	first, repeated, err := db.Adjust(t.Context(), adjustment("A1", -60), key("k"))
	if err != nil || repeated || first.ID != "A1" {
		t.Fatalf("%+v, %t, %v", first, repeated, err)
	}
	again, repeated, err := db.Adjust(t.Context(), adjustment("A2", -60), key("k"))
	if err != nil || !repeated || again != first {
		t.Errorf("again: %+v, %t, %v", again, repeated, err)
	}
	if _, _, err := db.Adjust(t.Context(), adjustment("A3", -60), pgstore.Key{Name: "k", Request: []byte("else")}); !fault.Is(err, fault.IdempotencyReused) {
		t.Errorf("another request under the same key: %v", err)
	}
	if _, _, err := db.Adjust(t.Context(), adjustment("A4", -41), key("k4")); !fault.Is(err, fault.Conflict) {
		t.Errorf("more than there is was taken off: %v", err)
	}
	early := adjustment("A5", -1)
	early.From = at(-1_000_000_000)
	if _, _, err := db.Adjust(t.Context(), early, key("k5")); !fault.Is(err, fault.Conflict) {
		t.Errorf("bytes were taken off before there were any: %v", err)
	}
	huge := adjustment("A6", ledger.MaxAdjustmentBytes)
	if _, _, err := db.Adjust(t.Context(), huge, key("k6")); !fault.Is(err, fault.Conflict) {
		t.Errorf("more than the books hold was added: %v", err)
	}
	if off, err := d.Open(t, pgtest.Checker).Imbalances(t.Context()); err != nil || len(off) > 0 {
		t.Errorf("imbalances: %+v, %v", off, err)
	}
}

// TestAdjustmentsAgainstAll: an adjustment that goes on is checked against all that comes
// after its beginning, the present quarter of an hour and what is later included.
func TestAdjustmentsAgainstAll(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	const now = 100_000_000
	day := (24 * time.Hour).Milliseconds()
	type step struct {
		from, until int64 // until is 0 for none
		bytes       int64
		booked      bool
	}
	for name, tc := range map[string]struct {
		facts []ledger.Fact
		steps []step
	}{
		"what was taken off now": {
			[]ledger.Fact{fact("", "O", 1, -5*day, 100, ledger.Standard)},
			[]step{{now, 0, -100, true}, {now - day, 0, -100, false}, {now - day, now - 1_000_000, -100, true}, {now - day, 0, -1, false}},
		},
		"what was purged just now": {
			[]ledger.Fact{fact("", "O", 1, -5*day, 100, ledger.Standard), fact("", "O", 2, now, 40, ledger.Standard)},
			[]step{{now - day, 0, -41, false}, {now - day, 0, -40, true}, {now - 2*day, 0, -1, false}},
		},
		"what is purged by a clock that is ahead": {
			[]ledger.Fact{fact("", "O", 1, -5*day, 100, ledger.Standard), fact("", "O", 2, now+day, 0, ledger.Standard)},
			[]step{{now, 0, -1, false}, {now - day, now, -100, true}},
		},
		"the most that the books hold": {
			nil,
			[]step{
				{now, 0, ledger.MaxAdjustmentBytes, true}, {now - day, 0, ledger.MaxAdjustmentBytes, false}, {now - day, 0, 1, false},
				{now - day, now - 1_000_000, ledger.MaxAdjustmentBytes, true}, {now, 0, -1, true}, {now - 2*day, now - day, ledger.MaxAdjustmentBytes, true},
				{now - day, 0, 1, false}, {now, 0, 1, true}, {now, 0, 1, false},
			},
		},
		"what was added now": {
			[]ledger.Fact{fact("", "O", 1, -5*day, 1, ledger.Standard)},
			[]step{{now, 0, ledger.MaxAdjustmentBytes - 1, true}, {now - day, 0, 1, false}, {now - day, now - 1_000_000, ledger.MaxAdjustmentBytes, false}, {now - day, now - 1_000_000, ledger.MaxAdjustmentBytes - 1, true}},
		},
	} {
		for i := range tc.facts {
			tc.facts[i].Workspace = name
		}
		if _, err := writer.Book(t.Context(), tc.facts, nil); err != nil {
			t.Fatal(err)
		}
		for i, s := range tc.steps {
			a := adjustment(fmt.Sprintf("A%d", i), s.bytes)
			a.Workspace, a.From, a.BookedAt = name, at(s.from), at(now)
			if s.until != 0 {
				a.Until = at(s.until)
			}
			if _, _, err := db.Adjust(t.Context(), a, key(a.ID)); s.booked && err != nil || !s.booked && !fault.Is(err, fault.Conflict) {
				t.Errorf("%s: %d: %+v: %v", name, i, s, err)
			}
		}
		statementOf(t, db, name, at(-6*day), at(now+2*day))
	}
}

// statementOf draws up a statement, which must be possible whatever was booked.
func statementOf(tb testing.TB, db *pgstore.DB, ws string, from, until time.Time) ledger.Statement {
	tb.Helper()
	span := ledger.Span{Start: ledger.QuarterStart(ledger.QuarterOf(from)), End: ledger.QuarterStart(ledger.QuarterOf(until))}
	s, err := db.Statement(tb.Context(), ws, ledger.Period{Span: span}, span.End)
	if err != nil {
		tb.Fatalf("statement of %s: %v", ws, err)
	}
	return s
}

// TestAdjustmentsLikeTheModel: an adjustment is booked if, and only if, the balance stays
// between 0 and the bound at the end of every quarter of an hour that it touches.
func TestAdjustmentsLikeTheModel(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	const quarters, quarter = 8, 900_000
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		ws := fmt.Sprintf("run-%d", run)
		var balance [quarters + 1]int64 // at the end of each quarter, the last from then on
		add := func(from, until int, bytes int64) {
			for q := from; q < until; q++ {
				balance[q] += bytes
			}
		}
		var held int64
		for rev := range rapid.Int64Range(0, 3).Draw(rt, "facts") {
			q, bytes := int(rev)*3, rapid.SampledFrom([]int64{0, 100, 1 << 59}).Draw(rt, "stored")
			if _, err := writer.Book(t.Context(), []ledger.Fact{fact(ws, "O", rev+1, int64(q)*quarter, bytes, ledger.Standard)}, nil); err != nil {
				rt.Fatal(err)
			}
			add(q, len(balance), bytes-held)
			held = bytes
		}
		for i := range rapid.IntRange(1, 8).Draw(rt, "adjustments") {
			a := adjustment(fmt.Sprintf("A%d", i), rapid.SampledFrom([]int64{1, 100, 1 << 59, 1 << 60, -1, -100, -1 << 59}).Draw(rt, "bytes"))
			from := rapid.IntRange(0, quarters-1).Draw(rt, "from")
			until := rapid.IntRange(from+1, len(balance)).Draw(rt, "until")
			a.Workspace, a.From, a.BookedAt = ws, at(int64(from)*quarter+1), at(quarters*quarter)
			if until < len(balance) {
				a.Until = at(int64(until) * quarter)
			}
			good := true
			for _, was := range balance[from:until] {
				is := was + a.Bytes
				good = good && (a.Bytes > 0 || is >= 0) && (a.Bytes < 0 || is <= ledger.MaxAdjustmentBytes)
			}
			if _, _, err := db.Adjust(t.Context(), a, key(a.ID)); good && err != nil || !good && !fault.Is(err, fault.Conflict) {
				rt.Fatalf("%d bytes from %d until %d on balances of %v: %v", a.Bytes, from, until, balance, err)
			}
			if good {
				add(from, until, a.Bytes)
			}
		}
		statementOf(t, db, ws, at(-quarter), at(2*quarters*quarter))
	})
}

// TestConcurrentAdjustments: of adjustments that compete for the same bytes as many are
// booked as there are bytes for, and no more, whenever they begin.
func TestConcurrentAdjustments(t *testing.T) {
	t.Parallel()
	now := adjustment("", 0).BookedAt
	for name, from := range map[string]func(i int) time.Time{
		"at one time":       func(int) time.Time { return at(1000) },
		"now":               func(int) time.Time { return now },
		"now and yesterday": func(i int) time.Time { return now.Add(time.Duration(i%2) * -24 * time.Hour) },
		"each at its time":  func(i int) time.Time { return now.Add(time.Duration(i) * -ledger.Quarter) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			concurrentAdjustments(t, from)
		})
	}
}

func concurrentAdjustments(t *testing.T, from func(i int) time.Time) {
	t.Helper()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	if _, err := writer.Book(t.Context(), []ledger.Fact{fact("alpha", "O", 1, -200_000_000, 100, ledger.Standard)}, nil); err != nil {
		t.Fatal(err)
	}
	const rivals = 20
	var wg sync.WaitGroup
	errs := make([]error, rivals)
	for i := range rivals {
		wg.Go(func() {
			a := adjustment(fmt.Sprintf("A%02d", i), -30)
			a.From = from(i)
			_, _, errs[i] = db.Adjust(t.Context(), a, key(a.ID))
		})
	}
	wg.Wait()
	won := 0
	for _, err := range errs {
		switch {
		case err == nil:
			won++
		case !fault.Is(err, fault.Conflict):
			t.Errorf("%v, want nil or Conflict", err)
		}
	}
	var balance int64
	if err := d.Admin(t).QueryRow(t.Context(), "SELECT sum(bytes) FROM stowage.quarters WHERE workspace = 'alpha'").Scan(&balance); err != nil {
		t.Fatal(err)
	}
	if won != 3 || balance != 10 {
		t.Errorf("%d of %d were booked, %d bytes are left, want 3 and 10", won, rivals, balance)
	}
}

func TestStatement(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		day   string
		hours int64
	}{{"2026-03-29", 23}, {"2026-10-25", 25}, {"2026-06-01", 24}} {
		p, err := ledger.ParsePeriod(tc.day, berlin)
		if err != nil {
			t.Fatal(err)
		}
		ws := "day-" + tc.day
		// 1 GiB from two days before on; 2 GiB more from half an hour before the end.
		facts := []ledger.Fact{
			{Workspace: ws, Object: "O", Rev: 1, At: p.Start.Add(-48 * time.Hour), Class: ledger.Standard, Bytes: 1 << 30},
			{Workspace: ws, Object: "O", Rev: 2, At: p.End.Add(-30 * time.Minute), Class: ledger.Standard, Bytes: 3 << 30},
		}
		if _, err := writer.Book(t.Context(), facts, nil); err != nil {
			t.Fatal(err)
		}
		s, err := db.Statement(t.Context(), ws, p, p.End)
		if err != nil {
			t.Fatal(err)
		}
		want := ledger.Held(1<<30, time.Duration(tc.hours)*time.Hour).Add(ledger.Held(2<<30, 30*time.Minute))
		if len(s.Lines) != 1 || !s.Lines[0].Total().Equal(want) {
			t.Errorf("%s: %+v, want %s byte-ms", tc.day, s.Lines, want.ByteMillis())
		}
		if want := (ledger.Price{PicosPerGiBHour: 31506849}).Cost(want).String(); s.Totals["USD"].String() != want {
			t.Errorf("%s costs %s, want %s", tc.day, s.Totals["USD"], want)
		}
	}
}

func TestEntriesInPages(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	for rev := range int64(7) {
		for _, ws := range []string{"alpha", "beta"} {
			if _, err := writer.Book(t.Context(), []ledger.Fact{fact(ws, "O", rev+1, rev*1000, rev+1, ledger.Standard)}, nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, f := range []pgstore.EntryFilter{{}, {Object: "O"}, {Account: ledger.Stored}, {Account: ledger.Stored, Object: "O", Class: ledger.Standard, From: at(1000), Until: at(5000)}} {
		want := 14
		if f.Account != "" {
			want = 7
		}
		if !f.From.IsZero() {
			want = 4
		}
		for _, limit := range []int{1, 3, 14, 100} {
			var got []pgstore.Entry
			for before := int64(0); ; {
				page, next, err := db.Entries(t.Context(), "alpha", f, before, limit)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, page...)
				if before = next; next == 0 {
					break
				}
			}
			last := int64(1 << 62)
			for _, e := range got {
				if e.ID >= last || e.Workspace != "alpha" {
					t.Errorf("%+v after %d", e, last)
				}
				last = e.ID
			}
			if len(got) != want {
				t.Errorf("%+v in pages of %d: %d entries, want %d", f, limit, len(got), want)
			}
		}
	}
}

// TestBooksCannotBeChanged: not by the functions' roles, and not by the owner either.
func TestBooksCannotBeChanged(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	if _, err := d.Open(t, pgtest.Writer).Book(t.Context(), []ledger.Fact{fact("alpha", "O", 1, 0, 100, ledger.Standard)}, nil); err != nil {
		t.Fatal(err)
	}
	admin := d.Admin(t)
	for _, sql := range []string{
		"UPDATE stowage.entries SET bytes = 1", "DELETE FROM stowage.entries", "TRUNCATE stowage.entries",
		"UPDATE stowage.facts SET bytes = 1", "DELETE FROM stowage.facts", "DELETE FROM stowage.adjustments",
		"INSERT INTO stowage.entries (workspace, journal, account, class, at, bytes) VALUES ('alpha', 'J', 'stored', 'STANDARD', now(), 1)",
		"INSERT INTO stowage.entries (workspace, journal, account, class, at, bytes) VALUES ('alpha', 'J', 'stored', 'STANDARD', now(), 1), ('alpha', 'J', 'supply', 'GLACIER', now(), -1)",
	} {
		if _, err := admin.Exec(t.Context(), sql); err == nil {
			t.Errorf("%s was done", sql)
		}
	}
}

// TestRowLevelSecurity: each role sees the workspaces that its transaction has entered, and
// none without, whatever a query asks for.
func TestRowLevelSecurity(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer := d.Open(t, pgtest.Writer)
	for _, ws := range []string{"alpha", "beta"} {
		doc := document(ws, "O", 1, "A", "secret "+ws+".txt")
		if _, err := writer.Book(t.Context(), []ledger.Fact{fact(ws, "O", 1, 0, 100, ledger.Standard)}, toDocs(doc)); err != nil {
			t.Fatal(err)
		}
	}
	admin := d.Admin(t)
	tables := []string{"facts", "entries", "quarters", "documents", "words"}
	for _, role := range []string{pgtest.Writer, pgtest.API} {
		tx, err := admin.Begin(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tx.Exec(t.Context(), "SET LOCAL ROLE "+role); err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			var n int
			if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM stowage."+table).Scan(&n); err != nil || n != 0 {
				t.Errorf("%s sees %d rows of %s without having entered, %v", role, n, table, err)
			}
		}
		if _, err := tx.Exec(t.Context(), "SELECT stowage.enter(ARRAY['alpha'])"); err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			var own, others int
			if err := tx.QueryRow(t.Context(), "SELECT count(*) FILTER (WHERE workspace = 'alpha'), count(*) FILTER (WHERE workspace <> 'alpha') FROM stowage."+table).Scan(&own, &others); err != nil || own == 0 || others != 0 {
				t.Errorf("%s sees %d own rows and %d others of %s, %v", role, own, others, table, err)
			}
		}
		if role == pgtest.API {
			var n int
			if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM stowage.find('beta', 'secret', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 10, 10, NULL)").Scan(&n); err != nil || n != 0 {
				t.Errorf("find tells of another workspace: %d, %v", n, err)
			}
			if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM stowage.find_objects('beta', '{secret}', '{\"\"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 10, 10, NULL)").Scan(&n); err != nil || n != 0 {
				t.Errorf("find_objects tells of another workspace: %d, %v", n, err)
			}
			if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM stowage.find_objects('alpha', '{secret}', '{\"\"}', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 10, 10, NULL)").Scan(&n); err != nil || n != 1 {
				t.Errorf("find_objects finds %d in the workspace that was entered, %v", n, err)
			}
			if err := tx.QueryRow(t.Context(), "SELECT count(*) FROM stowage.nearest('beta', ARRAY['secrett'])").Scan(&n); err != nil || n != 0 {
				t.Errorf("nearest tells of another workspace: %d, %v", n, err)
			}
		}
		if role == pgtest.Writer {
			var words string
			if _, err := tx.Exec(t.Context(), "SELECT stowage.add_words('{alpha,beta}', '{O,O}', '{1,1}', '{additional,additional}')"); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), "SAVEPOINT s"); err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), "DELETE FROM stowage.words"); err == nil {
				t.Error("the writer deletes words itself")
			}
			if _, err := tx.Exec(t.Context(), "ROLLBACK TO s; RESET ROLE"); err != nil {
				t.Fatal(err)
			}
			if err := tx.QueryRow(t.Context(), "SELECT string_agg(workspace, ' ') FROM stowage.words WHERE word = 'additional'").Scan(&words); err != nil || words != "alpha" {
				t.Errorf("add_words adds to %q, %v", words, err)
			}
			if _, err := tx.Exec(t.Context(), "SET LOCAL ROLE "+role); err != nil {
				t.Fatal(err)
			}
		}
		_, err = tx.Exec(t.Context(), "INSERT INTO stowage.entries (workspace, journal, account, class, at, bytes) VALUES ('beta', 'J', 'stored', 'STANDARD', now(), 1), ('beta', 'J', 'supply', 'STANDARD', now(), -1)")
		if err == nil || !strings.Contains(err.Error(), "row-level security") {
			t.Errorf("%s writes into another workspace: %v", role, err)
		}
		if err := tx.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// TestErrorsQuoteNoRow: what a log gets of a refused row is where it was refused.
func TestErrorsQuoteNoRow(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t).Open(t, pgtest.Writer)
	bad := fact("alpha", "secret-object", 1, 0, -5, ledger.Standard)
	_, err := db.Book(t.Context(), []ledger.Fact{bad}, nil)
	if err == nil || strings.Contains(err.Error(), "secret-object") || !strings.Contains(err.Error(), "facts") {
		t.Errorf("error is %v", err)
	}
	var coded *fault.Error
	if errors.As(err, &coded) {
		t.Errorf("it has the code %s", coded.Code)
	}
	nul := document("alpha", "O", 1, "A", "a\x00b")
	if _, err := db.Book(t.Context(), nil, toDocs(nul)); !fault.Is(err, fault.InvalidArgument) {
		t.Errorf("a NUL: %v", err)
	}
}
