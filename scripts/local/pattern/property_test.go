package pattern_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/pattern"
)

// TestMatchAgreesWithFlattening compares with the definition that AWS's matcher gives itself: an
// event is a list of leaves, each with the array elements it lies in; a match picks a leaf for every
// field such that no two picked leaves lie in different elements of one array.
func TestMatchAgreesWithFlattening(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		event := object(2).Draw(t, "event")
		want := map[string][]any{}
		rule := drawRule(t, nil, 2, want)
		p, err := pattern.Compile(mustJSON(t, rule))
		if err != nil {
			t.Fatalf("Compile: %v", err)
		}
		raw := mustJSON(t, event)
		if got, expect := p.Match(raw), matchesFlat(flatten(event, "", nil), want); got != expect {
			t.Fatalf("pattern %s, event %s: got %v, want %v", mustJSON(t, rule), raw, got, expect)
		}
	})
}

// TestAnythingButIsTheComplement holds for every scalar that is present.
func TestAnythingButIsTheComplement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.OneOf(rapid.StringMatching(`[ab*]{0,3}`).AsAny(), rapid.IntRange(0, 3).AsAny(), rapid.Just[any](nil)).Draw(t, "value")
		operand := rapid.OneOf(rapid.StringMatching(`[ab]{1,3}`).AsAny(), rapid.IntRange(0, 3).AsAny()).Draw(t, "operand")
		event := mustJSON(t, map[string]any{"a": value})
		plain := compile(t, map[string]any{"a": []any{operand}})
		but := compile(t, map[string]any{"a": []any{map[string]any{"anything-but": operand}}})
		if plain.Match(event) == but.Match(event) {
			t.Fatalf("%v and anything-but %v agree on %s", operand, operand, event)
		}
	})
}

// TestWildcardAgreesWithRecursion compares with a matcher that tries every length of every wildcard.
func TestWildcardAgreesWithRecursion(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		glob := rapid.StringMatching(`(\*?[ab]{1,2}){0,4}\*?`).Draw(t, "glob")
		s := rapid.StringMatching(`[ab]{0,8}`).Draw(t, "s")
		p := compile(t, map[string]any{"a": []any{map[string]any{"wildcard": glob}}})
		if got, want := p.Match(mustJSON(t, map[string]any{"a": s})), globMatches(glob, s); got != want {
			t.Fatalf("wildcard %q of %q: got %v, want %v", glob, s, got, want)
		}
	})
}

func globMatches(glob, s string) bool {
	switch {
	case glob == "":
		return s == ""
	case glob[0] == '*':
		return globMatches(glob[1:], s) || s != "" && globMatches(glob, s[1:])
	default:
		return s != "" && s[0] == glob[0] && globMatches(glob[1:], s[1:])
	}
}

func names() *rapid.Generator[string] { return rapid.SampledFrom([]string{"a", "b"}) }

func object(depth int) *rapid.Generator[map[string]any] {
	return rapid.MapOfN(names(), value(depth), 0, 2)
}

func value(depth int) *rapid.Generator[any] {
	scalar := rapid.OneOf(rapid.IntRange(0, 2).AsAny(), rapid.SampledFrom([]string{"x", "y"}).AsAny())
	if depth == 0 {
		return scalar
	}
	list := rapid.Custom(func(t *rapid.T) any {
		return rapid.SliceOfN(value(depth-1), 0, 3).Draw(t, "list")
	})
	return rapid.OneOf(scalar, object(depth-1).AsAny(), list)
}

// drawRule builds a pattern and notes its leaves by their path.
func drawRule(t *rapid.T, path []string, depth int, leaves map[string][]any) map[string]any {
	rule := map[string]any{}
	for _, name := range rapid.SliceOfNDistinct(names(), 1, 2, rapid.ID).Draw(t, "fields") {
		below := append(slices.Clone(path), name)
		if depth > 0 && rapid.Bool().Draw(t, "nest") {
			rule[name] = drawRule(t, below, depth-1, leaves)
			continue
		}
		absence := map[string]any{"exists": false}
		values := rapid.SliceOfN(rapid.SampledFrom([]any{0, 1, "x", absence}), 1, 2).Draw(t, "values")
		rule[name], leaves[strings.Join(below, ".")] = values, values
	}
	return rule
}

type flatLeaf struct {
	path     string
	value    any
	elements map[string]int // array (by its place in the event) to the element this leaf lies in
}

func flatten(v any, path string, elements map[string]int) []flatLeaf {
	var all []flatLeaf
	switch v := v.(type) {
	case map[string]any:
		for k, child := range v {
			all = append(all, flatten(child, strings.TrimPrefix(path+"."+k, "."), elements)...)
		}
	case []any:
		id := fmt.Sprint(path, elements)
		for i, child := range v {
			in := map[string]int{id: i}
			for k, e := range elements {
				in[k] = e
			}
			all = append(all, flatten(child, path, in)...)
		}
	default:
		all = append(all, flatLeaf{path, v, elements})
	}
	return all
}

func matchesFlat(event []flatLeaf, rule map[string][]any) bool {
	paths := make([]string, 0, len(rule))
	for p := range rule {
		paths = append(paths, p)
	}
	var assign func(i int, picked []flatLeaf) bool
	assign = func(i int, picked []flatLeaf) bool {
		if i == len(paths) {
			return true
		}
		present := false
		for _, l := range event {
			if l.path != paths[i] {
				continue
			}
			present = true
			if slices.ContainsFunc(rule[paths[i]], func(v any) bool { return fmt.Sprintf("%T%v", v, v) == fmt.Sprintf("%T%v", l.value, l.value) }) &&
				consistent(l, picked) && assign(i+1, append(slices.Clone(picked), l)) {
				return true
			}
		}
		absence := slices.ContainsFunc(rule[paths[i]], func(v any) bool { _, ok := v.(map[string]any); return ok })
		return !present && absence && assign(i+1, picked)
	}
	return assign(0, nil)
}

func consistent(l flatLeaf, picked []flatLeaf) bool {
	for _, p := range picked {
		for array, element := range l.elements {
			if other, ok := p.elements[array]; ok && other != element {
				return false
			}
		}
	}
	return true
}

func compile(t *rapid.T, rule any) *pattern.Pattern {
	p, err := pattern.Compile(mustJSON(t, rule))
	if err != nil {
		t.Fatalf("Compile: %v", err)
	}
	return p
}

func mustJSON(t *rapid.T, v any) []byte {
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatalf("encode: %v", err)
	}
	return raw
}
