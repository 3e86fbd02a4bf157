package httpapi_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/aws/aws-lambda-go/events"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/shared/httpapi"
)

func request(method, path string) events.APIGatewayV2HTTPRequest {
	in := events.APIGatewayV2HTTPRequest{Version: "2.0", RawPath: path}
	in.RequestContext.Stage = "$default"
	in.RequestContext.RequestID = "request-1"
	in.RequestContext.HTTP.Method = method
	in.RequestContext.HTTP.SourceIP = "192.0.2.1"
	return in
}

func handle(tb testing.TB, handler http.HandlerFunc, in events.APIGatewayV2HTTPRequest) events.APIGatewayV2HTTPResponse {
	tb.Helper()
	out, err := httpapi.NewGateway(handler).Handle(tb.Context(), in)
	if err != nil {
		tb.Fatal(err)
	}
	return out
}

func TestGatewayRequest(t *testing.T) {
	t.Parallel()
	in := request(http.MethodPost, "/v1/members/auth0|1 2?%41")
	in.RawQueryString = "a=1&a=2&b=%20"
	in.Headers = map[string]string{"host": "api.example.com", "content-type": "application/json", "x-many": "1,2"}
	in.Cookies = []string{"a=1", "b=2"}
	in.Body, in.IsBase64Encoded = base64.StdEncoding.EncodeToString([]byte("\x00body")), true
	in.RequestContext.Authorizer = &events.APIGatewayV2HTTPRequestContextAuthorizerDescription{
		JWT: &events.APIGatewayV2HTTPRequestContextAuthorizerJWTDescription{Claims: map[string]string{"sub": "ann", "scope": "x y"}},
	}
	handle(t, func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || string(body) != "\x00body" || r.ContentLength != 5 {
			t.Errorf("body %q (%d), %v", body, r.ContentLength, err)
		}
		// API Gateway has decoded the path: what looks like an escape is not one.
		if r.URL.Path != "/v1/members/auth0|1 2?%41" || r.URL.EscapedPath() != "/v1/members/auth0%7C1%202%3F%2541" {
			t.Errorf("path %q, escaped %q", r.URL.Path, r.URL.EscapedPath())
		}
		if q := r.URL.Query(); !slices.Equal(q["a"], []string{"1", "2"}) || q.Get("b") != " " {
			t.Errorf("query %v", q)
		}
		if c, err := r.Cookie("b"); err != nil || c.Value != "2" {
			t.Errorf("cookie %v, %v", c, err)
		}
		if r.Host != "api.example.com" || r.Header.Get("Host") != "" || r.Header.Get("X-Many") != "1,2" || r.RemoteAddr != "192.0.2.1:0" {
			t.Errorf("host %q, header %v, from %s", r.Host, r.Header, r.RemoteAddr)
		}
		if p, ok := httpapi.PrincipalFrom(r.Context()); !ok || p.Subject != "ann" || !p.HasScope("y") {
			t.Errorf("principal %+v, %t", p, ok)
		}
		if httpapi.RequestID(r.Context()) != "request-1" {
			t.Errorf("request id %q", httpapi.RequestID(r.Context()))
		}
	}, in)
}

func TestGatewayTrustsNoHeader(t *testing.T) {
	t.Parallel()
	in := request(http.MethodGet, "/")
	in.Headers = map[string]string{"authorization": "Bearer x", "x-amzn-oidc-identity": "ann"}
	handle(t, func(_ http.ResponseWriter, r *http.Request) {
		if p, ok := httpapi.PrincipalFrom(r.Context()); ok {
			t.Errorf("a principal out of nothing: %+v", p)
		}
	}, in)
}

func TestGatewayStripsTheStage(t *testing.T) {
	t.Parallel()
	for stage, want := range map[string]string{"$default": "/dev/v1/usage", "": "/dev/v1/usage", "dev": "/v1/usage"} {
		in := request(http.MethodGet, "/dev/v1/usage")
		in.RequestContext.Stage = stage
		handle(t, func(_ http.ResponseWriter, r *http.Request) {
			if r.URL.Path != want {
				t.Errorf("stage %q: path %q, want %q", stage, r.URL.Path, want)
			}
		}, in)
	}
}

func TestGatewayResponse(t *testing.T) {
	t.Parallel()
	out := handle(t, func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Add("Set-Cookie", "a=1")
		w.Header().Add("Set-Cookie", "b=2")
		w.Header().Add("X-Many", "1")
		w.Header().Add("X-Many", "2")
		w.WriteHeader(http.StatusTeapot)
		w.WriteHeader(http.StatusOK) // too late
		fmt.Fprint(w, "ü")
	}, request(http.MethodGet, "/"))
	if out.StatusCode != http.StatusTeapot || out.Body != "ü" || out.IsBase64Encoded {
		t.Errorf("got %+v", out)
	}
	if !slices.Equal(out.Cookies, []string{"a=1", "b=2"}) || !maps.Equal(out.Headers, map[string]string{"x-many": "1, 2"}) {
		t.Errorf("cookies %v, headers %v", out.Cookies, out.Headers)
	}

	out = handle(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte{0xff}) }, request(http.MethodGet, "/"))
	if out.Body != "/w==" || !out.IsBase64Encoded || out.StatusCode != http.StatusOK {
		t.Errorf("bytes: %+v", out)
	}
	if out := handle(t, func(http.ResponseWriter, *http.Request) {}, request(http.MethodGet, "/")); out.StatusCode != http.StatusOK {
		t.Errorf("a handler that says nothing: %d", out.StatusCode)
	}
}

func TestGatewayAnswersProblems(t *testing.T) {
	t.Parallel()
	never := func(http.ResponseWriter, *http.Request) { t.Error("the handler was called") }
	bad := request(http.MethodPost, "/")
	bad.Body, bad.IsBase64Encoded = "!", true
	relative := request(http.MethodGet, "v1")
	large := func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 6<<20+1)) }
	for name, tc := range map[string]struct {
		handler http.HandlerFunc
		in      events.APIGatewayV2HTTPRequest
		status  int
	}{
		"body is not base64":      {never, bad, http.StatusBadRequest},
		"path is not absolute":    {never, relative, http.StatusNotFound},
		"answer that is too long": {large, request(http.MethodGet, "/"), http.StatusInternalServerError},
	} {
		out := handle(t, tc.handler, tc.in)
		var p httpapi.Problem
		if err := json.Unmarshal([]byte(out.Body), &p); err != nil || out.StatusCode != tc.status || p.Status != tc.status || p.Instance != "request-1" {
			t.Errorf("%s: %d %s (%v)", name, out.StatusCode, out.Body, err)
		}
		if out.Headers["content-type"] != httpapi.ProblemContentType {
			t.Errorf("%s: content type %q", name, out.Headers["content-type"])
		}
	}
}

// FuzzGateway: whatever JSON comes as an event, there is an answer that Lambda can encode.
func FuzzGateway(f *testing.F) {
	f.Add(samples.Read("apigatewayv2/get-object"))
	f.Add([]byte(`{"rawPath":"//..%2f\u0000","requestContext":{"http":{"method":"G T"}},"headers":{"a\nb":"c\r\nd"},"body":"=","isBase64Encoded":true}`))
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/{id}", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Id", r.PathValue("id"))
		_, _ = io.Copy(w, r.Body)
	})
	gateway := httpapi.NewGateway(httpapi.Wrap(mux, options(io.Discard)))
	f.Fuzz(func(t *testing.T, event []byte) {
		var in events.APIGatewayV2HTTPRequest
		if json.Unmarshal(event, &in) != nil {
			return
		}
		out, err := gateway.Handle(t.Context(), in)
		if err != nil {
			t.Fatal(err)
		}
		if out.StatusCode < 200 || out.StatusCode > 599 || !out.IsBase64Encoded && !utf8.ValidString(out.Body) {
			t.Fatalf("%+v", out)
		}
		if _, err := json.Marshal(out); err != nil {
			t.Fatal(err)
		}
	})
}
