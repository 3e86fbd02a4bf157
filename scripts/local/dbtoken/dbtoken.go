// Package dbtoken verifies the tokens with which database users authenticate by IAM, as
// RDS and RDS Proxy do.
//
// A token is a presigned request of the service rds-db without its scheme,
// "host:port/?Action=connect&DBUser=...", that is taken for 15 minutes after it was
// signed. What the caller may do is not decided here.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.html
package dbtoken

import (
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/gateway/sigv4"
)

const (
	service = "rds-db"
	action  = "connect"
	// Lifetime is how long a token is taken, whatever it says itself.
	Lifetime = 15 * time.Minute
	// clockSkew is how far ahead of time a token may be signed.
	clockSkew = 5 * time.Minute
)

// Why a token is not taken. Errors of Verify wrap one of these, or of identity's and
// sigv4's.
var (
	ErrExpired  = errors.New("the token has expired")
	ErrOther    = errors.New("the token is for something else")
	ErrNotToken = errors.New("this is no token")
)

// Verifier verifies tokens. It is safe for concurrent use.
type Verifier struct {
	Region      string
	Credentials *identity.Issuer
	Now         func() time.Time
}

// Verify tells who signed a token for a user at an endpoint (host:port).
func (v *Verifier) Verify(token, endpoint, user string) (*identity.Caller, error) {
	r, err := http.NewRequest(http.MethodGet, "https://"+token, http.NoBody) //nolint:noctx // it is never sent
	if err != nil {
		return nil, ErrNotToken // the error would hold it
	}
	signature, err := sigv4.FromRequest(r)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotToken, err)
	}
	if signature == nil || !signature.Presigned {
		return nil, ErrNotToken
	}
	if err := v.concerns(r, signature, endpoint, user); err != nil {
		return nil, err
	}
	if err := v.timely(signature); err != nil {
		return nil, err
	}
	caller, err := v.Credentials.Resolve(signature.AccessKeyID, signature.Token)
	if err != nil {
		return nil, fmt.Errorf("access key %s: %w", signature.AccessKeyID, err)
	}
	if err := signature.VerifyPresigned(r, v.Credentials.Secret(signature.AccessKeyID)); err != nil {
		return nil, fmt.Errorf("access key %s: %w", signature.AccessKeyID, err)
	}
	return caller, nil
}

// concerns refuses a token for another endpoint, user, region or deed.
func (v *Verifier) concerns(r *http.Request, s *sigv4.Signature, endpoint, user string) error {
	q := r.URL.Query()
	for _, need := range [][3]string{
		{"endpoint", r.Host, endpoint}, {"path", strings.TrimSuffix(r.URL.Path, "/"), ""}, {"service", s.Service, service}, {"region", s.Region, v.Region},
		{"action", q.Get("Action"), action}, {"user", q.Get("DBUser"), user},
	} {
		if need[1] != need[2] {
			return fmt.Errorf("%w: its %s is %q, not %q", ErrOther, need[0], need[1], need[2])
		}
	}
	return nil
}

func (v *Verifier) timely(s *sigv4.Signature) error {
	now, ends := v.Now(), s.Time.Add(min(s.Expires, Lifetime))
	if !now.Before(ends) {
		return fmt.Errorf("%w: at %s, and it is %s", ErrExpired, ends.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	if s.Time.After(now.Add(clockSkew)) {
		return fmt.Errorf("%w: it was signed at %s, and it is %s", ErrOther, s.Time.Format(time.RFC3339), now.UTC().Format(time.RFC3339))
	}
	return nil
}
