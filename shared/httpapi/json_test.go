package httpapi_test

import (
	"bytes"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/httpapi"
)

type target struct {
	Path   string            `json:"path"`
	Size   int64             `json:"size"`
	Tags   map[string]string `json:"tags"`
	Nested struct {
		Deep []inner `json:"deep"`
	} `json:"nested"`
}

type inner struct {
	Name string `json:"name"`
}

func TestUnmarshalStrict(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, body string
		refused    string // part of the message; "" is accepted
	}{
		{"whole", `{"path":"a","size":3,"tags":{"A":"1","a":"2"},"nested":{"deep":[{"name":"x"}]}}`, ""},
		{"empty", `{}`, ""},
		{"escapes", `{"path":"\ud83d\ude00 \\ud800 \" \u00e9"}`, ""},
		{"null", `{"tags":null}`, ""},
		{"no value", ``, "not JSON"},
		{"cut", `{"path":"a"`, "not JSON"},
		{"two values", `{} {}`, "more than one"},
		{"trailing comma", `{"path":"a",}`, "not JSON"},
		{"duplicate", `{"path":"a","path":"b"}`, `"path" appears twice`},
		{"duplicate by escape", `{"path":"a","p\u0061th":"b"}`, `"path" appears twice`},
		{"duplicate in a map", `{"tags":{"a":"1","a":"2"}}`, `"tags.a" appears twice`},
		{"duplicate deep down", `{"nested":{"deep":[{"name":"x","name":"y"}]}}`, `"nested.deep[].name" appears twice`},
		{"unknown", `{"path":"a","admin":true}`, `no field "admin"`},
		{"other case", `{"PATH":"a"}`, `no field "PATH"`},
		{"other case deep down", `{"nested":{"Deep":[]}}`, `no field "nested.Deep"`},
		{"invalid UTF-8", "{\"path\":\"\xff\"}", "UTF-8"},
		{"invalid UTF-8 in a key", "{\"\xc3\":1}", "UTF-8"},
		{"unpaired high surrogate", `{"path":"\ud800"}`, "surrogate"},
		{"unpaired low surrogate", `{"path":"\udc00"}`, "surrogate"},
		{"surrogates in the wrong order", `{"path":"\udc00\ud800"}`, "surrogate"},
		{"high surrogate and text", `{"path":"\ud83dx"}`, "surrogate"},
		{"wrong type", `{"size":"3"}`, "takes no"},
		{"too deep", `{"tags":` + strings.Repeat("[", 40) + strings.Repeat("]", 40) + `}`, "deeper"},
		{"as deep as can be", `{"nested":` + strings.Repeat("[", 15) + strings.Repeat("]", 15) + `}`, "takes no"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var into target
			err := httpapi.UnmarshalStrict([]byte(tc.body), &into)
			switch {
			case tc.refused == "" && err != nil:
				t.Errorf("refused: %v", err)
			case tc.refused != "" && (err == nil || !strings.Contains(err.Error(), tc.refused)):
				t.Errorf("got %v, want an error with %q", err, tc.refused)
			}
		})
	}
}

// FuzzUnmarshalStrict: what is accepted means what encoding/json says it means, and means
// nothing else to a reader that keeps the first of two keys.
func FuzzUnmarshalStrict(f *testing.F) {
	for _, seed := range []string{`{"path":"a","size":3}`, `{"path":"a","path":"b"}`, `{"tags":{"x":"\ud83d\ude00"}}`, "{\"path\":\"\xff\"}", `[[[[]]]]`, `{"nested":{"deep":[{"name":"x"}]}}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var strict, loose target
		if err := httpapi.UnmarshalStrict(body, &strict); err != nil {
			return
		}
		if err := json.Unmarshal(body, &loose); err != nil || !reflect.DeepEqual(strict, loose) {
			t.Fatalf("accepted %q, which encoding/json reads otherwise (%v)", body, err)
		}
		if !utf8.Valid(body) || strings.ContainsRune(strict.Path, utf8.RuneError) && !strings.ContainsRune(string(body), utf8.RuneError) && !strings.Contains(strings.ToLower(string(body)), `\ufffd`) {
			t.Fatalf("%q lost text on the way", body)
		}
	})
}

// answer is of all the kinds of fields that answers have.
type answer struct {
	Text    string            `json:"text"`
	Count   int64             `json:"count"`
	Rank    float32           `json:"rank"`
	Share   float64           `json:"share"`
	At      time.Time         `json:"at"`
	Whether bool              `json:"whether"`
	Tags    map[string]string `json:"tags,omitempty"`
	Next    *string           `json:"next"`
	Until   *time.Time        `json:"until,omitempty"`
	Parts   []part            `json:"parts"`
	Any     map[string]any    `json:"any,omitempty"`
	Raw     json.RawMessage   `json:"raw,omitempty"`
	inner
}

type part struct {
	Number int      `json:"number,omitempty"`
	Names  []string `json:"names"`
}

// TestMarshalsAsEncodingJSON compares answers of any content, byte for byte.
func TestMarshalsAsEncodingJSON(t *testing.T) {
	t.Parallel()
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "<a href=\"x\">&amp;</a>", "\x00\x1f\x7f\b\f\n\r\t", "\u2028\u2029", "\xff\xc3(", "\ufffd", "back\\slash"}))
	at := rapid.Custom(func(rt *rapid.T) time.Time {
		zone := time.FixedZone("", rapid.IntRange(-12, 14).Draw(rt, "zone")*3600)
		return time.Unix(rapid.Int64Range(-1e9, 1e10).Draw(rt, "s"), rapid.SampledFrom([]int64{0, 1, 120, 1000, 123e6, 999_999_999}).Draw(rt, "ns")).In(zone)
	})
	tags := rapid.MapOf(text, text)
	answers := rapid.Custom(func(rt *rapid.T) answer {
		a := answer{
			Text: text.Draw(rt, "text"), Count: rapid.Int64().Draw(rt, "count"), Rank: rapid.Float32().Draw(rt, "rank"),
			Share: rapid.Float64().Draw(rt, "share"), At: at.Draw(rt, "at"), Whether: rapid.Bool().Draw(rt, "whether"),
			Tags: tags.Draw(rt, "tags"), Next: rapid.Ptr(text, true).Draw(rt, "next"), Until: rapid.Ptr(at, true).Draw(rt, "until"),
			inner: inner{Name: text.Draw(rt, "name")},
		}
		for range rapid.IntRange(0, 3).Draw(rt, "parts") {
			a.Parts = append(a.Parts, part{rapid.Int().Draw(rt, "number"), rapid.SliceOf(text).Draw(rt, "names")})
		}
		if rapid.Bool().Draw(rt, "any") {
			a.Any = map[string]any{"limit": 1 << 20, text.Draw(rt, "key"): []any{1.5, nil, "x"}}
			a.Raw = json.RawMessage(`{"a":1}`)
		}
		return a
	})
	rapid.Check(t, func(rt *rapid.T) {
		a := answers.Draw(rt, "answer")
		var want, got bytes.Buffer
		encoder := json.NewEncoder(&want)
		encoder.SetEscapeHTML(false)
		if err := encoder.Encode(a); err != nil {
			rt.Fatal(err)
		}
		if err := httpapi.Marshal(&got, a); err != nil {
			rt.Fatal(err)
		}
		if got.String() != want.String() {
			rt.Fatalf("wrote\n%s\nwant\n%s", got.String(), want.String())
		}
	})
}
