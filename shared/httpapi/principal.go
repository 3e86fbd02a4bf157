package httpapi

import (
	"context"
	"slices"
	"strings"
)

// Claims are the verified claims of the caller's token, as API Gateway gives them: every
// value is a string, a list is "[a b]".
type Claims map[string]string

// Principal is who sent a request.
type Principal struct {
	// Subject is the claim sub: a user, or, of a machine client, its client id.
	Subject string
	// ClientID is the client that the token was issued to.
	ClientID string
	// Scopes granted to the token.
	Scopes []string
	Claims Claims
}

// NewPrincipal reads the claims of a token that somebody else has verified. ok is false
// when they name no subject.
func NewPrincipal(claims Claims) (p Principal, ok bool) {
	p = Principal{
		Subject:  claims["sub"],
		ClientID: claims["client_id"],
		Scopes:   claims.List("scope"),
		Claims:   claims,
	}
	if p.ClientID == "" {
		p.ClientID = claims["azp"] // OpenID Connect's name for it
	}
	if len(p.Scopes) == 0 {
		p.Scopes = claims.List("scp") // what some issuers call it
	}
	return p, p.Subject != ""
}

// List returns a claim that is a list: separated by spaces, within brackets where the
// token held an array.
func (c Claims) List(name string) []string {
	value := c[name]
	if strings.HasPrefix(value, "[") && strings.HasSuffix(value, "]") {
		value = value[1 : len(value)-1]
	}
	return strings.Fields(value)
}

// HasScope reports whether the token was granted scope.
func (p Principal) HasScope(scope string) bool { return slices.Contains(p.Scopes, scope) }

// Machine reports whether a client acts for itself (client credentials) and not for a user.
func (p Principal) Machine() bool { return p.ClientID != "" && p.ClientID == p.Subject }

type principalKey struct{}

// WithPrincipal returns a context for a request of p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// PrincipalFrom returns who sent the request. ok is false for an anonymous one.
func PrincipalFrom(ctx context.Context) (p Principal, ok bool) {
	p, ok = ctx.Value(principalKey{}).(Principal)
	return p, ok
}

type requestIDKey struct{}

// WithRequestID returns a context for the request with that id.
func WithRequestID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, requestIDKey{}, id)
}

// RequestID returns the id of the request, which its answer carries as X-Request-Id and
// its problem as instance.
func RequestID(ctx context.Context) string {
	id, _ := ctx.Value(requestIDKey{}).(string)
	return id
}
