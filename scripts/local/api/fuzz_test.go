package api

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzParseAnswer: whatever a function returns becomes an answer that net/http can send, or an error.
func FuzzParseAnswer(f *testing.F) {
	for _, s := range []string{
		`{"statusCode":200,"headers":{"a":1},"cookies":["a=b"],"body":"AA==","isBase64Encoded":true}`,
		`"x"`, `null`, `{"statusCode":"204"}`, `{"statusCode":{}}`, ` `, `{"statusCode":200,"headers":{"":"\u0000"}}`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, payload []byte) {
		a, err := parseAnswer(payload)
		if err == nil && (a.status < 200 || a.status > 599 || a.header == nil) {
			t.Errorf("%q: got %+v", payload, a)
		}
	})
}

// FuzzRequest: any request makes an event, and matching never panics or loses part of a path.
func FuzzRequest(f *testing.F) {
	f.Add("/a/b", "x=1&y=%zz", "text/plain", "body")
	f.Add("//", "&&=", ";", "\xff")
	s, err := New(Config{
		Routes:  []Route{{Key: "GET /a/{id}/{rest+}", Integration: Integration{FunctionARN: "f"}}},
		Stages:  []Stage{{Name: "$default"}},
		Invoker: nobody{},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, path, query, contentType, body string) {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		r.URL = &url.URL{Path: path, RawQuery: query}
		r.Header.Set("Content-Type", contentType)
		ex := &exchange{Request: r, stage: s.present.Load().stages[defaultStage]}
		s.present.Load().findRoute(ex, path)
		if ex.route == nil {
			return
		}
		if got := "a/" + ex.params["id"] + "/" + ex.params["rest"]; got != strings.TrimPrefix(path, "/") {
			t.Errorf("path %q became %q", path, got)
		}
		if raw, err := s.present.Load().newEvent(ex, []byte(body)); err != nil || !utf8.Valid(raw) {
			t.Errorf("event %q: %v", raw, err)
		}
	})
}

type nobody struct{}

func (nobody) Invoke(context.Context, string, []byte) ([]byte, string, error) { return nil, "", nil }
