package pgstore_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/migrations"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
	"github.com/stowage-dev/stowage/shared/search"
)

func toDocs(docs ...search.Document) []search.Document { return docs }

func parse(tb testing.TB, text string) search.Query {
	tb.Helper()
	q, err := search.Parse(text)
	if err != nil {
		tb.Fatal(err)
	}
	return q
}

func found(tb testing.TB, db *pgstore.DB, text string, f pgstore.FindFilter) []string {
	tb.Helper()
	hits, _, err := db.Find(tb.Context(), "alpha", parse(tb, text), f, nil, 100)
	if err != nil {
		tb.Fatal(err)
	}
	var paths []string
	for _, h := range hits {
		paths = append(paths, h.Path)
	}
	return paths
}

func TestFind(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	text := "The quarterly figures were higher than those of <b>last</b> year, said the accountants."
	report := document("alpha", "01", 1, "A", "finance/annualReport2026.txt")
	report.Parent, report.Body, report.Size = "finance", &text, 500
	tagged := document("alpha", "02", 1, "A", "finance/2025/q3.pdf")
	tagged.Parent, tagged.ContentType = "finance/2025", "application/pdf"
	tagged.Tags = map[string]string{"kind": "report", "department": "finance"}
	meta := document("alpha", "03", 1, "A", "pictures/beach.jpeg")
	meta.Parent, meta.ContentType, meta.Metadata = "pictures", "image/jpeg", map[string]string{"author": "Zoë Report"}
	deleted := document("alpha", "04", 1, "A", "finance/old report.txt")
	deleted.State = "deleted"
	other := document("beta", "05", 1, "A", "report.txt")
	if _, err := writer.Book(t.Context(), nil, toDocs(report, tagged, meta, deleted, other)); err != nil {
		t.Fatal(err)
	}
	size := int64(100)
	for _, tc := range []struct {
		query  string
		filter pgstore.FindFilter
		want   []string
	}{
		{"report", pgstore.FindFilter{}, []string{report.Path, tagged.Path, meta.Path}}, // name, then tag, then metadata
		{"annualreport2026", pgstore.FindFilter{}, []string{report.Path}},
		{"quarterly accountant", pgstore.FindFilter{}, []string{report.Path}}, // stemmed, in the text
		{`"quarterly figures"`, pgstore.FindFilter{}, []string{report.Path}},
		{`"figures quarterly"`, pgstore.FindFilter{}, nil},
		{"report -beach", pgstore.FindFilter{}, []string{report.Path, tagged.Path}},
		{"beach OR quarterly", pgstore.FindFilter{}, []string{meta.Path, report.Path}},
		{"zoë", pgstore.FindFilter{}, []string{meta.Path}},
		{"ZOË", pgstore.FindFilter{}, []string{meta.Path}},
		{"report", pgstore.FindFilter{Folder: "finance"}, []string{report.Path, tagged.Path}},
		{"report", pgstore.FindFilter{Folder: "fin"}, nil},
		{"report", pgstore.FindFilter{ContentType: "image/*"}, []string{meta.Path}},
		{"report", pgstore.FindFilter{ContentType: "application/pdf"}, []string{tagged.Path}},
		{"report", pgstore.FindFilter{Tags: map[string]string{"department": "finance"}}, []string{tagged.Path}},
		{"report", pgstore.FindFilter{MinSize: &size}, []string{report.Path}},
		{"report", pgstore.FindFilter{MaxSize: &size}, []string{tagged.Path, meta.Path}},
		{"report", pgstore.FindFilter{After: at(2)}, nil},
		{"report", pgstore.FindFilter{Before: at(1)}, nil},
	} {
		got := found(t, db, tc.query, tc.filter)
		want := slices.Clone(tc.want)
		slices.Sort(got)
		slices.Sort(want)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s %+v:\n%s", tc.query, tc.filter, diff)
		}
	}
	if got := found(t, db, "report", pgstore.FindFilter{}); !slices.Equal(got, []string{report.Path, tagged.Path, meta.Path}) {
		t.Errorf("ranked %q", got)
	}

	hits, _, err := db.Find(t.Context(), "alpha", parse(t, "quarterly 2026"), pgstore.FindFilter{}, nil, 10)
	if err != nil || len(hits) != 1 {
		t.Fatalf("%+v, %v", hits, err)
	}
	name := []search.Piece{{Text: "finance/annualReport"}, {Text: "2026", Match: true}, {Text: ".txt"}}
	if diff := cmp.Diff(name, hits[0].Name); diff != "" {
		t.Error(diff)
	}
	if len(hits[0].Body) < 2 || !slices.Contains(hits[0].Body, search.Piece{Text: "quarterly", Match: true}) {
		t.Errorf("text is %+v", hits[0].Body)
	}
}

func TestFindInPages(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	var docs []search.Document
	for i := range 25 {
		doc := document("alpha", fmt.Sprintf("%02d", i), 1, "A", fmt.Sprintf("report %d", i))
		if i%3 == 0 {
			doc.Tags = map[string]string{"kind": "report"}
		}
		docs = append(docs, doc)
	}
	if _, err := writer.Book(t.Context(), nil, docs); err != nil {
		t.Fatal(err)
	}
	for _, limit := range []int{1, 7, 25} {
		seen := map[string]bool{}
		var from *pgstore.FindPosition
		for {
			hits, next, err := db.Find(t.Context(), "alpha", parse(t, "report"), pgstore.FindFilter{}, from, limit)
			if err != nil {
				t.Fatal(err)
			}
			for _, h := range hits {
				if seen[h.Object] {
					t.Errorf("%s twice in pages of %d", h.Object, limit)
				}
				seen[h.Object] = true
			}
			if from = next; next == nil {
				break
			}
		}
		if len(seen) != 25 {
			t.Errorf("pages of %d hold %d of 25", limit, len(seen))
		}
	}
}

// TestPagesOfACommonWord: where more match than are ranked, all pages are of the same ones,
// whoever else reads a table that does not fit into memory.
func TestPagesOfACommonWord(t *testing.T) {
	t.Parallel()
	server, err := pgtest.Start(t.Context(), t.TempDir(), map[string]string{"fsync": "off", "shared_buffers": "1MB"})
	must(t, err)
	t.Cleanup(func() { _ = server.Close() })
	d := pgtest.NewAt(t, server, migrations.Latest())
	admin := d.Admin(t)
	for _, sql := range []string{
		`INSERT INTO stowage.documents (workspace, object, rev, version, state, path, parent, content_type, size, updated_at, tags, name_words, tag_words, meta_words)
			SELECT 'alpha', to_char(n, '00000'), 1, 'A', 'available', 'report', '', '', 1, now(), '{}', repeat('report ', 1 + n % 7), '', '' FROM generate_series(1, 20000) n`,
		"VACUUM ANALYZE stowage.documents",
	} {
		_, err := admin.Exec(t.Context(), sql)
		must(t, err)
	}
	db := d.Open(t, pgtest.API)
	objects := func() []string {
		var all []string
		var from *pgstore.FindPosition
		for range 60 {
			hits, next, err := db.Find(t.Context(), "alpha", parse(t, "report"), pgstore.FindFilter{}, from, 25)
			must(t, err)
			for _, h := range hits {
				all = append(all, h.Object)
			}
			if from = next; next == nil {
				return all
			}
		}
		t.Fatal("the pages have no end")
		return nil
	}
	first := objects()
	slices.Sort(first)
	if n := len(slices.Compact(slices.Clone(first))); len(first) != 1000 || n != 1000 {
		t.Errorf("the pages hold %d objects, %d different ones, want 1000", len(first), n)
	}
	again := objects()
	slices.Sort(again)
	if !slices.Equal(first, again) {
		t.Error("asked again, the pages hold other objects")
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	if _, err := writer.Book(t.Context(), nil, toDocs(
		document("alpha", "01", 1, "A", "quarterly invoice.pdf"), document("beta", "02", 1, "A", "quartermaster.pdf"))); err != nil {
		t.Fatal(err)
	}
	meant, err := db.Nearest(t.Context(), "alpha", []string{"invioce", "quarterly", "xyzzy", "quartrely"})
	if diff := cmp.Diff(map[string]string{"invioce": "invoice", "quartrely": "quarterly"}, meant); err != nil || diff != "" {
		t.Errorf("%v\n%s", err, diff)
	}
}
