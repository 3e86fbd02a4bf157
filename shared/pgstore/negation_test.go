package pgstore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
	"github.com/stowage-dev/stowage/shared/search"
)

// named are documents with nothing but a name.
func named(paths ...string) []search.Document {
	var docs []search.Document
	for i, path := range paths {
		docs = append(docs, document("alpha", fmt.Sprintf("%03d", i), 1, "A", path))
	}
	return docs
}

func foundSorted(tb testing.TB, db *pgstore.DB, text string) []string {
	tb.Helper()
	paths := found(tb, db, text, pgstore.FindFilter{})
	slices.Sort(paths)
	return paths
}

// TestNegationExcludes: what is not to be there is not, whether it stems, is a stop word or
// stands in a name or in a text.
func TestNegationExcludes(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	docs := named("report", "report draft", "report drafts", "report the", "draft", "report annual running", "memo one", "memo two")
	for path, body := range map[string]string{"memo one": "The drafts of a report were running late.", "memo two": "An annual report of the department."} {
		i := slices.IndexFunc(docs, func(d search.Document) bool { return d.Path == path })
		docs[i].Body = &body
	}
	if _, err := writer.Book(t.Context(), nil, docs); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string][]string{
		"report":                     {"memo one", "memo two", "report", "report annual running", "report draft", "report drafts", "report the"},
		"report -drafts":             {"memo two", "report", "report annual running", "report the"},
		"report -draft":              {"memo two", "report", "report annual running", "report drafts", "report the"},
		"report -the":                {"memo one", "memo two", "report", "report annual running", "report draft", "report drafts"},
		"report -the -drafts":        {"memo two", "report", "report annual running"},
		`report -"annual report"`:    {"memo one", "report", "report annual running", "report draft", "report drafts", "report the"},
		`report -"report drafts"`:    {"memo one", "memo two", "report", "report annual running", "report the"},
		"annual report -draft":       {"memo two", "report annual running"},
		"reports -running":           {"memo two", "report", "report draft", "report drafts", "report the"},
		"the -draft":                 {"report the"},
		"the report -the":            {"memo one", "memo two", "report", "report annual running", "report draft", "report drafts"},
		"the -the":                   nil,
		"draft OR annual -running":   {"draft", "memo one", "memo two", "report draft"},
		"-report OR running -memo":   {"draft", "report annual running"},
		"report -drafts -the OR xyz": {"memo two", "report", "report annual running"},
	} {
		if diff := cmp.Diff(want, foundSorted(t, db, text)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", text, diff)
		}
	}
	// "a -x" finds what a finds, less what x finds.
	operands := []string{"report", "reports", "draft", "drafts", "the", "of", "running", "run", "annual", "memo", `"annual report"`, `"the draft"`, `"report drafts"`}
	for _, a := range operands {
		for _, x := range operands {
			unwanted := foundSorted(t, db, x)
			want := slices.DeleteFunc(foundSorted(t, db, a), func(path string) bool { return slices.Contains(unwanted, path) })
			if got := foundSorted(t, db, a+" -"+x); !slices.Equal(got, want) {
				t.Errorf("%s -%s finds %q, want %q", a, x, got, want)
			}
		}
	}
}

// operand is a word or a phrase, perhaps one that is not to be there.
type operand struct {
	words   []string
	without bool
}

func (o operand) String() string {
	text := `"` + strings.Join(o.words, " ") + `"`
	if o.without {
		return "-" + text
	}
	return text
}

func (o operand) in(words []string) bool {
	for i := range words {
		if len(words)-i >= len(o.words) && slices.Equal(words[i:i+len(o.words)], o.words) {
			return true
		}
	}
	return false
}

// TestFindIsWhatTheQuerySays: with words that English leaves as they are, what is found is
// what a plain reading of the query says.
func TestFindIsWhatTheQuerySays(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	writer, db := d.Open(t, pgtest.Writer), d.Open(t, pgtest.API)
	animals := []string{"kiwi", "lynx", "okapi", "zebu"}
	var docs []search.Document
	words := map[string][]string{}
	add := func(of ...string) {
		n := len(docs)
		doc := document("alpha", fmt.Sprintf("%03d", n), 1, "A", strings.Join(of, " "))
		if n%3 == 0 {
			text := doc.Path
			doc.Path, doc.Body = fmt.Sprint(n), &text
		}
		words[doc.Path] = of
		docs = append(docs, doc)
	}
	for _, a := range animals {
		add(a)
		for _, b := range animals {
			if b == a {
				continue
			}
			add(a, b)
			for _, c := range animals {
				if c != a && c != b {
					add(a, b, c)
				}
			}
		}
	}
	if _, err := writer.Book(t.Context(), nil, docs); err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(rt *rapid.T) {
		var text []string
		var query [][]operand
		for i := range rapid.IntRange(1, 3).Draw(rt, "alternatives") {
			if i > 0 {
				text = append(text, "OR")
			}
			var all []operand
			for n := range rapid.IntRange(1, 3).Draw(rt, "operands") {
				o := operand{words: rapid.SliceOfNDistinct(rapid.SampledFrom(animals), 1, 2, rapid.ID).Draw(rt, "words")}
				o.without = (i == 0 || n > 0) && rapid.Bool().Draw(rt, "without") // not next to OR
				all, text = append(all, o), append(text, o.String())
			}
			query = append(query, all)
		}
		q, err := search.Parse(strings.Join(text, " "))
		asks := slices.ContainsFunc(slices.Concat(query...), func(o operand) bool { return !o.without })
		if asks != (err == nil) {
			rt.Fatalf("%s: %v", text, err)
		}
		if !asks { // negations alone are refused
			return
		}
		var want []string
		for path, words := range words {
			if slices.ContainsFunc(query, func(all []operand) bool {
				return !slices.ContainsFunc(all, func(o operand) bool { return o.in(words) == o.without })
			}) {
				want = append(want, path)
			}
		}
		slices.Sort(want)
		hits, _, err := db.Find(t.Context(), "alpha", q, pgstore.FindFilter{}, nil, 100)
		if err != nil {
			rt.Fatal(err)
		}
		var got []string
		for _, h := range hits {
			got = append(got, h.Path)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, got); diff != "" {
			rt.Fatalf("%s (-want +got):\n%s", q, diff)
		}
	})
}
