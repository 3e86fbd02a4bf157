// Package sts is AWS's Security Token Service for the roles of a template:
// AssumeRole, with session tags and a session policy, and GetCallerIdentity.
//
// A role's trust policy is evaluated with its conditions: it must let the
// caller in. Whether the caller's own policies allow it to assume the role is,
// as for every call, for the gateway's interceptors to decide.
//
// Refused, by name, is what is not served: managed session policies, transitive
// session tags, source identities, MFA.
package sts

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// Bounds of a session
// (https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html).
const (
	minSession     = 15 * time.Minute
	defaultSession = time.Hour
	maxChained     = time.Hour // of a session that a session assumes
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
	Logger      *slog.Logger // nil: silent
}

// Service answers STS calls behind the gateway. It is safe for concurrent use.
type Service struct {
	cfg      Config
	roles    map[string]role // by ARN
	anything []*iam.Policy   // stands for the policies of a caller
}

type role struct {
	Role
	trust *iam.Policy
}

// New checks the roles' trust policies.
func New(cfg Config) (*Service, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	anything, err := iam.Parse(iam.Identity, "of the caller", []byte(`{"Statement":{"Effect":"Allow","Action":"sts:*","Resource":"*"}}`))
	if err != nil {
		return nil, fmt.Errorf("STS: %w", err)
	}
	s := &Service{cfg: cfg, roles: map[string]role{}, anything: []*iam.Policy{anything}}
	var errs []error
	for _, r := range cfg.Roles {
		trust, err := iam.Parse(iam.Trust, r.Name, []byte(r.Trust))
		if err != nil {
			errs = append(errs, fmt.Errorf("role %s: %w", r.Name, err))
			continue
		}
		if r.MaxSession == 0 {
			r.MaxSession = defaultSession
		}
		s.roles[r.ARN] = role{Role: r, trust: trust}
	}
	return s, errors.Join(errs...)
}

// ServeHTTP answers one call, behind the gateway.
func (s *Service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	call := gateway.CallFrom(r.Context())
	if call == nil || call.Caller == nil {
		http.Error(w, "STS is served behind the gateway alone.", http.StatusInternalServerError)
		return
	}
	form, err := url.ParseQuery(string(call.Body))
	if err != nil {
		gateway.WriteError(w, call, refused("MalformedQueryString", "The query string contains a syntax error."))
		return
	}
	var (
		result any
		denial *gateway.Denial
	)
	switch action := form.Get("Action"); action {
	case "GetCallerIdentity":
		result = s.callerIdentity(call.Caller)
	case "AssumeRole":
		result, denial = s.assumeRole(call.Caller, form)
	default:
		denial = refused("InvalidAction", fmt.Sprintf("The local runtime does not serve sts:%s.", action))
	}
	if denial != nil {
		gateway.WriteError(w, call, denial)
		return
	}
	writeResult(w, call, result)
}

func refused(code, message string) *gateway.Denial {
	return &gateway.Denial{Status: http.StatusBadRequest, Code: code, Message: message}
}

func invalid(format string, args ...any) *gateway.Denial {
	return refused("ValidationError", fmt.Sprintf(format, args...))
}

func (s *Service) callerIdentity(c *gateway.Caller) any {
	id := c.UserID
	if strings.HasSuffix(c.PrincipalARN, ":root") {
		id = s.cfg.Account
	}
	return getCallerIdentityResult{Arn: c.PrincipalARN, UserID: id, Account: s.cfg.Account}
}
