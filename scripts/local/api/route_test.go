package api_test

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/api"
)

// routed starts an API whose routes answer with their own key.
func routed(t *testing.T, cors *api.CORS, keys ...string) (*api.Server, *function) {
	t.Helper()
	f := &function{answer: func(_ context.Context, event []byte) ([]byte, string, error) {
		_, key, _ := strings.Cut(string(event), `"routeKey":"`)
		key, _, _ = strings.Cut(key, `"`)
		return []byte(`{"statusCode":200,"headers":{"Access-Control-Allow-Origin":"function"},"body":"` + key + `"}`), "", nil
	}}
	cfg := config(f)
	cfg.CORS = cors
	cfg.Routes = nil
	for _, key := range keys {
		cfg.Routes = append(cfg.Routes, api.Route{Key: key, Integration: api.Integration{FunctionARN: "echo:" + key}})
	}
	return start(t, cfg), f
}

// TestRoutePrecedence has the routes of the developer guide, and more.
func TestRoutePrecedence(t *testing.T) {
	s, f := routed(t, nil, "$default", "ANY /{proxy+}", "GET /pets/{proxy+}", "GET /pets/dog/{id}", "GET /pets/dog/1",
		"ANY /pets/dog/1", "ANY /pets/cat/{id}", "GET /{kind}/cat/{id}", "POST /objects:batchDelete", "GET /a/", "GET /")
	tests := []struct {
		method, path, want string
		params             map[string]string
	}{
		{"GET", "/pets/dog/1", "GET /pets/dog/1", nil},
		{"POST", "/pets/dog/1", "ANY /pets/dog/1", nil},
		{"GET", "/pets/dog/2", "GET /pets/dog/{id}", map[string]string{"id": "2"}},
		{"GET", "/pets/cat/2", "ANY /pets/cat/{id}", map[string]string{"id": "2"}},
		{"GET", "/x/cat/2", "GET /{kind}/cat/{id}", map[string]string{"kind": "x", "id": "2"}},
		{"GET", "/pets/dog/2/3", "GET /pets/{proxy+}", map[string]string{"proxy": "dog/2/3"}},
		{"GET", "/pets/dog/", "GET /pets/{proxy+}", map[string]string{"proxy": "dog/"}},
		{"GET", "/pets/", "ANY /{proxy+}", map[string]string{"proxy": "pets/"}},
		{"POST", "/pets/x", "ANY /{proxy+}", map[string]string{"proxy": "pets/x"}},
		{"POST", "/objects:batchDelete", "POST /objects:batchDelete", nil},
		{"GET", "/a/", "GET /a/", nil},
		{"GET", "/a", "ANY /{proxy+}", map[string]string{"proxy": "a"}},
		{"GET", "/", "GET /", nil},
		{"POST", "/", "$default", nil},
	}
	for _, tt := range tests {
		t.Run(tt.method+" "+tt.path, func(t *testing.T) {
			resp, got := do(t, tt.method, s.URL()+tt.path, "")
			if resp.StatusCode != http.StatusOK || got != tt.want {
				t.Fatalf("got %d %s, want %s", resp.StatusCode, got, tt.want)
			}
			if diff := cmp.Diff(tt.params, f.last(t).PathParameters); diff != "" {
				t.Errorf("parameters (-want +got):\n%s", diff)
			}
		})
	}
}

func TestNoRoute(t *testing.T) {
	s, _ := routed(t, nil, "GET /a/{id}")
	for _, tt := range []struct{ method, path string }{{"POST", "/a/1"}, {"GET", "/a"}, {"GET", "/a/"}, {"GET", "/a/1/"}, {"GET", "/a/1/2"}, {"OPTIONS", "/a/1"}} {
		if resp, body := do(t, tt.method, s.URL()+tt.path, ""); resp.StatusCode != http.StatusNotFound || body != `{"message":"Not Found"}` {
			t.Errorf("%s %s: got %d %s", tt.method, tt.path, resp.StatusCode, body)
		}
	}
}

func TestCORS(t *testing.T) {
	cors := &api.CORS{
		AllowOrigins: []string{"https://app.example", "http://*"}, AllowMethods: []string{"GET", "PUT"}, AllowHeaders: []string{"authorization", "content-type"},
		ExposeHeaders: []string{"etag"}, AllowCredentials: true, MaxAge: 600e9,
	}
	s, _ := routed(t, cors, "GET /a", "ANY /any")
	const app, preflight = "https://app.example", "Access-Control-Request-Method"
	full := map[string]string{
		"Allow-Origin": app, "Allow-Methods": "GET,PUT", "Allow-Headers": "authorization,content-type", "Expose-Headers": "etag",
		"Allow-Credentials": "true", "Max-Age": "600",
	}
	tests := []struct {
		name, method, path string
		headers            []string
		status             int
		want               map[string]string
	}{
		{"a preflight", "OPTIONS", "/a", []string{"Origin", app, preflight, "PUT"}, 204, full},
		{"a preflight to nowhere", "OPTIONS", "/nowhere", []string{"Origin", app, preflight, "PUT"}, 204, full},
		{"a preflight from a foreign origin", "OPTIONS", "/a", []string{"Origin", "https://evil.example", preflight, "PUT"}, 204, map[string]string{}},
		{"a preflight that a route takes", "OPTIONS", "/any", []string{"Origin", app, preflight, "PUT"}, 200, map[string]string{
			"Allow-Origin": app, "Expose-Headers": "etag", "Allow-Credentials": "true"}},
		{"OPTIONS that is no preflight", "OPTIONS", "/a", []string{"Origin", app}, 404, map[string]string{
			"Allow-Origin": app, "Expose-Headers": "etag", "Allow-Credentials": "true"}},
		{"a request", "GET", "/a", []string{"Origin", app}, 200, map[string]string{
			"Allow-Origin": app, "Expose-Headers": "etag", "Allow-Credentials": "true"}},
		{"any origin of a scheme", "GET", "/a", []string{"Origin", "http://x.example:8080"}, 200, map[string]string{
			"Allow-Origin": "http://x.example:8080", "Expose-Headers": "etag", "Allow-Credentials": "true"}},
		{"a foreign origin", "GET", "/a", []string{"Origin", "https://app.example.evil"}, 200, map[string]string{}},
		{"no origin", "GET", "/a", nil, 200, map[string]string{}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, _ := do(t, tt.method, s.URL()+tt.path, "", tt.headers...)
			got := map[string]string{}
			for name := range resp.Header {
				if short, ok := strings.CutPrefix(name, "Access-Control-"); ok {
					got[short] = resp.Header.Get(name)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || resp.StatusCode != tt.status {
				t.Errorf("got %d, want %d; headers (-want +got):\n%s", resp.StatusCode, tt.status, diff)
			}
		})
	}
	t.Run("any origin", func(t *testing.T) {
		s, _ := routed(t, &api.CORS{AllowOrigins: []string{"*"}}, "GET /a")
		if resp, _ := do(t, "GET", s.URL()+"/a", "", "Origin", app); resp.Header.Get("Access-Control-Allow-Origin") != "*" {
			t.Errorf("got %v", resp.Header)
		}
	})
	t.Run("without CORS the function's own headers stay", func(t *testing.T) {
		s, _ := routed(t, nil, "GET /a")
		if resp, _ := do(t, "GET", s.URL()+"/a", "", "Origin", app); resp.Header.Get("Access-Control-Allow-Origin") != "function" {
			t.Errorf("got %v", resp.Header)
		}
	})
}
