// Package issuer stands in for Cognito user pools: it signs access tokens for the pools of a template.
package issuer

import (
	"context"
	"crypto/rsa"
	"errors"
	"net/http"
	"time"
)

// Issuer signs tokens for its pools. It is safe for concurrent use.
type Issuer struct {
	cfg Config
}

// New loads the signing keys and client secrets, or makes them.
func New(cfg Config) (*Issuer, error) { return &Issuer{cfg: cfg}, nil }

// Start listens and serves until ctx ends.
func (i *Issuer) Start(ctx context.Context) error { return nil }

// URL is where the issuer listens, without a trailing slash; known once Start has returned.
func (i *Issuer) URL() string { return "" }

// Close stops listening and waits for the requests under way.
func (i *Issuer) Close() error { return nil }

// Mint signs an access token for a user, after the pool's trigger has had its say.
func (i *Issuer) Mint(ctx context.Context, r MintRequest) (string, time.Time, error) {
	return "", time.Time{}, errors.New("no pools")
}

// ClientSecret is the secret of an app client, for those that have one.
func (i *Issuer) ClientSecret(clientID string) (string, bool) { return "", false }

// VerificationKey finds the public key of a pool by its issuer URL and key id.
func (i *Issuer) VerificationKey(ctx context.Context, issuer, keyID string) (*rsa.PublicKey, error) {
	return nil, errors.New("no pools")
}

// ServeHTTP answers the well-known documents, the token endpoint and the local minting endpoint.
func (i *Issuer) ServeHTTP(w http.ResponseWriter, r *http.Request) {}
