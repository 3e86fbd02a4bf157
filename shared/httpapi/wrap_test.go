package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
)

func options(log io.Writer) httpapi.Options {
	return httpapi.Options{Log: slog.New(slog.NewJSONHandler(log, nil)), NewID: func() string { return "made" }, Now: time.Now}
}

type echoInput struct {
	ID    string    `path:"id" maxLength:"10"`
	Limit int       `query:"limit" minimum:"1" default:"5"`
	Since time.Time `query:"since"`
	Body  struct {
		Text  string     `json:"text" maxLength:"2000000"`
		Size  int        `json:"size,omitempty" minimum:"0"`
		Until *time.Time `json:"until,omitempty"`
	}
}

type echoOutput struct {
	Body struct {
		Text  string `json:"text"`
		Limit int    `json:"limit"`
	}
}

// newServer serves one operation, whose error is err.
func newServer(t *testing.T, err error, log io.Writer) *httptest.Server {
	t.Helper()
	mux := http.NewServeMux()
	routes := httpapi.NewRoutes(mux)
	httpapi.Register(routes, huma.Operation{OperationID: "echo", Method: http.MethodPut, Path: "/v1/things/{id}"}, []fault.Code{fault.NotFound},
		func(_ context.Context, in *echoInput) (*echoOutput, error) {
			if in.ID == "panic" {
				panic("no way out")
			}
			out := &echoOutput{}
			out.Body.Text, out.Body.Limit = in.Body.Text, in.Limit
			return out, err
		})
	server := httptest.NewServer(httpapi.Wrap(mux, options(log)))
	t.Cleanup(server.Close)
	return server
}

func send(t *testing.T, server *httptest.Server, method, path, contentType, body string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(answer)
}

func TestWhatTheMuxRefusesIsAProblem(t *testing.T) {
	t.Parallel()
	server := newServer(t, nil, io.Discard)
	pad := strings.Repeat("x", httpapi.MaxBodyBytes)
	for _, tc := range []struct {
		name, method, path, contentType, body string
		status                                int
		code                                  fault.Code
		location                              string
		message                               string
	}{
		{name: "fine", method: "PUT", path: "/v1/things/a", body: `{"text":"x"}`, status: 200},
		{name: "no route", method: "PUT", path: "/v1/other", status: 404, code: fault.NotFound},
		{name: "a path to be cleaned", method: "PUT", path: "/v1//things/a", body: `{"text":"x"}`, status: 404, code: fault.NotFound},
		{name: "a path with dots", method: "PUT", path: "/v1/x/../things/a", status: 404, code: fault.NotFound},
		{name: "a trailing slash", method: "PUT", path: "/v1/things/a/", status: 404, code: fault.NotFound},
		{name: "other method", method: "GET", path: "/v1/things/a", status: 405, code: httpapi.MethodNotAllowed},
		{name: "other content type", method: "PUT", path: "/v1/things/a", contentType: "text/plain", body: `{"text":"x"}`, status: 415, code: httpapi.UnsupportedMediaType},
		{name: "no body", method: "PUT", path: "/v1/things/a", status: 400, code: fault.InvalidArgument},
		{name: "not JSON", method: "PUT", path: "/v1/things/a", body: `{`, status: 400, code: fault.InvalidArgument, location: "body"},
		{name: "duplicate key", method: "PUT", path: "/v1/things/a", body: `{"text":"x","text":"y"}`, status: 400, code: fault.InvalidArgument, location: "body"},
		{name: "missing field", method: "PUT", path: "/v1/things/a", body: `{}`, status: 400, code: fault.InvalidArgument, location: "body"},
		{name: "unknown field", method: "PUT", path: "/v1/things/a", body: `{"text":"x","other":1}`, status: 400, code: fault.InvalidArgument, location: "body.other"},
		{name: "field in another case", method: "PUT", path: "/v1/things/a", body: `{"Text":"x"}`, status: 400, code: fault.InvalidArgument, location: "body"},
		{name: "wrong type", method: "PUT", path: "/v1/things/a", body: `{"text":1}`, status: 400, code: fault.InvalidArgument, location: "body.text"},
		{name: "below the least", method: "PUT", path: "/v1/things/a", body: `{"text":"x","size":-1}`, status: 400, code: fault.InvalidArgument, location: "body.size"},
		{name: "fraction", method: "PUT", path: "/v1/things/a", body: `{"text":"x","size":1.5}`, status: 400, code: fault.InvalidArgument, location: "body.size"},
		{name: "long parameter", method: "PUT", path: "/v1/things/aaaaaaaaaaa", body: `{"text":"x"}`, status: 400, code: fault.InvalidArgument, location: "path.id"},
		{name: "bad query", method: "PUT", path: "/v1/things/a?limit=0", body: `{"text":"x"}`, status: 400, code: fault.InvalidArgument, location: "query.limit"},
		{name: "unknown query", method: "PUT", path: "/v1/things/a?other=0", body: `{"text":"x"}`, status: 400, code: fault.InvalidArgument, location: "query.other"},
		{name: "no time", method: "PUT", path: "/v1/things/a?since=yesterday", body: `{"text":"x"}`, status: 400, code: fault.InvalidArgument, location: "query.since", message: "must be a time such as 2026-11-03T10:00:00Z"},
		{name: "no time in the body", method: "PUT", path: "/v1/things/a", body: `{"text":"x","until":"2026-02-30T00:00:00Z"}`, status: 400, code: fault.InvalidArgument, location: "body.until", message: "must be a time such as 2026-11-03T10:00:00Z"},
		{name: "a body of the largest size", method: "PUT", path: "/v1/things/a", body: `{"text":"` + pad[:len(pad)-11] + `"}`, status: 200},
		{name: "a byte more", method: "PUT", path: "/v1/things/a", body: `{"text":"` + pad[:len(pad)-10] + `"}`, status: 413, code: fault.TooLarge},
		{name: "a panic", method: "PUT", path: "/v1/things/panic", body: `{"text":"x"}`, status: 500, code: fault.Internal},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			contentType := tc.contentType
			if contentType == "" {
				contentType = "application/json"
			}
			res, body := send(t, server, tc.method, tc.path, contentType, tc.body)
			if res.StatusCode != tc.status {
				t.Fatalf("got %d %.300s, want %d", res.StatusCode, body, tc.status)
			}
			if res.Header.Get("X-Request-Id") != "made" || res.Header.Get("X-Content-Type-Options") != "nosniff" || res.Header.Get("Cache-Control") != "no-store" {
				t.Errorf("headers %v", res.Header)
			}
			if tc.code == "" {
				return
			}
			var p httpapi.Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if res.Header.Get("Content-Type") != httpapi.ProblemContentType || p.Status != tc.status || p.Code != tc.code ||
				p.Instance != "made" || p.Type != "https://stowage.dev/problems/"+string(tc.code) || p.Title == "" || p.Detail == "" {
				t.Errorf("%s %+v", res.Header.Get("Content-Type"), p)
			}
			if tc.location != "" && (len(p.Errors) == 0 || p.Errors[0].Location != tc.location) {
				t.Errorf("blames %+v, want %s", p.Errors, tc.location)
			}
			if want := tc.location + ": " + tc.message; tc.message != "" && (p.Errors[0].Message != tc.message || p.Detail != want) {
				t.Errorf("says %q of %+v, want %q", p.Detail, p.Errors, want)
			}
			if tc.status == 405 && res.Header.Get("Allow") != "PUT" {
				t.Errorf("Allow %q", res.Header.Get("Allow"))
			}
			if strings.Contains(body, pad[:100]) {
				t.Error("the answer sends the request back")
			}
		})
	}
}

func TestErrorsOfHandlers(t *testing.T) {
	t.Parallel()
	secret := errors.New("dial tcp 10.0.0.1: refused")
	for _, tc := range []struct {
		name   string
		err    error
		status int
		code   fault.Code
		detail string
		header string
	}{
		{"coded", fmt.Errorf("read: %w", fault.New(fault.NotFound, "there is no such thing")), 404, fault.NotFound, "there is no such thing", ""},
		{"wrapped cause stays inside", fault.Wrap(fault.Conflict, secret, "changed meanwhile"), 409, fault.Conflict, "changed meanwhile", ""},
		{"no code", secret, 500, fault.Internal, "something went wrong", ""},
		{"internal code", fault.New(fault.Internal, "table is missing"), 500, fault.Internal, "something went wrong", ""},
		{"time is up", context.DeadlineExceeded, 503, fault.Unavailable, "busy", "Retry-After"},
		{"throttled", fault.Wrap(fault.Unavailable, secret, "the catalog is busy"), 503, fault.Unavailable, "the catalog is busy", "Retry-After"},
		{"rate", fault.New(fault.RateLimited, "slower"), 429, fault.RateLimited, "slower", "Retry-After"},
		{"no token", fault.New(fault.Unauthenticated, "who"), 401, fault.Unauthenticated, "who", "Www-Authenticate"},
		{"a code of tomorrow", fault.New("not_yet_known", "x"), 500, fault.Internal, "something went wrong", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var log bytes.Buffer
			res, body := send(t, newServer(t, tc.err, &log), http.MethodPut, "/v1/things/a", "application/json", `{"text":"x"}`)
			var p httpapi.Problem
			if err := json.Unmarshal([]byte(body), &p); err != nil {
				t.Fatalf("%s: %v", body, err)
			}
			if res.StatusCode != tc.status || p.Code != tc.code || !strings.Contains(p.Detail, tc.detail) {
				t.Errorf("got %d %+v", res.StatusCode, p)
			}
			if tc.header != "" && res.Header.Get(tc.header) == "" {
				t.Errorf("no %s", tc.header)
			}
			if strings.Contains(body, "10.0.0.1") {
				t.Error("the answer tells the cause")
			}
			if tc.status >= 500 && tc.code == fault.Internal && !strings.Contains(log.String(), tc.err.Error()) {
				t.Errorf("the log does not tell the cause: %s", log.String())
			}
		})
	}
}

func TestDetailsAndFields(t *testing.T) {
	t.Parallel()
	err := fault.New(fault.QuotaExceeded, "full").With("limit", 10).WithField("body.size", "does not fit")
	p := httpapi.ProblemOf(t.Context(), err)
	if p.Status != http.StatusPaymentRequired || p.Details["limit"] != 10 || len(p.Errors) != 1 || p.Errors[0].Location != "body.size" {
		t.Errorf("%+v", p)
	}
	if again := httpapi.ProblemOf(t.Context(), fmt.Errorf("wrapped: %w", p)); again != p {
		t.Errorf("a problem became another one: %+v", again)
	}
}

// TestLogLine: one line for each request, with its route and not its path.
func TestLogLine(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	send(t, newServer(t, nil, &log), http.MethodPut, "/v1/things/hush?limit=7", "application/json", `{"text":"hush"}`)
	var line struct {
		Msg, Level, Route, HTTPRequestID string
		Status                           int
		Millis                           float64
	}
	if err := json.Unmarshal(log.Bytes(), &line); err != nil {
		t.Fatalf("%s: %v", log.String(), err)
	}
	if line.Msg != "request" || line.Level != "INFO" || line.Route != "PUT /v1/things/{id}" || line.Status != 200 || line.Millis <= 0 || line.HTTPRequestID != "made" {
		t.Errorf("%s", log.String())
	}
	if strings.Contains(log.String(), "hush") || strings.Contains(log.String(), "limit") {
		t.Errorf("the line tells too much: %s", log.String())
	}
	log.Reset()
	send(t, newServer(t, nil, &log), http.MethodPut, "/v1/things/panic", "application/json", `{"text":"hush"}`)
	if !strings.Contains(log.String(), "no way out") || !strings.Contains(log.String(), `"level":"ERROR"`) || !strings.Contains(log.String(), "wrap_test.go") || strings.Contains(log.String(), "hush") {
		t.Errorf("a panic: %s", log.String())
	}
}

func TestPrincipal(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		claims  httpapi.Claims
		want    string // subject, client, scopes
		machine bool
		no      bool
	}{
		"user":         {claims: httpapi.Claims{"sub": "ann", "client_id": "web", "scope": "a b"}, want: "ann web [a b]"},
		"machine":      {claims: httpapi.Claims{"sub": "batch", "client_id": "batch", "scope": "a"}, want: "batch batch [a]", machine: true},
		"azp, scp":     {claims: httpapi.Claims{"sub": "ann", "azp": "web", "scp": "[a b]"}, want: "ann web [a b]"},
		"no client":    {claims: httpapi.Claims{"sub": "ann"}, want: "ann  []"},
		"no subject":   {claims: httpapi.Claims{"client_id": "web", "scope": "a"}, no: true},
		"no claims":    {no: true},
		"empty array":  {claims: httpapi.Claims{"sub": "ann", "scope": "[]"}, want: "ann  []"},
		"half bracket": {claims: httpapi.Claims{"sub": "ann", "scope": "[a"}, want: "ann  [[a]"},
	} {
		p, ok := httpapi.NewPrincipal(tc.claims)
		if ok == tc.no {
			t.Errorf("%s: ok is %t", name, ok)
			continue
		}
		if got := fmt.Sprintf("%s %s %v", p.Subject, p.ClientID, p.Scopes); !tc.no && (got != tc.want || p.Machine() != tc.machine) {
			t.Errorf("%s: got %q (machine: %t)", name, got, p.Machine())
		}
	}
}
