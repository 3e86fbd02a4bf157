package pgstore_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
	"github.com/stowage-dev/stowage/shared/search"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Main(m)) }

func at(ms int64) time.Time { return time.UnixMilli(1_793_000_000_000 + ms).UTC() }

func fact(ws, object string, rev, ms, bytes int64, class ledger.Class) ledger.Fact {
	return ledger.Fact{Workspace: ws, Object: object, Rev: rev, At: at(ms), Class: class, Bytes: bytes}
}

// books are the sums by which two ledgers are the same.
func books(tb testing.TB, admin *pgx.Conn, workspace string) map[string]string {
	tb.Helper()
	rows, err := admin.Query(tb.Context(), `
		SELECT 'entry ' || account || ' ' || class || ' ' || object || ' ' || at, sum(bytes)::text FROM stowage.entries WHERE workspace = $1 GROUP BY account, class, object, at HAVING sum(bytes) <> 0
		UNION ALL SELECT 'quarter ' || class || ' ' || basis || ' ' || quarter, bytes || ' ' || moment FROM stowage.quarters WHERE workspace = $1 AND (bytes <> 0 OR moment <> 0)
		UNION ALL SELECT 'fact ' || object || ' ' || rev, at || ' ' || class || ' ' || bytes FROM stowage.facts WHERE workspace = $1
		UNION ALL SELECT 'holding ' || object, rev || ' ' || at || ' ' || class || ' ' || bytes FROM stowage.holdings WHERE workspace = $1`, workspace)
	if err != nil {
		tb.Fatal(err)
	}
	out := map[string]string{}
	var k, v string
	if _, err := pgx.ForEachRow(rows, []any{&k, &v}, func() error { out[k] = v; return nil }); err != nil {
		tb.Fatal(err)
	}
	return out
}

// TestSameBooksInAnyOrder: events in any order, repeated, in batches of any size and by
// competing writers make the same books.
func TestSameBooksInAnyOrder(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db, admin := d.Open(t, pgtest.Writer), d.Admin(t)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		inOrder, shuffled := fmt.Sprintf("ordered-%d", run), fmt.Sprintf("shuffled-%d", run)
		var facts []ledger.Fact
		for o := range rapid.IntRange(1, 3).Draw(rt, "objects") {
			var ms int64
			for rev := range rapid.Int64Range(1, 6).Draw(rt, "revs") {
				ms += rapid.Int64Range(0, 2_000_000).Draw(rt, "pause")
				facts = append(facts, fact(inOrder, fmt.Sprintf("O%d", o), rev+1, ms,
					rapid.SampledFrom([]int64{0, 1, 100, 1 << 40}).Draw(rt, "bytes"), rapid.SampledFrom(ledger.Classes()[:2]).Draw(rt, "class")))
			}
		}
		for _, f := range facts {
			if _, err := db.Book(t.Context(), []ledger.Fact{f}, nil); err != nil {
				rt.Fatal(err)
			}
		}
		deliveries := rapid.Permutation(append(slices.Clone(facts), facts[:rapid.IntRange(0, len(facts)).Draw(rt, "repeats")]...)).Draw(rt, "order")
		for i := range deliveries {
			deliveries[i].Workspace = shuffled
		}
		errs := make(chan error, len(deliveries))
		batches := 0
		for len(deliveries) > 0 {
			n := rapid.IntRange(1, len(deliveries)).Draw(rt, "batch")
			batch := deliveries[:n]
			deliveries = deliveries[n:]
			batches++
			go func() {
				_, err := db.Book(t.Context(), batch, nil)
				errs <- err
			}()
		}
		for range batches {
			if err := <-errs; err != nil {
				rt.Fatal(err)
			}
		}
		if diff := cmp.Diff(books(t, admin, inOrder), books(t, admin, shuffled)); diff != "" {
			rt.Fatalf("books differ (-in order +shuffled):\n%s", diff)
		}
	})
	check := d.Open(t, pgtest.Checker)
	if off, err := check.Imbalances(t.Context()); err != nil || len(off) > 0 {
		t.Errorf("imbalances: %+v, %v", off, err)
	}
}

func TestBookTellsWhatItDid(t *testing.T) {
	t.Parallel()
	db := pgtest.New(t).Open(t, pgtest.Writer)
	one := fact("alpha", "O", 1, 0, 10, ledger.Standard)
	other := one
	other.Bytes = 11
	for i, tc := range []struct {
		facts []ledger.Fact
		want  pgstore.Booked
	}{
		{nil, pgstore.Booked{}},
		{[]ledger.Fact{one, one}, pgstore.Booked{Applied: 1, Repeated: 1}},
		{[]ledger.Fact{one}, pgstore.Booked{Repeated: 1}},
		{[]ledger.Fact{other}, pgstore.Booked{Repeated: 1, Disputed: []ledger.Fact{other}}},
	} {
		got, err := db.Book(t.Context(), tc.facts, nil)
		if diff := cmp.Diff(tc.want, got); err != nil || diff != "" {
			t.Errorf("%d: %v\n%s", i, err, diff)
		}
	}
}

func document(ws, object string, rev int64, version, path string) search.Document {
	return search.Document{
		Workspace: ws, Object: object, Rev: rev, Version: version, State: "available", Path: path, Parent: "docs",
		ContentType: "text/plain", Size: 10, UpdatedAt: at(rev),
	}
}

// TestDocumentsInAnyOrder: the latest rev is what is found, with the text of its version,
// whichever event brought it.
func TestDocumentsInAnyOrder(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	db, admin := d.Open(t, pgtest.Writer), d.Admin(t)
	text := "the text of version A"
	published, retagged := document("alpha", "O", 1, "A", "a.txt"), document("alpha", "O", 2, "A", "b.txt")
	published.Body = &text
	newer := document("alpha", "O", 3, "B", "b.txt")
	gone := document("alpha", "O", 4, "B", "b.txt")
	gone.State = search.Purged
	for run, tc := range []struct {
		docs []search.Document
		want string
	}{
		{[]search.Document{published, retagged}, "2 A b.txt " + text},
		{[]search.Document{published, retagged, newer}, "3 B b.txt -"},
		{[]search.Document{published, retagged, newer, gone}, "4 B b.txt -"},
	} {
		for n := range 6 {
			ws := fmt.Sprintf("run-%d-%d", run, n)
			docs := slices.Clone(tc.docs)
			rand.Shuffle(len(docs), func(i, j int) { docs[i], docs[j] = docs[j], docs[i] })
			for i := range docs {
				docs[i].Workspace = ws
			}
			if n%2 == 0 {
				if _, err := db.Book(t.Context(), nil, docs); err != nil {
					t.Fatal(err)
				}
			} else {
				for _, doc := range docs {
					if _, err := db.Book(t.Context(), nil, []search.Document{doc}); err != nil {
						t.Fatal(err)
					}
				}
			}
			var got string
			if err := admin.QueryRow(t.Context(), `SELECT rev || ' ' || version || ' ' || path || ' ' || coalesce(body, '-') FROM stowage.documents WHERE workspace = $1`, ws).Scan(&got); err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("%s: %q, want %q", ws, got, tc.want)
			}
		}
	}
}
