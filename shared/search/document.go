package search

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// Purged is the state of a document whose object is gone for good: what remains is its
// rev, so that an event that comes late does not bring it back.
const Purged = "purged"

// BodyBytes is how much of a text file is read and looked into.
const BodyBytes = 64 << 10

// Document is what can be found of one object, by one rev.
type Document struct {
	Workspace   string
	Object      string
	Rev         int64
	Version     string
	State       string
	Path        string
	Parent      string
	ContentType string
	Size        int64
	UpdatedAt   time.Time
	Tags        map[string]string
	Metadata    map[string]string
	// Body is the beginning of a text file; nil where it is none, or not known.
	Body *string
}

// NameWords are the words of the document's path.
func (d Document) NameWords() []string { return Words(d.Path) }

// TagWords are the words of its tags, names and values.
func (d Document) TagWords() []string { return labelWords(d.Tags) }

// MetadataWords are the words of its metadata, names and values.
func (d Document) MetadataWords() []string { return labelWords(d.Metadata) }

func labelWords(labels map[string]string) []string {
	var words []string
	for _, name := range slices.Sorted(maps.Keys(labels)) {
		words = append(append(words, Words(name)...), Words(labels[name])...)
	}
	return words
}

// KnownWords are the words by which a misspelt one may be corrected, once each.
func (d Document) KnownWords() []string {
	words := slices.DeleteFunc(append(d.NameWords(), d.TagWords()...), func(w string) bool { return !Known(w) })
	slices.Sort(words)
	return slices.Compact(words)
}

// TextType reports whether a content type is that of text whose beginning is worth being
// looked into.
func TextType(contentType string) bool {
	mediaType, _, _ := strings.Cut(contentType, ";")
	switch mediaType = strings.ToLower(strings.TrimSpace(mediaType)); mediaType {
	case "application/json", "application/xml", "application/yaml", "application/x-yaml", "application/toml", "application/sql", "application/x-ndjson":
		return true
	case "text/html", "text/css", "text/javascript": // mostly markup
		return false
	default:
		return strings.HasPrefix(mediaType, "text/")
	}
}

// Hit is an object that was found.
type Hit struct {
	Object      string
	Rev         int64
	Version     string
	Path        string
	ContentType string
	Size        int64
	UpdatedAt   time.Time
	Tags        map[string]string
	// Rank is between 0 and 1; more is better.
	Rank float32
	// Name and Body are the path and the best of the text, matches apart from the rest.
	Name []Piece
	Body []Piece
}

// Piece is a stretch of a text: a match, or what lies between two.
type Piece struct {
	Text  string `json:"text"`
	Match bool   `json:"match,omitempty"`
}

// Pieces takes a text with marks apart.
func Pieces(marked string) []Piece {
	var out []Piece
	add := func(text string, match bool) {
		if text != "" {
			out = append(out, Piece{text, match})
		}
	}
	for marked != "" {
		before, rest, found := strings.Cut(marked, string(MarkBegin))
		add(before, false)
		if !found {
			return out
		}
		match, after, _ := strings.Cut(rest, string(MarkEnd))
		add(match, true)
		marked = after
	}
	return out
}

// Highlight takes a name apart into the words that the query asks for and what lies between.
func Highlight(name string, words []string) []Piece {
	var marked strings.Builder
	rest := name
	for _, run := range rawRuns(name) {
		i := strings.Index(rest, run)
		marked.WriteString(rest[:i])
		for _, part := range matching(run, words) {
			if part.Match {
				marked.WriteString(string(MarkBegin) + part.Text + string(MarkEnd))
				continue
			}
			marked.WriteString(part.Text)
		}
		rest = rest[i+len(run):]
	}
	marked.WriteString(rest)
	return Pieces(marked.String())
}

func rawRuns(text string) []string {
	return strings.FieldsFunc(text, func(r rune) bool { return !wordRune(r) })
}

// matching takes one run apart: all of it matches, or some of its parts do.
func matching(run string, words []string) []Piece {
	is := func(text string) bool {
		w := runs(text)
		return len(w) == 1 && slices.Contains(words, strings.ToLower(w[0]))
	}
	if is(run) {
		return []Piece{{run, true}}
	}
	var out []Piece
	for _, p := range parts(run) {
		out = append(out, Piece{p, is(p)})
	}
	return out
}
