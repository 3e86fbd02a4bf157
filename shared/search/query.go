package search

import (
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/shared/fault"
)

// Bounds of a query.
const (
	MaxQueryBytes = 500
	MaxQueryWords = 16
)

// Query is what to look for, in the syntax that websearch_to_tsquery reads and with
// nothing in it but words and operators.
// https://www.postgresql.org/docs/17/textsearch-controls.html#TEXTSEARCH-PARSING-QUERIES
type Query struct {
	terms []term
}

// term is one operand: a word, a phrase, or what is not to be there.
type term struct {
	words   []string
	phrase  bool
	without bool
	or      bool // joined to the one before by OR
}

// Parse reads what somebody typed: words, all of which are to be there, "phrases in
// quotes", alternatives joined by OR, and -words that are not to be there. Nothing that
// is typed is a syntax error; a query without a word to look for is.
func Parse(text string) (Query, error) {
	if len(text) > MaxQueryBytes {
		return Query{}, fault.Invalid("q", "has %d bytes, the most is %d", len(text), MaxQueryBytes)
	}
	q, err := Reread(text)
	if err != nil {
		return Query{}, err
	}
	count := 0
	for _, t := range q.terms {
		count += len(t.words)
	}
	if count > MaxQueryWords {
		return Query{}, fault.Invalid("q", "has %d words, the most is %d", count, MaxQueryWords)
	}
	return q, nil
}

// Reread is Parse without its bounds: it reads what String has written of a corrected query,
// whose words may be longer than those that were typed.
func Reread(text string) (Query, error) {
	var q Query
	or, wanted := false, false
	for text != "" {
		var t term
		var bare string
		t, bare, text = next(text)
		if bare == "OR" || bare == "or" || bare == "Or" {
			or = len(q.terms) > 0
			continue
		}
		if len(t.words) == 0 {
			continue
		}
		t.or, or = or, false
		wanted = wanted || !t.without
		q.terms = append(q.terms, t)
	}
	switch {
	case !wanted:
		return Query{}, fault.Invalid("q", "must have a word to look for")
	case slices.ContainsFunc(q.terms, func(t term) bool { return t.or && t.without }):
		return Query{}, fault.Invalid("q", "has OR before something that is not to be there")
	}
	return q, nil
}

// next takes the next operand off a text. bare is the operand as it was typed, when it
// was without quotes or a minus.
func next(text string) (t term, bare, rest string) {
	text = strings.TrimLeft(text, " \t\r\n")
	if cut, ok := strings.CutPrefix(text, "-"); ok {
		t.without = true
		text = strings.TrimLeft(cut, "-")
	}
	if quoted, ok := strings.CutPrefix(text, `"`); ok {
		t.phrase = true
		phrase, after, _ := strings.Cut(quoted, `"`)
		t.words = lower(runs(phrase))
		return t, "", after
	}
	end := strings.IndexAny(text, " \t\r\n\"")
	if end < 0 {
		end = len(text)
	}
	typed := text[:end]
	if !t.without {
		bare = typed
	}
	t.words = lower(runs(typed))
	return t, bare, text[end:]
}

func lower(words []string) []string {
	out := words[:0]
	for _, w := range words {
		if w = strings.ToLower(w); len(w) <= maxWordBytes {
			out = append(out, w)
		}
	}
	return out
}

// String is the query as websearch_to_tsquery reads it.
func (q Query) String() string {
	var b strings.Builder
	for i, t := range q.terms {
		if i > 0 {
			b.WriteByte(' ')
		}
		if t.or {
			b.WriteString("or ")
		}
		if t.without {
			b.WriteByte('-')
		}
		b.WriteString(t.operand())
	}
	return b.String()
}

// operand is a term, without its minus, as websearch_to_tsquery reads it. A word that means
// OR to it is put into quotes, and something like "annual-report.pdf" is looked for as a
// phrase.
func (t term) operand() string {
	if t.phrase || len(t.words) > 1 || t.words[0] == "or" {
		return `"` + strings.Join(t.words, " ") + `"`
	}
	return t.words[0]
}

// Alternative is a part of a query that finds by itself: what is there, and without what.
// Both are texts that websearch_to_tsquery reads, without a negation, so that either may be
// read in several configurations: a negation that is read in two, and joined by OR, would
// exclude only what neither finds. Wanted is empty where all but the unwanted is found,
// Unwanted where nothing is excluded.
type Alternative struct{ Wanted, Unwanted string }

// Alternatives takes the query apart where it has OR, which binds less than all else:
// "a OR b -c" finds what has a, and what has b and not c. Those that exclude nothing are
// one, the first.
func (q Query) Alternatives() []Alternative {
	var plain []string
	var out []Alternative
	for begin := 0; begin < len(q.terms); {
		end := begin + 1
		for end < len(q.terms) && !q.terms[end].or {
			end++
		}
		var wanted, unwanted []string
		for _, t := range q.terms[begin:end] {
			if t.without {
				unwanted = append(unwanted, t.operand())
			} else {
				wanted = append(wanted, t.operand())
			}
		}
		begin = end
		if len(unwanted) == 0 {
			plain = append(plain, strings.Join(wanted, " "))
			continue
		}
		out = append(out, Alternative{strings.Join(wanted, " "), strings.Join(unwanted, " or ")})
	}
	if len(plain) > 0 {
		out = slices.Insert(out, 0, Alternative{Wanted: strings.Join(plain, " or ")})
	}
	return out
}

// Words returns the words that are to be found, once each.
func (q Query) Words() []string {
	var words []string
	for _, t := range q.terms {
		for _, w := range t.words {
			if !t.without && !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
	}
	return words
}

// Correct returns the query with other words in the place of misspelt ones, and whether
// any was replaced.
func (q Query) Correct(meant map[string]string) (Query, bool) {
	out := Query{terms: slices.Clone(q.terms)}
	changed := false
	for i, t := range out.terms {
		if t.without {
			continue
		}
		out.terms[i].words = slices.Clone(t.words)
		for n, w := range t.words {
			if m, ok := meant[w]; ok && m != w {
				out.terms[i].words[n] = m
				changed = true
			}
		}
	}
	return out, changed
}
