package api_test

import (
	"context"
	"crypto/rsa"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/api"
)

func TestStartSaysWhichPortIsBusy(t *testing.T) {
	s := start(t, config(&function{}))
	cfg := config(&function{})
	cfg.Addr = strings.TrimPrefix(s.URL(), "http://")
	other, err := api.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Start(t.Context()); err == nil || !strings.Contains(err.Error(), cfg.Addr) {
		t.Errorf("got %v, want an error that names %s", err, cfg.Addr)
	}
}

func TestItTakesAListenerOver(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(&function{})
	cfg.Listener = l
	s := start(t, cfg)
	if resp, _ := do(t, "GET", s.URL(), ""); s.URL() != "http://"+l.Addr().String() || resp.StatusCode != http.StatusNoContent {
		t.Errorf("%s answered %d", s.URL(), resp.StatusCode)
	}
}

func TestItStopsWithItsContext(t *testing.T) {
	s, err := api.New(config(&function{}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	if err := s.Start(ctx); err != nil {
		t.Fatal(err)
	}
	cancel()
	for range 200 {
		if _, err := http.Get(s.URL()); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("it still answers")
}

func TestNewRefuses(t *testing.T) {
	route := func(change func(*api.Route)) func(*api.Config) {
		return func(c *api.Config) { change(&c.Routes[0]) }
	}
	authorizer := func(change func(*api.JWTAuthorizer)) func(*api.Config) {
		return func(c *api.Config) {
			c.Keys = noKeys{}
			a := api.JWTAuthorizer{Name: "a", Issuer: "https://i", Audience: []string{"c"}}
			change(&a)
			c.Authorizers = []api.JWTAuthorizer{a}
		}
	}
	tests := []struct {
		name   string
		change func(*api.Config)
		says   string
	}{
		{"no invoker", func(c *api.Config) { c.Invoker = nil }, "API test: Invoker"},
		{"no stage", func(c *api.Config) { c.Stages = nil }, "no stage"},
		{"a key without a path", route(func(r *api.Route) { r.Key = "GET" }), `route "GET"`},
		{"an unknown method", route(func(r *api.Route) { r.Key = "FETCH /x" }), `route "FETCH /x"`},
		{"a relative path", route(func(r *api.Route) { r.Key = "GET x" }), "begin with /"},
		{"an unclosed parameter", route(func(r *api.Route) { r.Key = "GET /{x" }), "must be {name}"},
		{"a parameter without a name", route(func(r *api.Route) { r.Key = "GET /{}" }), "must be {name}"},
		{"a parameter twice", route(func(r *api.Route) { r.Key = "GET /{a}/{a}" }), "each name once"},
		{"part of a segment", route(func(r *api.Route) { r.Key = "GET /x{a}" }), "whole segment"},
		{"a greedy parameter in the middle", route(func(r *api.Route) { r.Key = "GET /{a+}/b" }), "last segment"},
		{"no function", route(func(r *api.Route) { r.Integration.FunctionARN = "" }), "no function"},
		{"too short a time-out", route(func(r *api.Route) { r.Integration.Timeout = 49 * time.Millisecond }), "time-out"},
		{"too long a time-out", route(func(r *api.Route) { r.Integration.Timeout = 30*time.Second + 1 }), "time-out"},
		{"an undeclared authorizer", route(func(r *api.Route) { r.Authorizer = "a" }), `authorizer "a"`},
		{"scopes without an authorizer", route(func(r *api.Route) { r.Scopes = []string{"s"} }), "scopes but no authorizer"},
		{"a route twice", func(c *api.Config) { c.Routes = append(c.Routes, c.Routes[0]) }, "stands twice"},
		{"a throttle of no route", func(c *api.Config) { c.Stages[0].RouteThrottles = map[string]api.Throttle{"GET /x": {}} }, `route "GET /x"`},
		{"an unknown log variable", func(c *api.Config) { c.Stages[0].AccessLogFormat = "$context.nope" }, "$context.nope"},
		{"an authorizer without issuer", authorizer(func(a *api.JWTAuthorizer) { a.Issuer = "" }), "authorizer a: has no issuer"},
		{"an authorizer without audience", authorizer(func(a *api.JWTAuthorizer) { a.Audience = nil }), "no audience"},
		{"an unknown identity source", authorizer(func(a *api.JWTAuthorizer) { a.IdentitySource = []string{"$context.x"} }), "identity source"},
		{"an authorizer without keys", func(c *api.Config) {
			c.Authorizers = []api.JWTAuthorizer{{Name: "a", Issuer: "https://i", Audience: []string{"c"}}}
		}, "Keys"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(&function{})
			tt.change(&cfg)
			if _, err := api.New(cfg); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want an error that says %q", err, tt.says)
			}
		})
	}
}

type noKeys struct{}

func (noKeys) VerificationKey(context.Context, string, string) (*rsa.PublicKey, error) {
	return nil, errors.New("none")
}
