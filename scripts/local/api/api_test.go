package api_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/api"
)

const functionARN = "arn:aws:lambda:eu-west-1:000000000000:function:api"

// function answers invocations, and keeps the last event.
type function struct {
	mu     sync.Mutex
	event  []byte
	answer func(ctx context.Context, event []byte) ([]byte, string, error)
}

func (f *function) Invoke(ctx context.Context, arn string, event []byte) ([]byte, string, error) {
	f.mu.Lock()
	f.event = bytes.Clone(event)
	answer := f.answer
	f.mu.Unlock()
	if arn != functionARN && !strings.HasPrefix(arn, "echo:") {
		return nil, "", errors.New("no such function: " + arn)
	}
	if answer == nil {
		return []byte(`{"statusCode":204}`), "", nil
	}
	return answer(ctx, event)
}

func (f *function) last(t *testing.T) events.APIGatewayV2HTTPRequest {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	var ev events.APIGatewayV2HTTPRequest
	d := json.NewDecoder(bytes.NewReader(f.event))
	d.DisallowUnknownFields()
	if err := d.Decode(&ev); err != nil {
		t.Fatalf("event %s: %v", f.event, err)
	}
	return ev
}

func returning(payload string) func(context.Context, []byte) ([]byte, string, error) {
	return func(context.Context, []byte) ([]byte, string, error) { return []byte(payload), "", nil }
}

func config(f *function) api.Config {
	return api.Config{
		ID: "api1", Name: "test", Account: "000000000000", Region: "eu-west-1",
		Routes:  []api.Route{{Key: "$default", Integration: api.Integration{FunctionARN: functionARN}}},
		Stages:  []api.Stage{{Name: "$default"}},
		Invoker: f,
		Now:     func() time.Time { return time.Date(2026, 3, 12, 19, 3, 58, 390e6, time.UTC) },
		NewID:   func() string { return "JKJaXmPLvHcESHA=" },
	}
}

func start(t *testing.T, cfg api.Config) *api.Server {
	t.Helper()
	s, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return s
}

func do(t *testing.T, method, url, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body == "" {
		r.Body, r.ContentLength = nil, 0
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(raw)
}

func TestEventIsPayloadFormat2(t *testing.T) {
	f := &function{}
	cfg := config(f)
	cfg.Routes = []api.Route{{Key: "POST /v1/items/{id}", Integration: api.Integration{FunctionARN: functionARN}}}
	cfg.Stages[0].Variables = map[string]string{"k": "v"}
	s := start(t, cfg)
	do(t, "POST", s.URL()+"/v1/items/a%20b?x=1&y=%C3%A9%2B&x=2&z&=e", `{"n":1}`,
		"Content-Type", "application/json", "X-Two", "a", "X-Two", "b", "Cookie", "c1=v1; c2=v2", "User-Agent", "agent",
		"X-Forwarded-For", "10.1.2.3", "X-Amzn-Trace-Id", "Root=1-5759e988-bd862e3fe1be46a994272793")
	host := strings.TrimPrefix(s.URL(), "http://")
	_, port, _ := strings.Cut(host, ":")
	want := events.APIGatewayV2HTTPRequest{
		Version: "2.0", RouteKey: "POST /v1/items/{id}", RawPath: "/v1/items/a b",
		RawQueryString: "x=1&y=%C3%A9%2B&x=2&z&=e", Cookies: []string{"c1=v1", "c2=v2"},
		Headers: map[string]string{
			"content-type": "application/json", "content-length": "7", "x-two": "a,b", "user-agent": "agent", "host": host,
			"accept-encoding": "gzip", "x-forwarded-for": "10.1.2.3, 127.0.0.1", "x-forwarded-proto": "http", "x-forwarded-port": port,
			"x-amzn-trace-id": "Root=1-5759e988-bd862e3fe1be46a994272793",
		},
		QueryStringParameters: map[string]string{"x": "1,2", "y": "é+", "z": "", "": "e"},
		PathParameters:        map[string]string{"id": "a b"},
		StageVariables:        map[string]string{"k": "v"},
		Body:                  `{"n":1}`,
		RequestContext: events.APIGatewayV2HTTPRequestContext{
			RouteKey: "POST /v1/items/{id}", AccountID: "000000000000", Stage: "$default", RequestID: "JKJaXmPLvHcESHA=",
			APIID: "api1", DomainName: host, DomainPrefix: "api1", Time: "12/Mar/2026:19:03:58 +0000", TimeEpoch: 1773342238390,
			HTTP: events.APIGatewayV2HTTPRequestContextHTTPDescription{
				Method: "POST", Path: "/v1/items/a b", Protocol: "HTTP/1.1", SourceIP: "127.0.0.1", UserAgent: "agent",
			},
		},
	}
	if diff := cmp.Diff(want, f.last(t)); diff != "" {
		t.Errorf("event (-want +got):\n%s", diff)
	}
}

func TestABareRequestHasOnlyWhatItBrings(t *testing.T) {
	f := &function{}
	s := start(t, config(f))
	do(t, "GET", s.URL()+"/", "")
	for _, absent := range []string{"cookies", "queryStringParameters", "pathParameters", "stageVariables", "body", "authorizer"} {
		if strings.Contains(string(f.event), `"`+absent+`"`) {
			t.Errorf("the event has %q: %s", absent, f.event)
		}
	}
	if trace := f.last(t).Headers["x-amzn-trace-id"]; !strings.HasPrefix(trace, "Root=1-69b30e1e-") || len(trace) != len("Root=1-5759e988-bd862e3fe1be46a994272793") {
		t.Errorf("trace id %q", trace)
	}
}

// TestBodyEncoding follows what was measured on AWS.
func TestBodyEncoding(t *testing.T) {
	f := &function{}
	s := start(t, config(f))
	tests := []struct {
		contentType, body string
		base64            bool
	}{
		{"application/json", "{}", false},
		{"application/json; charset=utf-8", "{}", false},
		{"Application/JSON", "{}", false},
		{"application/xml", "x", false},
		{"application/javascript", "x", false},
		{"text/csv", "x", false},
		{"text/plain;;bad", "x", false},
		{"application/problem+json", "{}", true},
		{"application/x-www-form-urlencoded", "a=b", true},
		{"application/octet-stream", "x", true},
		{"", "x", true},
		{"text/plain", "\xff", true},
	}
	for _, tt := range tests {
		t.Run(tt.contentType, func(t *testing.T) {
			do(t, "POST", s.URL(), tt.body, "Content-Type", tt.contentType)
			if ev := f.last(t); ev.IsBase64Encoded != tt.base64 || !tt.base64 && ev.Body != tt.body {
				t.Errorf("got base64 %v, body %q; want base64 %v", ev.IsBase64Encoded, ev.Body, tt.base64)
			}
		})
	}
}

func TestResponses(t *testing.T) {
	const failed = `{"message":"Internal Server Error"}`
	tests := []struct {
		name, payload string
		status        int
		contentType   string
		body          string
	}{
		{"a response", `{"statusCode":201,"headers":{"content-type":"application/problem+json","x-n":1,"x-b":true},"body":"hi"}`, 201, "application/problem+json", "hi"},
		{"its status as text", `{"statusCode":"404","body":"gone"}`, 404, "text/plain;charset=UTF-8", "gone"},
		{"base64", `{"statusCode":200,"headers":{"content-type":"image/png"},"body":"AAEC","isBase64Encoded":true}`, 200, "image/png", "\x00\x01\x02"},
		{"nothing", `{"statusCode":204}`, 204, "", ""},
		{"null body and headers", `{"statusCode":200,"body":null,"headers":null,"cookies":null}`, 200, "", ""},
		{"an object without a status", `{"message":"hi"}`, 200, "application/json", `{"message":"hi"}`},
		{"a string", `"Hello from Lambda!"`, 200, "application/json", "Hello from Lambda!"},
		{"an array", `[1,2]`, 200, "application/json", "[1,2]"},
		{"null", `null`, 200, "application/json", "null"},
		{"not JSON", `hello`, 500, "application/json", failed},
		{"empty", ``, 500, "application/json", failed},
		{"no status", `{"statusCode":"abc"}`, 500, "application/json", failed},
		{"a status out of range", `{"statusCode":199}`, 500, "application/json", failed},
		{"a status with a fraction", `{"statusCode":200.5}`, 500, "application/json", failed},
		{"a body that is no string", `{"statusCode":200,"body":{}}`, 500, "application/json", failed},
		{"a header that is a list", `{"statusCode":200,"headers":{"a":["b"]}}`, 500, "application/json", failed},
		{"bad base64", `{"statusCode":200,"body":"*","isBase64Encoded":true}`, 500, "application/json", failed},
	}
	f := &function{}
	s := start(t, config(f))
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			f.answer = returning(tt.payload)
			resp, body := do(t, "GET", s.URL(), "")
			if resp.StatusCode != tt.status || body != tt.body || resp.Header.Get("Content-Type") != tt.contentType {
				t.Errorf("got %d %q %q, want %d %q %q", resp.StatusCode, resp.Header.Get("Content-Type"), body, tt.status, tt.contentType, tt.body)
			}
			if resp.Header.Get("Apigw-Requestid") == "" {
				t.Error("no apigw-requestid")
			}
		})
	}
	t.Run("cookies", func(t *testing.T) {
		f.answer = returning(`{"statusCode":200,"cookies":["a=1; Path=/","b=2"],"headers":{"x":"y","content-length":"999"},"body":"x"}`)
		resp, _ := do(t, "GET", s.URL(), "")
		if diff := cmp.Diff([]string{"a=1; Path=/", "b=2"}, resp.Header["Set-Cookie"]); diff != "" {
			t.Error(diff)
		}
	})
	t.Run("the answer to HEAD has no body", func(t *testing.T) {
		f.answer = returning(`{"statusCode":200,"body":"xyz"}`)
		resp, body := do(t, "HEAD", s.URL(), "")
		if resp.StatusCode != http.StatusOK || resp.ContentLength != 3 || body != "" {
			t.Errorf("got %d, length %d, %q", resp.StatusCode, resp.ContentLength, body)
		}
	})
	t.Run("the function fails", func(t *testing.T) {
		f.answer = func(context.Context, []byte) ([]byte, string, error) {
			return []byte(`{"errorMessage":"boom"}`), "Unhandled", nil
		}
		if resp, body := do(t, "GET", s.URL(), ""); resp.StatusCode != http.StatusInternalServerError || body != failed {
			t.Errorf("got %d %s", resp.StatusCode, body)
		}
	})
	t.Run("the function cannot be invoked", func(t *testing.T) {
		f.answer = func(context.Context, []byte) ([]byte, string, error) { return nil, "", errors.New("throttled") }
		if resp, body := do(t, "GET", s.URL(), ""); resp.StatusCode != http.StatusInternalServerError || body != failed {
			t.Errorf("got %d %s", resp.StatusCode, body)
		}
	})
}

func TestASlowFunctionIsGivenUpAndGoesOn(t *testing.T) {
	ended := make(chan error, 1)
	release := make(chan struct{})
	f := &function{answer: func(ctx context.Context, _ []byte) ([]byte, string, error) {
		<-release
		ended <- ctx.Err()
		return []byte(`{"statusCode":200}`), "", nil
	}}
	cfg := config(f)
	cfg.Routes[0].Integration.Timeout = 50 * time.Millisecond
	s := start(t, cfg)
	resp, body := do(t, "GET", s.URL(), "")
	if resp.StatusCode != http.StatusServiceUnavailable || body != `{"message":"Service Unavailable"}` {
		t.Errorf("got %d %s", resp.StatusCode, body)
	}
	close(release)
	if err := <-ended; err != nil {
		t.Errorf("the function was stopped: %v", err)
	}
}

func TestLimits(t *testing.T) {
	f := &function{}
	s := start(t, config(f))
	tests := []struct {
		name        string
		size        int
		contentType string
		status      int
	}{
		{"an event under 6 MB", 5 << 20, "text/plain", 204},
		{"an event over 6 MB", 6 << 20, "text/plain", 413},
		{"base64 that makes it over 6 MB", 5 << 20, "application/octet-stream", 413},
		{"over 10 MB", 10<<20 + 1, "text/plain", 413},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := do(t, "POST", s.URL(), strings.Repeat("x", tt.size), "Content-Type", tt.contentType)
			if resp.StatusCode != tt.status || tt.status == 413 && body != `{"message":"Request Entity Too Large"}` {
				t.Errorf("got %d %s, want %d", resp.StatusCode, body, tt.status)
			}
		})
	}
}

func TestThrottling(t *testing.T) {
	f := &function{}
	cfg := config(f)
	now := time.Now()
	cfg.Now = func() time.Time { return now }
	cfg.Routes = append(cfg.Routes, api.Route{Key: "GET /own", Integration: api.Integration{FunctionARN: functionARN}})
	cfg.Stages[0].Throttle = api.Throttle{Rate: 2, Burst: 3}
	cfg.Routes = append(cfg.Routes, api.Route{Key: "GET /rate", Integration: api.Integration{FunctionARN: functionARN}})
	cfg.Stages[0].RouteThrottles = map[string]api.Throttle{"GET /own": {Rate: 1, Burst: 1}, "GET /rate": {Rate: 1}}
	s := start(t, cfg)
	count := func(path string, n int) (ok int) {
		for range n {
			resp, body := do(t, "GET", s.URL()+path, "")
			switch {
			case resp.StatusCode == http.StatusNoContent:
				ok++
			case resp.StatusCode != http.StatusTooManyRequests || body != `{"message":"Too Many Requests"}`:
				t.Errorf("got %d %s", resp.StatusCode, body)
			}
		}
		return ok
	}
	if got := count("/x", 5); got != 3 {
		t.Errorf("burst: got %d of 5, want 3", got)
	}
	if got := count("/own", 2); got != 1 {
		t.Errorf("the route's own burst: got %d of 2, want 1", got)
	}
	if got := count("/rate", 5); got != 5 {
		t.Errorf("a rate with the account's burst: got %d of 5, want 5", got)
	}
	now = now.Add(time.Second)
	if got := count("/x", 5); got != 2 {
		t.Errorf("a second later: got %d of 5, want 2", got)
	}
}

func TestStages(t *testing.T) {
	f := &function{}
	cfg := config(f)
	cfg.Routes = []api.Route{{Key: "GET /a", Integration: api.Integration{FunctionARN: functionARN}}}
	cfg.Stages = []api.Stage{{Name: "dev"}}
	s := start(t, cfg)
	if resp, body := do(t, "GET", s.URL()+"/a", ""); resp.StatusCode != http.StatusNotFound || body != `{"message":"Not Found"}` {
		t.Errorf("without its stage: got %d %s", resp.StatusCode, body)
	}
	do(t, "GET", s.URL()+"/dev/a", "")
	if ev := f.last(t); ev.RawPath != "/dev/a" || ev.RequestContext.Stage != "dev" {
		t.Errorf("got path %s, stage %s", ev.RawPath, ev.RequestContext.Stage)
	}
}

func TestAccessLog(t *testing.T) {
	var log bytes.Buffer
	f := &function{answer: returning(`{"statusCode":200,"body":"four"}`)}
	cfg := config(f)
	cfg.AccessLog = &log
	cfg.Stages[0].AccessLogFormat = `{"id":"$context.requestId","ip":"$context.identity.sourceIp","at":"$context.requestTime","req":"$context.httpMethod $context.path","route":"$context.routeKey","status":$context.status,"len":$context.responseLength,"ua":"$context.identity.userAgent","err":"$context.error.message","ierr":"$context.integrationErrorMessage","ext":"$context.extendedRequestId","sub":"$context.authorizer.claims.sub"}`
	s := start(t, cfg)
	do(t, "GET", s.URL()+"/x", "", "User-Agent", `a"b`)
	f.answer = func(context.Context, []byte) ([]byte, string, error) { return nil, "", errors.New("boom") }
	do(t, "GET", s.URL()+"/y", "", "User-Agent", "u")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	want := `{"id":"JKJaXmPLvHcESHA=","ip":"127.0.0.1","at":"12/Mar/2026:19:03:58 +0000","req":"GET /x","route":"$default","status":200,"len":4,"ua":"a\"b","err":"-","ierr":"-","ext":"-","sub":"-"}
{"id":"JKJaXmPLvHcESHA=","ip":"127.0.0.1","at":"12/Mar/2026:19:03:58 +0000","req":"GET /y","route":"$default","status":500,"len":35,"ua":"u","err":"Internal Server Error","ierr":"boom","ext":"-","sub":"-"}
`
	if diff := cmp.Diff(want, log.String()); diff != "" {
		t.Errorf("access log (-want +got):\n%s", diff)
	}
}
