package httpapi_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

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
