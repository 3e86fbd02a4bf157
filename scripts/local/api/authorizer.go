package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// authorizer is a JWTAuthorizer that has been checked.
type authorizer struct {
	JWTAuthorizer
}

// token is what a verified token says.
type token struct {
	claims map[string]any
	scopes []string // those that let it in; nil when the route asks for none
}

func (def *definition) compileAuthorizers() []error {
	var errs []error
	for _, a := range def.cfg.Authorizers {
		if len(a.IdentitySource) == 0 {
			a.IdentitySource = []string{"$request.header.Authorization"}
		}
		var err error
		switch {
		case a.Issuer == "":
			err = errors.New("has no issuer")
		case len(a.Audience) == 0:
			err = errors.New("has no audience")
		case def.cfg.Keys == nil:
			err = errors.New("needs Keys, which is not set")
		}
		for _, source := range a.IdentitySource {
			if !strings.HasPrefix(source, "$request.header.") && !strings.HasPrefix(source, "$request.querystring.") {
				err = fmt.Errorf("identity source %q must be $request.header.NAME or $request.querystring.NAME", source)
			}
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("authorizer %s: %w", a.Name, err))
		}
		def.authorizers[a.Name] = &authorizer{a}
	}
	return errs
}

// authorize answers 401 without a valid token and 403 without one of the route'def scopes.
func (def *definition) authorize(ctx context.Context, ex *exchange) *answer {
	if ex.route.access == nil {
		return nil
	}
	raw := ex.route.access.identity(ex.Request)
	if raw == "" {
		ex.authError = "no token"
		return refuse(http.StatusUnauthorized, "Unauthorized", "Bearer")
	}
	scope := strings.Join(ex.route.Scopes, " ")
	claims, err := def.verify(ctx, ex, raw)
	if err != nil {
		ex.authError = err.Error()
		return refuse(http.StatusUnauthorized, "Unauthorized",
			fmt.Sprintf(`Bearer scope="%s" error="invalid_token" error_description="%s"`, scope, err))
	}
	ex.token = &token{claims: claims}
	if len(ex.route.Scopes) == 0 {
		return nil
	}
	for _, has := range tokenScopes(claims) {
		if slices.Contains(ex.route.Scopes, has) {
			ex.token.scopes = append(ex.token.scopes, has)
		}
	}
	if ex.token.scopes == nil {
		ex.authError = "the token has none of the scopes of the route"
		return refuse(http.StatusForbidden, "Forbidden",
			fmt.Sprintf(`Bearer scope="%s" error="insufficient_scope" error_description="%s"`, scope, ex.authError))
	}
	return nil
}

func refuse(status int, message, challenge string) *answer {
	a := failure(status, message)
	a.header.Set("Www-Authenticate", challenge)
	return &a
}

// identity is the token of a request, without the word Bearer.
func (a *authorizer) identity(r *http.Request) string {
	for _, source := range a.IdentitySource {
		var value string
		if name, ok := strings.CutPrefix(source, "$request.header."); ok {
			value = r.Header.Get(name)
		} else {
			value = r.URL.Query().Get(strings.TrimPrefix(source, "$request.querystring."))
		}
		value = strings.TrimSpace(value)
		if len(value) > 7 && strings.EqualFold(value[:7], "Bearer ") {
			value = strings.TrimSpace(value[7:])
		}
		if value != "" {
			return value
		}
	}
	return ""
}

// verify checks the signature (RS256 only) and the claims iss, aud or client_id, exp, nbf and iat.
// Its errors go to the client: they say what is wrong and nothing of the token.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-jwt-authorizer.html
func (def *definition) verify(ctx context.Context, ex *exchange, raw string) (map[string]any, error) {
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || len(signed.Signatures) != 1 {
		return nil, errors.New("the token is malformed or not signed with RS256")
	}
	kid := signed.Signatures[0].Header.KeyID
	if kid == "" {
		return nil, errors.New("the token names no key")
	}
	issuer := ex.route.access.Issuer
	key, err := def.cfg.Keys.VerificationKey(ctx, issuer, kid)
	if err != nil {
		def.cfg.Logger.Debug("key was not found", "issuer", issuer, "error", err)
		return nil, errors.New("the token is signed with an unknown key")
	}
	payload, err := signed.Verify(key)
	if err != nil {
		return nil, errors.New("the signature is not valid")
	}
	var claims map[string]any
	d := json.NewDecoder(bytes.NewReader(payload))
	d.UseNumber()
	if d.Decode(&claims) != nil || claims == nil {
		return nil, errors.New("the claims are not a JSON object")
	}
	return claims, ex.route.access.check(claims, ex.received)
}

func (a *authorizer) check(claims map[string]any, now time.Time) error {
	if iss, _ := claims["iss"].(string); iss != a.Issuer {
		return errors.New("the token does not have a valid issuer")
	}
	if !a.audienceOf(claims) {
		return errors.New("the token does not have a valid audience")
	}
	for _, bound := range []struct {
		claim string
		wrong func(at time.Time) bool
		says  string
	}{
		{"exp", func(at time.Time) bool { return !now.Before(at) }, "the token has expired"},
		{"nbf", func(at time.Time) bool { return now.Before(at) }, "the token is not valid yet"},
		{"iat", func(at time.Time) bool { return now.Before(at) }, "the token was issued in the future"},
	} {
		v, present := claims[bound.claim]
		if !present && bound.claim != "exp" {
			continue
		}
		n, _ := v.(json.Number)
		seconds, err := n.Float64()
		if err != nil {
			return fmt.Errorf("the claim %s is missing or not a number", bound.claim)
		}
		if bound.wrong(time.UnixMilli(int64(seconds * 1000))) {
			return errors.New(bound.says)
		}
	}
	return nil
}

// audienceOf looks at client_id only where there is no aud.
func (a *authorizer) audienceOf(claims map[string]any) bool {
	aud, ok := claims["aud"]
	if !ok {
		aud = claims["client_id"]
	}
	return slices.ContainsFunc(stringsOf(aud), func(s string) bool { return slices.Contains(a.Audience, s) })
}

// tokenScopes are those of the claim scope or, without it, scp.
func tokenScopes(claims map[string]any) []string {
	v, ok := claims["scope"]
	if !ok {
		v = claims["scp"]
	}
	if s, ok := v.(string); ok {
		return strings.Fields(s)
	}
	return stringsOf(v)
}

func stringsOf(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []any:
		var all []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				all = append(all, s)
			}
		}
		return all
	default:
		return nil
	}
}
