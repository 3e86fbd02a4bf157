package api_test

import (
	"crypto/rand"
	"crypto/rsa"
	"io"
	"net/http"
	"testing"

	"github.com/go-jose/go-jose/v4"

	"github.com/stowage-dev/stowage/scripts/local/api"
)

// BenchmarkRequest is what the gateway adds to an authorized request, the connection included.
func BenchmarkRequest(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	cfg := config(&function{answer: returning(`{"statusCode":200,"body":"x"}`)})
	cfg.Keys = keys{"k1", &key.PublicKey}
	cfg.Authorizers = []api.JWTAuthorizer{{Name: "jwt", Issuer: issuer, Audience: []string{"client-a"}}}
	cfg.Routes[0].Authorizer = "jwt"
	s, err := api.New(cfg)
	if err != nil {
		b.Fatal(err)
	}
	if err := s.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = s.Close() })
	r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, s.URL(), nil)
	if err != nil {
		b.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+sign(b, jose.RS256, key, "k1", claims(nil)))
	for b.Loop() {
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}
