package search_test

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/search"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		"reports/2026/q3-report_FINAL.pdf": {"reports", "2026", "q3", "q", "3", "report", "final", "pdf"},
		"annualReport2026.txt":             {"annualreport2026", "annual", "report", "2026", "txt"},
		"Übersicht über Zoë":               {"übersicht", "über", "zoë"},
		"\xff\x00":                         nil,
		strings.Repeat("x", 65) + " y":     {"y"},
	} {
		if diff := cmp.Diff(want, search.Words(text)); diff != "" {
			t.Errorf("%q:\n%s", text, diff)
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"annual report":          "annual report",
		`"annual report" -draft`: `"annual report" -draft`,
		"q3-report.pdf":          `"q3 report pdf"`,
		"cat OR dog":             "cat or dog",
		"OR cat":                 "cat",
		`"or"`:                   `"or"`,
		`unclosed "phrase here`:  `unclosed "phrase here"`,
		"--draft final":          "-draft final",
		"'; DROP TABLE entries;": "drop table entries",
		"a:* & !b | (c <-> d)":   "a b c d",
		"ÉTÉ":                    "été",
		"cat  or  or dog":        "cat or dog",
		`cat -"dead dog"`:        `cat -"dead dog"`,
	} {
		q, err := search.Parse(text)
		if err != nil || q.String() != want {
			t.Errorf("%q is %q, %v, want %q", text, q, err, want)
		}
	}
	for _, text := range []string{"", "  ", "-draft", "!!!", `""`, "OR", "cat OR -dog", strings.Repeat("a ", 17), strings.Repeat("a", 501)} {
		if q, err := search.Parse(text); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%q is %q, %v, want InvalidArgument", text, q, err)
		}
	}
}

func TestCorrect(t *testing.T) {
	t.Parallel()
	q, err := search.Parse(`anuual "quartly report" -drafft`)
	if err != nil {
		t.Fatal(err)
	}
	fixed, changed := q.Correct(map[string]string{"anuual": "annual", "quartly": "quarterly", "drafft": "draft", "report": "report"})
	if want := `annual "quarterly report" -drafft`; !changed || fixed.String() != want || q.String() != `anuual "quartly report" -drafft` {
		t.Errorf("%q, %t from %q, want %q", fixed, changed, q, want)
	}
	if _, changed := q.Correct(nil); changed {
		t.Error("nothing was replaced, and it says so")
	}
}

func TestPieces(t *testing.T) {
	t.Parallel()
	got := search.Highlight("docs/Annual-Report2026.PDF", []string{"annual", "2026", "doc"})
	want := []search.Piece{{Text: "docs/"}, {Text: "Annual", Match: true}, {Text: "-Report"}, {Text: "2026", Match: true}, {Text: ".PDF"}}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// TestHighlightKeepsTheText: taken apart and put together again, a name is what it was.
func TestHighlightKeepsTheText(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := search.Clean(rapid.String().Draw(t, "name"), 1000)
		words := search.Words(name)
		if len(words) > 0 {
			words = words[:rapid.IntRange(0, len(words)).Draw(t, "words")]
		}
		var b strings.Builder
		for _, p := range search.Highlight(name, words) {
			b.WriteString(p.Text)
		}
		if b.String() != name {
			t.Fatalf("%q became %q", name, b.String())
		}
	})
}

func TestClean(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"a\x00b": "a b", "zoë": "zoë", "zo\xc3": "zo ", "a\ue000b": "a b", "abcdef": "abcde", "abcdë": "abcd"} {
		if got := search.Clean(text, 5); got != want {
			t.Errorf("%q is %q, want %q", text, got, want)
		}
	}
}

func TestKnownAndTextTypes(t *testing.T) {
	t.Parallel()
	d := search.Document{Path: "reports/q3 2026.pdf", Tags: map[string]string{"Department": "finance"}, Metadata: map[string]string{"author": "zoe"}}
	if got := d.KnownWords(); !slices.Equal(got, []string{"department", "finance", "reports"}) {
		t.Errorf("known words are %q", got)
	}
	for contentType, want := range map[string]bool{"text/plain; charset=utf-8": true, "TEXT/CSV": true, "application/json": true, "text/html": false, "image/png": false, "": false} {
		if search.TextType(contentType) != want {
			t.Errorf("%s: %t", contentType, !want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(`"a b" OR c -d`)
	f.Fuzz(func(t *testing.T, text string) {
		q, err := search.Parse(text)
		if err != nil {
			return
		}
		if !utf8.ValidString(q.String()) || strings.ContainsRune(q.String(), 0) {
			t.Errorf("%q is %q", text, q)
		}
		again, err := search.Parse(q.String())
		if err != nil || again.String() != q.String() {
			t.Errorf("%q is %q, which is %q, %v", text, q, again, err)
		}
	})
}

func TestAlternatives(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]search.Alternative{
		"annual report":                 {{Wanted: "annual report"}},
		"annual report -draft":          {{"annual report", "draft"}},
		`a -b "c d" -"e f" -"or"`:       {{`a "c d"`, `b or "e f" or "or"`}},
		"a b OR c":                      {{Wanted: "a b or c"}},
		"a OR b -c":                     {{Wanted: "a"}, {"b", "c"}},
		"a -b OR c OR d -e OR f g":      {{Wanted: "c or f g"}, {"a", "b"}, {"d", "e"}},
		"-a OR b":                       {{Wanted: "b"}, {"", "a"}},
		`"or" OR -x y`:                  nil,
		"q3-report.pdf -2026-draft.pdf": {{`"q3 report pdf"`, `"2026 draft pdf"`}},
	} {
		q, err := search.Parse(text)
		if want == nil {
			if !fault.Is(err, fault.InvalidArgument) {
				t.Errorf("%q: %v, want InvalidArgument", text, err)
			}
			continue
		}
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, q.Alternatives()); diff != "" {
			t.Errorf("%q:\n%s", text, diff)
		}
	}
}
