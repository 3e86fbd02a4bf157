package issuer_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/api"
	"github.com/stowage-dev/stowage/scripts/local/issuer"
)

const (
	poolID     = "eu-west-1_Abcdefghi"
	issuerURL  = "https://cognito-idp.eu-west-1.amazonaws.com/" + poolID
	triggerARN = "arn:aws:lambda:eu-west-1:000000000000:function:claims"
	now        = 1773342238
)

// The API asks the issuer for its keys.
var _ api.KeySource = (*issuer.Issuer)(nil)

func config(t *testing.T) issuer.Config {
	t.Helper()
	n := 0
	return issuer.Config{
		Region: "eu-west-1", StateDir: filepath.Join(t.TempDir(), "issuer"),
		Pools: []issuer.Pool{{
			ID:              poolID,
			ResourceServers: []issuer.ResourceServer{{Identifier: "stowage", Scopes: []string{"read", "write"}}},
			Clients: []issuer.Client{
				{ID: "web", Name: "Web", Flows: []string{"code"}, Scopes: []string{"openid", "stowage/read"}},
				{ID: "machine", Name: "Machine", GenerateSecret: true, Flows: []string{"client_credentials"}, Scopes: []string{"stowage/read", "stowage/write", "openid"}, AccessTokenTTL: 2 * time.Hour},
				{ID: "confidential", Name: "Confidential", GenerateSecret: true, Flows: []string{"code"}},
			},
		}},
		Now:   func() time.Time { return time.Unix(now, 5e8) },
		NewID: func() string { n++; return fmt.Sprintf("id-%d", n) },
	}
}

func newIssuer(t *testing.T, cfg issuer.Config) *issuer.Issuer {
	t.Helper()
	i, err := issuer.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := i.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := i.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
	return i
}

// claimsOf verifies a token with the published keys and returns its claims.
func claimsOf(t *testing.T, i *issuer.Issuer, token string) map[string]any {
	t.Helper()
	var keys jose.JSONWebKeySet
	if err := json.Unmarshal([]byte(get(t, i.URL()+"/"+poolID+"/.well-known/jwks.json")), &keys); err != nil {
		t.Fatal(err)
	}
	signed, err := jose.ParseSignedCompact(token, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil {
		t.Fatal(err)
	}
	found := keys.Key(signed.Signatures[0].Header.KeyID)
	if len(found) != 1 {
		t.Fatalf("%d keys have the id of the token, want 1", len(found))
	}
	payload, err := signed.Verify(found[0])
	if err != nil {
		t.Fatal(err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

func get(t *testing.T, url string) string {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	raw, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestAUsersTokenLooksLikeCognitos(t *testing.T) {
	i := newIssuer(t, config(t))
	token, expires, err := i.Mint(t.Context(), issuer.MintRequest{
		Sub: "alpha-user", Groups: []string{"staff"}, Scopes: []string{"stowage/read", "openid"},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"sub": "alpha-user", "username": "alpha-user", "iss": issuerURL, "client_id": "web", "token_use": "access",
		"scope": "stowage/read openid", "cognito:groups": []any{"staff"}, "version": 2.0,
		"auth_time": float64(now), "iat": float64(now), "exp": float64(now + 3600),
		"origin_jti": "id-1", "event_id": "id-2", "jti": "id-3",
	}
	if diff := cmp.Diff(want, claimsOf(t, i, token)); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
	if expires.Unix() != now+3600 {
		t.Errorf("expires %s", expires)
	}
}

func TestTheTriggerHasItsSay(t *testing.T) {
	tests := []struct {
		name, response string
		change         map[string]any // of the claims; nil removes one
		fails          string
	}{
		{"nothing", `null`, nil, ""},
		{"claims of any kind", `{"accessTokenGeneration":{"claimsToAddOrOverride":{"stowage:workspaces":"alpha:owner","n":1,"list":["a"],"o":{"x":true}}}}`,
			map[string]any{"stowage:workspaces": "alpha:owner", "n": 1.0, "list": []any{"a"}, "o": map[string]any{"x": true}}, ""},
		{"scopes", `{"accessTokenGeneration":{"scopesToAdd":["stowage/write","extra"],"scopesToSuppress":["stowage/read"]}}`,
			map[string]any{"scope": "stowage/write extra"}, ""},
		{"all scopes gone", `{"accessTokenGeneration":{"scopesToSuppress":["stowage/read"]}}`, map[string]any{"scope": nil}, ""},
		{"groups", `{"groupOverrideDetails":{"groupsToOverride":["x","y"]}}`, map[string]any{"cognito:groups": []any{"x", "y"}}, ""},
		{"no groups", `{"groupOverrideDetails":{}}`, map[string]any{"cognito:groups": nil}, ""},
		{"the audience", `{"accessTokenGeneration":{"claimsToAddOrOverride":{"aud":"web"}}}`, map[string]any{"aud": "web"}, ""},
		{"the ID token", `{"idTokenGeneration":{"claimsToAddOrOverride":{"sub":"x"}}}`, nil, ""},
		{"another audience", `{"accessTokenGeneration":{"claimsToAddOrOverride":{"aud":"x"}}}`, nil, "claim aud"},
		{"a fixed claim", `{"accessTokenGeneration":{"claimsToAddOrOverride":{"sub":"admin"}}}`, nil, "claim sub"},
		{"a fixed claim suppressed", `{"accessTokenGeneration":{"claimsToSuppress":["exp"]}}`, nil, "claim exp"},
		{"a reserved prefix", `{"accessTokenGeneration":{"claimsToAddOrOverride":{"cognito:x":"y"}}}`, nil, "cognito:x"},
		{"two scopes in one", `{"accessTokenGeneration":{"scopesToAdd":["a b"]}}`, nil, "scope"},
		{"not what is expected", `[]`, nil, "unrecognizable"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(t)
			cfg.Pools[0].Trigger = &issuer.PreTokenGeneration{FunctionARN: triggerARN, Version: "V3_0"}
			cfg.Invoke = func(context.Context, string, []byte) ([]byte, error) {
				return []byte(`{"response":{"claimsAndScopeOverrideDetails":` + tt.response + `}}`), nil
			}
			i := newIssuer(t, cfg)
			token, _, err := i.Mint(t.Context(), issuer.MintRequest{Sub: "u", Groups: []string{"g"}, Scopes: []string{"stowage/read"}})
			if tt.fails != "" {
				if err == nil || !strings.Contains(err.Error(), tt.fails) {
					t.Errorf("got %v, want an error that says %q", err, tt.fails)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			want := map[string]any{
				"sub": "u", "username": "u", "iss": issuerURL, "client_id": "web", "token_use": "access", "version": 2.0, "scope": "stowage/read",
				"cognito:groups": []any{"g"}, "auth_time": float64(now), "iat": float64(now), "exp": float64(now + 3600),
				"origin_jti": "id-1", "event_id": "id-2", "jti": "id-3",
			}
			for k, v := range tt.change {
				want[k] = v
				if v == nil {
					delete(want, k)
				}
			}
			if diff := cmp.Diff(want, claimsOf(t, i, token)); diff != "" {
				t.Errorf("claims (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTheTriggersEvent(t *testing.T) {
	var got []byte
	cfg := config(t)
	cfg.Pools[0].Trigger = &issuer.PreTokenGeneration{FunctionARN: triggerARN, Version: "V3_0"}
	cfg.Invoke = func(ctx context.Context, arn string, event []byte) ([]byte, error) {
		if deadline, ok := ctx.Deadline(); !ok || time.Until(deadline) > 5*time.Second || arn != triggerARN {
			t.Errorf("invoked %s with deadline %v", arn, deadline)
		}
		got = event
		return event, nil
	}
	i := newIssuer(t, cfg)
	check := func(want events.CognitoEventUserPoolsPreTokenGenV2_0) {
		t.Helper()
		var ev events.CognitoEventUserPoolsPreTokenGenV2_0
		d := json.NewDecoder(bytes.NewReader(got))
		d.DisallowUnknownFields()
		if err := d.Decode(&ev); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, ev); diff != "" {
			t.Errorf("event (-want +got):\n%s", diff)
		}
	}
	header := events.CognitoEventUserPoolsHeader{
		Version: "3", TriggerSource: "TokenGeneration_Authentication", Region: "eu-west-1", UserPoolID: poolID, UserName: "jo",
		CallerContext: events.CognitoEventUserPoolsCallerContext{AWSSDKVersion: "aws-sdk-unknown-unknown", ClientID: "web"},
	}
	if _, _, err := i.Mint(t.Context(), issuer.MintRequest{
		Sub: "u", Username: "jo", Groups: []string{"g"}, Scopes: []string{"openid"},
		UserAttributes: map[string]string{"email": "jo@example.com"}, ClientMetadata: map[string]string{"workspace": "alpha"},
	}); err != nil {
		t.Fatal(err)
	}
	check(events.CognitoEventUserPoolsPreTokenGenV2_0{CognitoEventUserPoolsHeader: header, Request: events.CognitoEventUserPoolsPreTokenGenRequestV2_0{
		UserAttributes:     map[string]string{"sub": "u", "cognito:user_status": "CONFIRMED", "email": "jo@example.com"},
		GroupConfiguration: events.GroupConfigurationV2_0{GroupsToOverride: []string{"g"}, IAMRolesToOverride: []string{}},
		ClientMetadata:     map[string]string{"workspace": "alpha"}, Scopes: []string{"openid"},
	}})
	secret, _ := i.ClientSecret("machine")
	form(t, i, url.Values{"grant_type": {"client_credentials"}, "scope": {"stowage/write"}}, "machine", secret)
	header.TriggerSource, header.UserName, header.CallerContext.ClientID = "TokenGeneration_ClientCredentials", "machine", "machine"
	check(events.CognitoEventUserPoolsPreTokenGenV2_0{CognitoEventUserPoolsHeader: header, Request: events.CognitoEventUserPoolsPreTokenGenRequestV2_0{
		UserAttributes:     map[string]string{},
		GroupConfiguration: events.GroupConfigurationV2_0{GroupsToOverride: []string{}, IAMRolesToOverride: []string{}},
		Scopes:             []string{"stowage/write"},
	}})
}

func TestWhichVersionsAreAsked(t *testing.T) {
	for version, want := range map[string]struct{ user, machine int }{"V1_0": {0, 0}, "V2_0": {1, 0}, "V3_0": {1, 1}} {
		asked := 0
		cfg := config(t)
		cfg.Pools[0].Trigger = &issuer.PreTokenGeneration{FunctionARN: triggerARN, Version: version}
		cfg.Invoke = func(_ context.Context, _ string, event []byte) ([]byte, error) { asked++; return event, nil }
		i := newIssuer(t, cfg)
		if _, _, err := i.Mint(t.Context(), issuer.MintRequest{Sub: "u"}); err != nil {
			t.Fatal(err)
		}
		if asked != want.user {
			t.Errorf("%s, a user: asked %d times, want %d", version, asked, want.user)
		}
		asked = 0
		secret, _ := i.ClientSecret("machine")
		if status, body := form(t, i, url.Values{"grant_type": {"client_credentials"}}, "machine", secret); status != http.StatusOK || asked != want.machine {
			t.Errorf("%s, a machine: %d %s, asked %d times, want %d", version, status, body, asked, want.machine)
		}
	}
}

func TestATriggerThatFailsKeepsTheToken(t *testing.T) {
	cfg := config(t)
	cfg.Pools[0].Trigger = &issuer.PreTokenGeneration{FunctionARN: triggerARN, Version: "V3_0"}
	boom := errors.New("boom")
	cfg.Invoke = func(context.Context, string, []byte) ([]byte, error) { return nil, boom }
	i := newIssuer(t, cfg)
	if token, _, err := i.Mint(t.Context(), issuer.MintRequest{Sub: "u"}); !errors.Is(err, boom) || token != "" {
		t.Errorf("got %q, %v", token, err)
	}
}

func TestMintRefuses(t *testing.T) {
	i := newIssuer(t, config(t))
	tests := []struct {
		name string
		in   issuer.MintRequest
		says string
	}{
		{"no subject", issuer.MintRequest{}, "subject"},
		{"an unknown pool", issuer.MintRequest{Pool: "x", Sub: "u"}, `user pool "x"`},
		{"an unknown client", issuer.MintRequest{ClientID: "x", Sub: "u"}, `client "x"`},
		{"an unknown client of the pool", issuer.MintRequest{Pool: poolID, ClientID: "x", Sub: "u"}, `client "x"`},
		{"an unknown scope", issuer.MintRequest{Sub: "u", Scopes: []string{"stowage/admin"}}, `scope "stowage/admin"`},
	}
	for _, tt := range tests {
		if _, _, err := i.Mint(t.Context(), tt.in); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: got %v, want an error that says %q", tt.name, err, tt.says)
		}
	}
}

func TestKeysAndSecretsLast(t *testing.T) {
	cfg := config(t)
	first := newIssuer(t, cfg)
	token, _, err := first.Mint(t.Context(), issuer.MintRequest{Sub: "u"})
	if err != nil {
		t.Fatal(err)
	}
	secret, ok := first.ClientSecret("machine")
	if _, public := first.ClientSecret("web"); !ok || public {
		t.Error("a client has a secret when the template says so")
	}
	second := newIssuer(t, cfg)
	claimsOf(t, second, token)
	if again, _ := second.ClientSecret("machine"); again != secret {
		t.Error("the secret changed")
	}
	file := filepath.Join(cfg.StateDir, poolID+".pem")
	info, err := os.Stat(file)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key file: %v, %v", info.Mode(), err)
	}
	if err := os.WriteFile(file, []byte("damaged"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := issuer.New(cfg); err == nil || !strings.Contains(err.Error(), file) {
		t.Errorf("a damaged key: got %v, want an error that names the file", err)
	}
}

func TestNewRefuses(t *testing.T) {
	tests := []struct {
		name   string
		change func(*issuer.Pool)
		says   string
	}{
		{"an unknown trigger version", func(p *issuer.Pool) { p.Trigger = &issuer.PreTokenGeneration{Version: "V4_0"} }, "V4_0"},
		{"a trigger without a way to call it", func(p *issuer.Pool) { p.Trigger = &issuer.PreTokenGeneration{Version: "V3_0"} }, "Invoke"},
		{"an unknown flow", func(p *issuer.Pool) { p.Clients[0].Flows = []string{"device"} }, "device"},
		{"an unknown scope", func(p *issuer.Pool) { p.Clients[0].Scopes = []string{"stowage/admin"} }, "stowage/admin"},
		{"too short a validity", func(p *issuer.Pool) { p.Clients[0].AccessTokenTTL = 5*time.Minute - 1 }, "validity"},
		{"too long a validity", func(p *issuer.Pool) { p.Clients[0].AccessTokenTTL = 24*time.Hour + 1 }, "validity"},
	}
	for _, tt := range tests {
		cfg := config(t)
		tt.change(&cfg.Pools[0])
		if _, err := issuer.New(cfg); err == nil || !strings.Contains(err.Error(), tt.says) || !strings.Contains(err.Error(), poolID) {
			t.Errorf("%s: got %v, want an error that says %q", tt.name, err, tt.says)
		}
	}
}
