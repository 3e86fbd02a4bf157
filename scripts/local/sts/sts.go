// Package sts is AWS's Security Token Service for the roles of a template:
// AssumeRole and GetCallerIdentity.
package sts

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
)

// Role is a role that can be assumed.
type Role struct {
	Name       string
	ARN        string
	ID         string        // unique id; empty: derived
	Trust      string        // JSON: AssumeRolePolicyDocument
	MaxSession time.Duration // zero: 1 hour
	Tags       map[string]string
}

// Config configures a Service.
type Config struct {
	Account     string
	Roles       []Role
	Credentials *identity.Issuer
	Logger      *slog.Logger
}

// Service answers STS calls behind the gateway. It is safe for concurrent use.
type Service struct{ cfg Config }

// New checks the roles' trust policies.
func New(cfg Config) (*Service, error) { return &Service{cfg: cfg}, nil }

func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {}
