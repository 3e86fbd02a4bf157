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
	var left int
	must(t, admin.QueryRow(t.Context(), "SELECT count(*) FROM stowage.loose_words").Scan(&left))
	if left > 0 {
		t.Errorf("%d words are still to be looked up", left)
	}
}

// TestWordsAreForgottenBitByBit: what is too much for one transaction is left for the next.
func TestWordsAreForgottenBitByBit(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, admin := d.Open(t, pgtest.Writer), d.Admin(t)
	var names []string
	for n := range 1200 {
		names = append(names, "word"+strings.Map(func(r rune) rune { return r - '0' + 'a' }, fmt.Sprintf("%04d", n)))
	}
	put(t, writer, document("alpha", "01", 1, "A", strings.Join(names, " ")))
	put(t, writer, purged("alpha", "01", 2))
	var left []int
	for n := int64(1); n < 4; n++ {
		left = append(left, len(known(t, admin, "alpha")))
		put(t, writer, document("alpha", "02", n, "A", "1"))
	}
	if want := []int{700, 200, 0}; !slices.Equal(left, want) {
		t.Errorf("known are %v, want %v", left, want)
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

// TestWordsInARace: while one transaction is about to forget a word, another one adds a
// document with it, and the other way round. Either is held until the other has committed.
func TestWordsInARace(t *testing.T) {
	t.Parallel()
	const adds = `INSERT INTO stowage.documents (workspace, object, rev, version, state, path, parent, content_type, size, updated_at, tags, name_words, tag_words, meta_words)
		VALUES ('alpha', '02', 1, 'A', 'available', 'smithers', '', '', 1, now(), '{}', 'smithers', '', '')`
	const purges = `UPDATE stowage.documents SET rev = 2, state = 'purged', path = '', name_words = '' WHERE object = '01'`
	for name, tc := range map[string]struct {
		first string
		then  search.Document
		want  []string
	}{
		"added, then purged":  {adds, purged("alpha", "01", 2), []string{"smithers"}},
		"purged, then added":  {purges, document("alpha", "02", 1, "A", "smithers"), []string{"smithers"}},
		"purged, then purged": {purges, purged("alpha", "03", 2), nil},
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
			for _, sql := range []string{"SELECT stowage.enter('{alpha}')", tc.first, "SELECT stowage.keep_words('{alpha}', '{02}', '{1}', '{smithers}', 100)"} {
				_, err = tx.Exec(t.Context(), sql)
				must(t, err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := writer.Book(t.Context(), nil, toDocs(tc.then))
				done <- err
			}()
			waited := waitsForALock(t, admin, d.Name, done)
			must(t, tx.Commit(t.Context()))
			if !waited {
				t.Error("the second did not wait for the first")
			} else {
				must(t, <-done)
			}
			if got := known(t, admin, "alpha"); !slices.Equal(got, tc.want) {
				t.Errorf("known are %q, want %q", got, tc.want)
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
