package issuer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/api"
	"github.com/stowage-dev/stowage/scripts/local/issuer"
)

func form(t *testing.T, i *issuer.Issuer, values url.Values, basic ...string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.URL()+"/oauth2/token", strings.NewReader(values.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if len(basic) == 2 {
		r.SetBasicAuth(basic[0], basic[1])
	}
	return send(t, r)
}

func send(t *testing.T, r *http.Request) (int, string) {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(raw)
}

func TestClientCredentials(t *testing.T) {
	i := newIssuer(t, config(t))
	secret, _ := i.ClientSecret("machine")
	other, _ := i.ClientSecret("confidential")
	grant := func(more ...string) url.Values {
		v := url.Values{"grant_type": {"client_credentials"}}
		for n := 0; n < len(more); n += 2 {
			v.Set(more[n], more[n+1])
		}
		return v
	}
	tests := []struct {
		name   string
		form   url.Values
		basic  []string
		status int
		want   string // scope of the token, or the error
	}{
		{"Basic", grant(), []string{"machine", secret}, 200, "stowage/read stowage/write"},
		{"in the body", grant("client_id", "machine", "client_secret", secret, "scope", "stowage/write"), nil, 200, "stowage/write"},
		{"a wrong secret", grant(), []string{"machine", secret + "x"}, 400, "invalid_client"},
		{"no secret", grant("client_id", "machine"), nil, 400, "invalid_client"},
		{"no client", grant(), nil, 400, "invalid_client"},
		{"an unknown client", grant(), []string{"x", "y"}, 400, "invalid_client"},
		{"a public client", grant("client_id", "web"), nil, 400, "invalid_client"},
		{"a client for users", grant(), []string{"confidential", other}, 400, "unauthorized_client"},
		{"an unknown scope", grant("scope", "stowage/admin"), []string{"machine", secret}, 400, "invalid_scope"},
		{"a scope for users", grant("scope", "openid"), []string{"machine", secret}, 400, "invalid_scope"},
		{"another grant", url.Values{"grant_type": {"password"}}, []string{"machine", secret}, 400, "unsupported_grant_type"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			status, body := form(t, i, tt.form, tt.basic...)
			var answer struct {
				Token string `json:"access_token"`
				TTL   int    `json:"expires_in"`
				Type  string `json:"token_type"`
				Error string `json:"error"`
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil || status != tt.status {
				t.Fatalf("got %d %s", status, body)
			}
			if tt.status != http.StatusOK {
				if answer.Error != tt.want {
					t.Errorf("got %s, want %s", body, tt.want)
				}
				return
			}
			want := map[string]any{
				"sub": "machine", "client_id": "machine", "iss": issuerURL, "token_use": "access", "version": 2.0, "scope": tt.want,
				"auth_time": float64(now), "iat": float64(now), "exp": float64(now + 7200),
			}
			got := claimsOf(t, i, answer.Token)
			delete(got, "jti")
			if diff := cmp.Diff(want, got); diff != "" || answer.TTL != 7200 || answer.Type != "Bearer" {
				t.Errorf("%s\nclaims (-want +got):\n%s", body, diff)
			}
		})
	}
}

func TestTokenForPeople(t *testing.T) {
	cfg := config(t)
	cfg.Pools[0].Trigger = &issuer.PreTokenGeneration{FunctionARN: triggerARN, Version: "V3_0"}
	var event string
	cfg.Invoke = func(_ context.Context, _ string, ev []byte) ([]byte, error) { event = string(ev); return ev, nil }
	i := newIssuer(t, cfg)
	tests := []struct {
		name, body string
		status     int
		want       string // scope of the token, or part of the error
	}{
		{"a subject", `{"sub":"u"}`, 200, "openid stowage/read"},
		{"scopes", `{"sub":"u","scopes":["stowage/write"]}`, 200, "stowage/write"},
		{"a client without scopes", `{"sub":"u","client":"confidential"}`, 200, "stowage/read stowage/write"},
		{"no subject", `{}`, 400, "subject"},
		{"no body", ``, 400, "subject"},
		{"an unknown field", `{"sub":"u","role":"x"}`, 400, "role"},
		{"an unknown scope", `{"sub":"u","scopes":["x"]}`, 400, "scope"},
		{"too much", `{"sub":"` + strings.Repeat("x", 64<<10) + `"}`, 400, "too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.URL()+"/token", strings.NewReader(tt.body))
			if err != nil {
				t.Fatal(err)
			}
			status, body := send(t, r)
			var answer struct {
				Token string `json:"access_token"`
			}
			if err := json.Unmarshal([]byte(body), &answer); err != nil || status != tt.status {
				t.Fatalf("got %d %s", status, body)
			}
			if status == http.StatusOK {
				if got := claimsOf(t, i, answer.Token)["scope"]; got != tt.want {
					t.Errorf("scope %v, want %s", got, tt.want)
				}
			} else if !strings.Contains(body, tt.want) {
				t.Errorf("got %s, want %q", body, tt.want)
			}
		})
	}
	t.Run("the workspace reaches the trigger", func(t *testing.T) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.URL()+"/token", strings.NewReader(`{"sub":"u","workspace":"alpha"}`))
		if err != nil {
			t.Fatal(err)
		}
		if status, _ := send(t, r); status != http.StatusOK || !strings.Contains(event, `"clientMetadata":{"workspace":"alpha"}`) {
			t.Errorf("got %d, event %s", status, event)
		}
	})
}

// TestWhoGetsATokenIsToldToPost: the address of tokens, opened as it is, says how it is used.
func TestWhoGetsATokenIsToldToPost(t *testing.T) {
	i := newIssuer(t, config(t))
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete} {
		r, err := http.NewRequestWithContext(t.Context(), method, i.URL()+"/token", nil)
		if err != nil {
			t.Fatal(err)
		}
		status, body := send(t, r)
		var answer struct {
			Description string `json:"error_description"`
		}
		want := `POST it: curl -d '{"sub": "alpha-user"}' ` + i.URL() + "/token"
		if err := json.Unmarshal([]byte(body), &answer); err != nil || status != http.StatusMethodNotAllowed || answer.Description != want {
			t.Errorf("%s: %d %s, %v; want 405 %s", method, status, body, err, want)
		}
	}
}

func TestOnlyLoopbackNamesAreAnswered(t *testing.T) {
	i := newIssuer(t, config(t))
	for host, want := range map[string]int{"127.0.0.1:1": 200, "localhost": 200, "[::1]:80": 200, "evil.example": 421, "127.0.0.1.evil.example:80": 421, "": 421} {
		r := httptest.NewRequest(http.MethodGet, "/"+poolID+"/.well-known/jwks.json", nil)
		r.Host = host
		w := httptest.NewRecorder()
		i.ServeHTTP(w, r)
		if w.Code != want {
			t.Errorf("%q: got %d, want %d", host, w.Code, want)
		}
	}
}

func TestWellKnownDocuments(t *testing.T) {
	i := newIssuer(t, config(t))
	var doc struct {
		Issuer string `json:"issuer"`
		JWKS   string `json:"jwks_uri"`
		Token  string `json:"token_endpoint"`
	}
	if err := json.Unmarshal([]byte(get(t, i.URL()+"/"+poolID+"/.well-known/openid-configuration")), &doc); err != nil {
		t.Fatal(err)
	}
	if doc.Issuer != issuerURL || doc.JWKS != i.URL()+"/"+poolID+"/.well-known/jwks.json" || doc.Token != i.URL()+"/oauth2/token" {
		t.Errorf("got %+v", doc)
	}
	keys := get(t, doc.JWKS)
	if strings.Contains(keys, `"d"`) || !strings.Contains(keys, `"use":"sig"`) || !strings.Contains(keys, `"alg":"RS256"`) {
		t.Errorf("keys: %s", keys)
	}
	if got := get(t, i.URL()+"/eu-west-1_other/.well-known/jwks.json"); strings.Contains(got, "keys") {
		t.Errorf("an unknown pool: %s", got)
	}
}

// TestTheAPITakesItsTokens connects the two, as the local runtime does.
func TestTheAPITakesItsTokens(t *testing.T) {
	i := newIssuer(t, config(t))
	var event []byte
	s, err := api.New(api.Config{
		Name: "test", Stages: []api.Stage{{Name: "$default"}}, Keys: i, Invoker: invoker(func(ev []byte) { event = ev }),
		Authorizers: []api.JWTAuthorizer{{Name: "jwt", Issuer: issuerURL, Audience: []string{"web"}}},
		Routes:      []api.Route{{Key: "GET /", Integration: api.Integration{FunctionARN: "f"}, Authorizer: "jwt", Scopes: []string{"stowage/read"}}},
		Now:         config(t).Now,
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s)
	defer server.Close()
	for scope, want := range map[string]int{"stowage/read": http.StatusNoContent, "stowage/write": http.StatusForbidden} {
		token, _, err := i.Mint(t.Context(), issuer.MintRequest{Sub: "u", Scopes: []string{scope}})
		if err != nil {
			t.Fatal(err)
		}
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer "+token)
		if status, body := send(t, r); status != want {
			t.Errorf("%s: got %d %s, want %d", scope, status, body, want)
		}
	}
	if !bytes.Contains(event, []byte(`"sub":"u"`)) {
		t.Errorf("event %s", event)
	}
}

type invoker func(event []byte)

func (f invoker) Invoke(_ context.Context, _ string, event []byte) ([]byte, string, error) {
	f(event)
	return []byte(`{"statusCode":204}`), "", nil
}
