package s3

import (
	"errors"
	"fmt"
	"net/http"

	"github.com/versity/versitygw/auth"
	"github.com/versity/versitygw/s3err"

	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/gateway/sigv4"
)

// accounts lets the engine verify signatures made with the credentials of an identity.Issuer. Every
// account is an administrator: what a caller may do is decided before the engine.
type accounts struct{ issuer *identity.Issuer }

var (
	_ auth.IAMService         = accounts{}
	_ auth.SigningKeyProvider = accounts{}
)

// DeriveSigningKey implements auth.SigningKeyProvider.
func (a accounts) DeriveSigningKey(access, sessionToken, date, region, service string) ([]byte, auth.Account, error) {
	caller, err := a.issuer.Resolve(access, sessionToken)
	switch {
	case errors.Is(err, identity.ErrUnknownKey):
		return nil, auth.Account{}, auth.ErrNoSuchUser
	case errors.Is(err, identity.ErrExpiredToken):
		return nil, auth.Account{}, s3err.APIError{
			Code: "ExpiredToken", Description: "The provided token has expired.", HTTPStatusCode: http.StatusBadRequest,
		}
	case err != nil:
		return nil, auth.Account{}, auth.ErrInvalidSessionToken
	}
	account := auth.Account{
		Access: access, Role: auth.RoleAdmin,
		SessionToken: sessionToken, IsSession: sessionToken != "",
		Arn: caller.PrincipalARN, RoleArn: caller.RoleARN,
	}
	return sigv4.DeriveKey(a.issuer.Secret(access), date, region, service), account, nil
}

// GetUserAccount implements auth.IAMService.
func (a accounts) GetUserAccount(access string) (auth.Account, error) {
	caller, err := a.issuer.Resolve(access, "")
	if err != nil {
		return auth.Account{}, auth.ErrNoSuchUser
	}
	return auth.Account{Access: access, Role: auth.RoleAdmin, Arn: caller.PrincipalARN}, nil
}

// ResolveAccounts implements auth.IAMService: it returns those that do not exist.
func (a accounts) ResolveAccounts(access []string) ([]string, error) {
	missing := []string{}
	for _, id := range access {
		if _, err := a.GetUserAccount(id); err != nil {
			missing = append(missing, id)
		}
	}
	return missing, nil
}

// CreateAccount implements auth.IAMService; accounts come from the issuer alone.
func (accounts) CreateAccount(auth.Account) error { return errNoAccounts() }

// UpdateUserAccount implements auth.IAMService; accounts come from the issuer alone.
func (accounts) UpdateUserAccount(string, auth.MutableProps) error { return errNoAccounts() }

// DeleteUserAccount implements auth.IAMService; accounts come from the issuer alone.
func (accounts) DeleteUserAccount(string) error { return errNoAccounts() }

// ListUserAccounts implements auth.IAMService; accounts come from the issuer alone.
func (accounts) ListUserAccounts() ([]auth.Account, error) { return nil, errNoAccounts() }

// Shutdown implements auth.IAMService.
func (accounts) Shutdown() error { return nil }

func errNoAccounts() error {
	return fmt.Errorf("manage accounts: %w", s3err.GetAPIError(s3err.ErrAdminMethodNotSupported))
}
