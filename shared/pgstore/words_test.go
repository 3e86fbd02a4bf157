package pgstore_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/migrate"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
	"github.com/stowage-dev/stowage/shared/search"
)

func known(tb testing.TB, admin *pgx.Conn, workspace string) []string {
	tb.Helper()
	rows, err := admin.Query(tb.Context(), "SELECT word FROM stowage.words WHERE workspace = $1 ORDER BY word", workspace)
	must(tb, err)
	words, err := pgx.CollectRows(rows, pgx.RowTo[string])
	must(tb, err)
	return words
}

func put(tb testing.TB, db *pgstore.DB, docs ...search.Document) {
	tb.Helper()
	if _, err := db.Book(tb.Context(), nil, docs); err != nil {
		tb.Fatal(err)
	}
}

// purged is what the projector makes of the event of a purge.
func purged(ws, object string, rev int64) search.Document {
	return search.Document{Workspace: ws, Object: object, Rev: rev, State: search.Purged, UpdatedAt: at(rev)}
}

// TestWordsAreForgotten: a word is known as long as an available document has it.
func TestWordsAreForgotten(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db, admin := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API), d.Admin(t)
	expect := func(step string, want ...string) {
		t.Helper()
		slices.Sort(want)
		if diff := cmp.Diff(want, known(t, admin, "alpha")); diff != "" {
			t.Errorf("%s (-want +got):\n%s", step, diff)
		}
	}
	text := "gladly" // of a text no word is known
	dismissal, invoice := document("alpha", "01", 1, "A", "dismissal smithers"), document("alpha", "02", 1, "A", "invoice smithers")
	dismissal.Tags, dismissal.Body = map[string]string{"kind": "letter"}, &text
	put(t, writer, dismissal, invoice, document("beta", "03", 1, "A", "dismissal invoice"))
	expect("first", "dismissal", "smithers", "kind", "letter", "invoice")

	renamed := document("alpha", "02", 2, "A", "invoices 2026")
	renamed.Metadata = map[string]string{"author": "smithers"} // by which nothing is corrected
	put(t, writer, renamed)
	expect("renamed away from a word that another one has", "dismissal", "smithers", "kind", "letter", "invoices")
	retagged := dismissal
	retagged.Rev, retagged.Tags, retagged.Body = 2, nil, nil
	put(t, writer, retagged)
	expect("a tag less", "dismissal", "smithers", "invoices")

	deleted := retagged
	deleted.Rev, deleted.State = 3, "deleted"
	put(t, writer, deleted)
	expect("deleted", "invoices")
	undeleted := retagged
	undeleted.Rev = 4
	put(t, writer, undeleted)
	expect("undeleted", "dismissal", "smithers", "invoices")

	put(t, writer, purged("alpha", "01", 5))
	expect("purged", "invoices")
	meant, err := db.Nearest(t.Context(), "alpha", []string{"smiters"})
	if err != nil || len(meant) > 0 {
		t.Errorf("of what is gone is still known: %v, %v", meant, err)
	}
	put(t, writer, retagged, undeleted)
	expect("events that come late", "invoices")
	put(t, writer, document("alpha", "04", 1, "A", "letters"), purged("alpha", "02", 3))
	expect("one comes, another goes", "letters")
	if diff := cmp.Diff([]string{"dismissal", "invoice"}, known(t, admin, "beta")); diff != "" {
		t.Errorf("of another workspace (-want +got):\n%s", diff)
	}
	if left := looseWords(t, admin); left > 0 {
		t.Errorf("%d words are still to be looked up", left)
	}
}

func looseWords(tb testing.TB, admin *pgx.Conn) int {
	tb.Helper()
	var n int
	must(tb, admin.QueryRow(tb.Context(), "SELECT count(*) FROM stowage.loose_words").Scan(&n))
	return n
}

// TestForgettingHoldsUpNothing: however long it takes to look up words, and whoever else is
// at it, what is to be booked is booked, and every time some more words are looked up.
func TestForgettingHoldsUpNothing(t *testing.T) {
	t.Parallel()
	const look = `CREATE OR REPLACE FUNCTION stowage.has_word(in_workspace text, in_word text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN %s; RETURN false; END $$`
	for name, tc := range map[string]struct {
		look              string
		workspaces, words int
		times             int
	}{
		"many workspaces with many words": {"PERFORM pg_sleep(0.01)", 20, 500, 3},
		"look-ups that take for ever":     {"PERFORM pg_sleep(60)", 2, 3, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			admin := d.Admin(t)
			for _, sql := range []string{
				fmt.Sprintf(look, tc.look),
				fmt.Sprintf("INSERT INTO stowage.loose_words SELECT 'ws-' || w, 'word' || n FROM generate_series(1, %d) w, generate_series(1, %d) n", tc.workspaces, tc.words),
			} {
				_, err := admin.Exec(t.Context(), sql)
				must(t, err)
			}
			cfg := d.Config(pgtest.Writer)
			cfg.Forgetting = 2 * time.Second
			writer := pgtest.Open(t, cfg)
			left := looseWords(t, admin)
			for rev := range int64(tc.times) {
				var docs []search.Document
				for ws := range tc.workspaces {
					docs = append(docs, document(fmt.Sprintf("ws-%d", ws+1), "01", rev+1, "A", "hello"))
				}
				begun := time.Now()
				done, err := writer.Book(t.Context(), nil, docs)
				if took := time.Since(begun); err != nil || done.Unforgotten != nil || took > 12*time.Second {
					t.Fatalf("booked in %s: %v, %v", took, err, done.Unforgotten)
				}
				was := left
				if left = looseWords(t, admin); left >= was {
					t.Errorf("%d words are to be looked up, as many as before", left)
				}
			}
		})
	}
}

// TestForgettingFails: that words cannot be looked up is told, and what is booked is booked.
func TestForgettingFails(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, admin := d.Open(t, pgtest.Writer), d.Admin(t)
	put(t, writer, document("alpha", "01", 1, "A", "smithers"))
	_, err := admin.Exec(t.Context(), "CREATE OR REPLACE FUNCTION stowage.has_word(in_workspace text, in_word text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no'; END $$")
	must(t, err)
	done, err := writer.Book(t.Context(), []ledger.Fact{fact("alpha", "01", 2, 0, 0, ledger.Standard)}, toDocs(purged("alpha", "01", 2)))
	if err != nil || done.Applied != 1 || done.Unforgotten == nil || looseWords(t, admin) != 1 {
		t.Errorf("booked %+v, %v", done, err)
	}
}

// TestWordsOfBefore: what the version before left behind is forgotten after the migration.
func TestWordsOfBefore(t *testing.T) {
	t.Parallel()
	d := pgtest.NewAt(t, pgtest.Shared(), 2)
	admin := d.Admin(t)
	_, err := admin.Exec(t.Context(), "INSERT INTO stowage.words VALUES ('alpha', 'smithers'), ('alpha', 'invoice'), ('beta', 'smithers')")
	must(t, err)
	_, err = migrate.Run(t.Context(), d.Config(pgtest.Master), slog.New(slog.DiscardHandler))
	must(t, err)
	put(t, d.Open(t, pgtest.Writer), document("alpha", "01", 1, "A", "invoice letter"))
	for ws, want := range map[string][]string{"alpha": {"invoice", "letter"}, "beta": {"smithers"}} { // beta has no event yet
		if got := known(t, admin, ws); !slices.Equal(got, want) {
			t.Errorf("known in %s are %q, want %q", ws, got, want)
		}
	}
}

// TestWordsInARace: while one transaction forgets a word, another one adds a document with
// it, in every order of their steps. Who adds waits for who forgets, who forgets for nobody.
func TestWordsInARace(t *testing.T) {
	t.Parallel()
	const (
		puts = `INSERT INTO stowage.documents (workspace, object, rev, version, state, path, parent, content_type, size, updated_at, tags, name_words, tag_words, meta_words)
			VALUES ('alpha', '02', 1, 'A', 'available', 'smithers', '', '', 1, now(), '{}', 'smithers', '', '')`
		adds    = "SELECT stowage.add_words('{alpha}', '{02}', '{1}', '{smithers}')"
		purges  = `UPDATE stowage.documents SET rev = 2, state = 'purged', path = '', name_words = '' WHERE object = '01'`
		forgets = "SELECT stowage.forget_words(60000)"
	)
	other := document("alpha", "02", 1, "A", "smithers")
	for name, tc := range map[string]struct {
		before []string // what one transaction does first
		then   search.Document
		waits  bool
		after  []string // what it does before it commits
		want   []string
	}{
		"added, then purged":              {[]string{puts, adds}, purged("alpha", "01", 2), false, nil, []string{"smithers"}},
		"put, then purged, then added":    {[]string{puts}, purged("alpha", "01", 2), false, []string{adds}, []string{"smithers"}},
		"purged, then added":              {[]string{purges}, other, false, []string{adds}, []string{"smithers"}},
		"forgotten, then added":           {[]string{purges, forgets}, other, true, nil, []string{"smithers"}},
		"purged, then purged":             {[]string{purges, adds}, purged("alpha", "03", 2), false, nil, nil},
		"purged, then purged, then added": {[]string{purges}, purged("alpha", "03", 2), false, []string{adds}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			writer, admin := d.Open(t, pgtest.Writer), d.Admin(t)
			docs := []search.Document{document("alpha", "01", 1, "A", "smithers")}
			if tc.want == nil {
				docs = append(docs, document("alpha", "03", 1, "A", "smithers"))
			}
			put(t, writer, docs...)
			tx, err := d.Admin(t).Begin(t.Context())
			must(t, err)
			run := func(statements ...string) {
				for _, sql := range statements {
					_, err := tx.Exec(t.Context(), sql)
					must(t, err)
				}
			}
			run("SELECT stowage.enter('{alpha}')")
			run(tc.before...)
			done := make(chan error, 1)
			go func() {
				_, err := writer.Book(t.Context(), nil, toDocs(tc.then))
				done <- err
			}()
			waited := waitsForALock(t, admin, d.Name, done)
			if waited != tc.waits {
				t.Errorf("the second waited: %t, want %t", waited, tc.waits)
			}
			run(tc.after...)
			must(t, tx.Commit(t.Context()))
			if waited {
				must(t, <-done)
			}
			put(t, writer, document("alpha", "later", 1, "A", "1"))
			if got := known(t, admin, "alpha"); !slices.Equal(got, tc.want) || looseWords(t, admin) > 0 {
				t.Errorf("known are %q, want %q; %d are to be looked up", got, tc.want, looseWords(t, admin))
			}
		})
	}
}

// waitsForALock reports whether somebody of a database waits before done is.
func waitsForALock(t *testing.T, admin *pgx.Conn, database string, done <-chan error) bool {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		var waits bool
		must(t, admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = $1 AND wait_event_type = 'Lock')", database).Scan(&waits))
		if waits {
			return true
		}
		select {
		case err := <-done:
			must(t, err)
			return false
		case <-time.After(2 * time.Millisecond):
		}
	}
}

// TestWordsAreThoseOfDocuments: however competing writers put documents, the words are those
// of the documents that are available in the end.
func TestWordsAreThoseOfDocuments(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, admin := d.Open(t, pgtest.Writer), d.Admin(t)
	words := []string{"alligator", "buffalo", "crocodile", "dromedary"}
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		ws := fmt.Sprintf("run-%d", run)
		latest := map[string]search.Document{}
		errs := make(chan error)
		writers := rapid.IntRange(2, 4).Draw(rt, "writers")
		for w := range writers {
			var all [][]search.Document // of objects of its own, one after the other
			for rev := range rapid.Int64Range(1, 4).Draw(rt, "revs") {
				var docs []search.Document
				for o := range rapid.IntRange(1, 2).Draw(rt, "objects") {
					doc := document(ws, fmt.Sprintf("%d-%d", w, o), rev+1, "A", strings.Join(rapid.SliceOfNDistinct(rapid.SampledFrom(words), 1, 2, rapid.ID).Draw(rt, "name"), " "))
					switch rapid.IntRange(0, 3).Draw(rt, "fate") {
					case 0:
						doc = purged(ws, doc.Object, doc.Rev)
					case 1:
						doc.State = "deleted"
					default:
					}
					docs = append(docs, doc)
					latest[doc.Object] = doc
				}
				all = append(all, docs)
			}
			go func() {
				for _, docs := range all {
					if _, err := writer.Book(t.Context(), nil, docs); err != nil {
						errs <- err
						return
					}
				}
				errs <- nil
			}()
		}
		for range writers {
			if err := <-errs; err != nil {
				rt.Error(err)
			}
		}
		put(t, writer, document(ws, "later", 1, "A", "1")) // competing writers leave words to look up
		var want []string
		for _, doc := range latest {
			if doc.State == "available" {
				want = append(want, doc.KnownWords()...)
			}
		}
		slices.Sort(want)
		if diff := cmp.Diff(slices.Compact(want), known(t, admin, ws)); diff != "" && len(want)+len(known(t, admin, ws)) > 0 {
			rt.Fatalf("words (-want +got):\n%s", diff)
		}
	})
}
