package api_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/api"
)

const (
	issuer = "https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_pool"
	now    = 1773342238
)

// keys knows one key of one issuer.
type keys struct {
	id     string
	public *rsa.PublicKey
}

func (k keys) VerificationKey(_ context.Context, iss, id string) (*rsa.PublicKey, error) {
	if iss != issuer || id != k.id {
		return nil, errors.New("unknown key")
	}
	return k.public, nil
}

func sign(tb testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims any) string {
	tb.Helper()
	opts := &jose.SignerOptions{}
	if kid != "" {
		opts.WithHeader("kid", kid)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, opts)
	if err != nil {
		tb.Fatal(err)
	}
	raw, isRaw := claims.([]byte)
	if !isRaw {
		if raw, err = json.Marshal(claims); err != nil {
			tb.Fatal(err)
		}
	}
	signed, err := signer.Sign(raw)
	if err != nil {
		tb.Fatal(err)
	}
	compact, err := signed.CompactSerialize()
	if err != nil {
		tb.Fatal(err)
	}
	return compact
}

func rsaKey(t *testing.T) *rsa.PrivateKey {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func guarded(t *testing.T, key *rsa.PrivateKey, scopes ...string) (*api.Server, *function) {
	t.Helper()
	f := &function{}
	cfg := config(f)
	cfg.Keys = keys{"k1", &key.PublicKey}
	cfg.Authorizers = []api.JWTAuthorizer{{Name: "jwt", Issuer: issuer, Audience: []string{"client-a", "client-b"}}}
	cfg.Routes = []api.Route{{Key: "GET /", Integration: api.Integration{FunctionARN: functionARN}, Authorizer: "jwt", Scopes: scopes}}
	return start(t, cfg), f
}

func claims(change map[string]any) map[string]any {
	c := map[string]any{
		"sub": "user", "iss": issuer, "client_id": "client-a", "scope": "stowage/read stowage/write",
		"exp": now + 1, "iat": now, "token_use": "access",
	}
	maps.Copy(c, change)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	return c
}

func TestAuthorizer(t *testing.T) {
	key, other := rsaKey(t), rsaKey(t)
	good := claims(nil)
	unsigned := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none","kid":"k1"}`)) + "." +
		base64.RawURLEncoding.EncodeToString([]byte(`{"iss":"`+issuer+`"}`)) + "."
	// The classic confusion: the public key used as the secret of an HMAC.
	confused := sign(t, jose.HS256, key.N.Bytes(), "k1", good)
	valid := sign(t, jose.RS256, key, "k1", good)
	head, rest, _ := strings.Cut(valid, ".")
	_, signature, _ := strings.Cut(rest, ".")
	forged, err := json.Marshal(claims(map[string]any{"sub": "admin"}))
	if err != nil {
		t.Fatal(err)
	}
	tests := []struct {
		name, header string
		status       int
		says         string // in www-authenticate
	}{
		{"valid", "Bearer " + valid, 204, ""},
		{"valid without Bearer", valid, 204, ""},
		{"valid with bearer", "bearer  " + valid, 204, ""},
		{"none", "", 401, "Bearer"},
		{"only Bearer", "Bearer ", 401, "Bearer"},
		{"garbage", "Bearer x.y.z", 401, "malformed"},
		{"basic", "Basic dTpw", 401, "malformed"},
		{"alg none", "Bearer " + unsigned, 401, "RS256"},
		{"HS256 with the public key", "Bearer " + confused, 401, "RS256"},
		{"RS512", "Bearer " + sign(t, jose.RS512, key, "k1", good), 401, "RS256"},
		{"another key", "Bearer " + sign(t, jose.RS256, other, "k1", good), 401, "signature is not valid"},
		{"another payload", "Bearer " + head + "." + base64.RawURLEncoding.EncodeToString(forged) + "." + signature, 401, "signature is not valid"},
		{"an unknown kid", "Bearer " + sign(t, jose.RS256, key, "k2", good), 401, "unknown key"},
		{"no kid", "Bearer " + sign(t, jose.RS256, key, "", good), 401, "names no key"},
		{"claims that are no object", "Bearer " + sign(t, jose.RS256, key, "k1", []byte(`"x"`)), 401, "not a JSON object"},
		{"null claims", "Bearer " + sign(t, jose.RS256, key, "k1", []byte(`null`)), 401, "not a JSON object"},
	}
	for name, tt := range map[string]struct {
		change map[string]any
		says   string
	}{
		"another issuer":                    {map[string]any{"iss": issuer + "/"}, "valid issuer"},
		"no issuer":                         {map[string]any{"iss": nil}, "valid issuer"},
		"another client":                    {map[string]any{"client_id": "client-c"}, "valid audience"},
		"no client":                         {map[string]any{"client_id": nil}, "valid audience"},
		"an audience beside a valid client": {map[string]any{"aud": "x"}, "valid audience"},
		"a valid audience":                  {map[string]any{"aud": []string{"x", "client-b"}, "client_id": "x"}, ""},
		"expired now":                       {map[string]any{"exp": now}, "expired"},
		"no expiry":                         {map[string]any{"exp": nil}, "exp is missing"},
		"expiry as text":                    {map[string]any{"exp": "never"}, "exp is missing"},
		"not before now":                    {map[string]any{"nbf": now}, ""},
		"not before later":                  {map[string]any{"nbf": now + 1}, "not valid yet"},
		"issued later":                      {map[string]any{"iat": now + 1}, "in the future"},
		"no time of issue":                  {map[string]any{"iat": nil}, ""},
	} {
		status := 401
		if tt.says == "" {
			status = 204
		}
		tests = append(tests, struct {
			name, header string
			status       int
			says         string
		}{name, "Bearer " + sign(t, jose.RS256, key, "k1", claims(tt.change)), status, tt.says})
	}
	s, _ := guarded(t, key)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := do(t, "GET", s.URL()+"/", "", "Authorization", tt.header)
			challenge := resp.Header.Get("Www-Authenticate")
			if resp.StatusCode != tt.status || !strings.Contains(challenge, tt.says) {
				t.Errorf("got %d %q, want %d and %q", resp.StatusCode, challenge, tt.status, tt.says)
			}
			if tt.status == 401 && body != `{"message":"Unauthorized"}` {
				t.Errorf("body %s", body)
			}
		})
	}
}

func TestScopes(t *testing.T) {
	key := rsaKey(t)
	tests := []struct {
		name   string
		route  []string
		change map[string]any
		status int
		want   []string // in the event
	}{
		{"none asked", nil, nil, 204, nil},
		{"one of two", []string{"stowage/admin", "stowage/write"}, nil, 204, []string{"stowage/write"}},
		{"both", []string{"stowage/read", "stowage/write"}, nil, 204, []string{"stowage/read", "stowage/write"}},
		{"none of them", []string{"stowage/admin"}, nil, 403, nil},
		{"part of a name", []string{"stowage/rea"}, nil, 403, nil},
		{"no scopes at all", []string{"stowage/read"}, map[string]any{"scope": nil}, 403, nil},
		{"in scp", []string{"stowage/read"}, map[string]any{"scope": nil, "scp": []string{"stowage/read"}}, 204, []string{"stowage/read"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			s, f := guarded(t, key, tt.route...)
			resp, body := do(t, "GET", s.URL()+"/", "", "Authorization", sign(t, jose.RS256, key, "k1", claims(tt.change)))
			if resp.StatusCode != tt.status {
				t.Fatalf("got %d, want %d", resp.StatusCode, tt.status)
			}
			if tt.status == 403 {
				if body != `{"message":"Forbidden"}` || !strings.Contains(resp.Header.Get("Www-Authenticate"), "insufficient_scope") {
					t.Errorf("got %s, %s", body, resp.Header.Get("Www-Authenticate"))
				}
				return
			}
			if diff := cmp.Diff(tt.want, f.last(t).RequestContext.Authorizer.JWT.Scopes); diff != "" {
				t.Errorf("scopes (-want +got):\n%s", diff)
			}
			if tt.want == nil && !bytes.Contains(f.event, []byte(`"scopes":null`)) {
				t.Errorf("scopes are not null: %s", f.event)
			}
		})
	}
}

func TestClaimsArriveAsStrings(t *testing.T) {
	key := rsaKey(t)
	s, f := guarded(t, key)
	do(t, "GET", s.URL()+"/", "", "Authorization", sign(t, jose.RS256, key, "k1", []byte(`{
		"iss":"`+issuer+`","client_id":"client-a","exp":1773342239,"big":12345678901234567890,"half":0.5,"yes":true,
		"cognito:groups":["admin","power user"],"mixed":[1,null,["x"]],"empty":[],"none":null,"object":{"a":[1]}}`)))
	want := map[string]string{
		"iss": issuer, "client_id": "client-a", "exp": "1773342239", "big": "12345678901234567890", "half": "0.5", "yes": "true",
		"cognito:groups": "[admin power user]", "mixed": "[1 [x]]", "empty": "[]", "object": `{"a":[1]}`,
	}
	if diff := cmp.Diff(want, f.last(t).RequestContext.Authorizer.JWT.Claims); diff != "" {
		t.Errorf("claims (-want +got):\n%s", diff)
	}
}

func TestIdentitySources(t *testing.T) {
	key := rsaKey(t)
	cfg := config(&function{})
	cfg.Keys = keys{"k1", &key.PublicKey}
	cfg.Authorizers = []api.JWTAuthorizer{{Name: "jwt", Issuer: issuer, Audience: []string{"client-a"}, IdentitySource: []string{"$request.header.X-Token", "$request.querystring.t"}}}
	cfg.Routes[0].Authorizer = "jwt"
	s := start(t, cfg)
	token := sign(t, jose.RS256, key, "k1", claims(nil))
	for name, tt := range map[string]struct {
		query   string
		headers []string
		status  int
	}{
		"header":       {"", []string{"X-Token", token}, 204},
		"query":        {"?t=" + token, nil, 204},
		"other header": {"", []string{"Authorization", token}, 401},
	} {
		if resp, _ := do(t, "GET", s.URL()+"/"+tt.query, "", tt.headers...); resp.StatusCode != tt.status {
			t.Errorf("%s: got %d, want %d", name, resp.StatusCode, tt.status)
		}
	}
}
