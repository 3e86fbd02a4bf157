package template

import (
	"fmt"
	"slices"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

// UserPool is a Cognito user pool.
type UserPool struct {
	Origin
	ID, ARN         string
	TriggerARN      string // pre token generation; empty: none
	TriggerVersion  string // V1_0, V2_0 or V3_0
	Clients         []UserPoolClient
	ResourceServers []ResourceServer
	Groups          []string
}

// UserPoolClient is an app client.
type UserPoolClient struct {
	ID, Name       string
	GenerateSecret bool
	Flows, Scopes  []string
	AccessTokenTTL time.Duration // zero: 1 hour
}

// ResourceServer declares custom scopes.
type ResourceServer struct {
	Identifier string
	Scopes     []string
}

type userPoolProperties struct {
	// Sign-in, passwords, messages and recovery happen in Cognito's hosted pages,
	// which do not exist here: tokens are minted.
	AccountRecoverySetting, AdminCreateUserConfig, AliasAttributes, AutoVerifiedAttributes NoLocalEffect
	DeletionProtection, DeviceConfiguration, EmailConfiguration, EmailVerificationMessage  NoLocalEffect
	EmailVerificationSubject, EnabledMfas, MfaConfiguration, Policies, Schema              NoLocalEffect
	SmsAuthenticationMessage, SmsConfiguration, SmsVerificationMessage                     NoLocalEffect
	UserAttributeUpdateSettings, UserPoolAddOns, UserPoolTags, UserPoolTier                NoLocalEffect
	UsernameAttributes, UsernameConfiguration, VerificationMessageTemplate                 NoLocalEffect
	EmailAuthenticationMessage, EmailAuthenticationSubject, WebAuthnRelyingPartyID         NoLocalEffect
	WebAuthnUserVerification, WebAuthnFactorConfiguration                                  NoLocalEffect

	LambdaConfig struct {
		PreTokenGeneration       string
		PreTokenGenerationConfig struct{ LambdaArn, LambdaVersion string }
	}
	UserPoolName string
}

func decodeUserPool(d *decoder, r assembly.Resource) error {
	p, err := properties[userPoolProperties](r)
	if err != nil {
		return err
	}
	pool := &UserPool{Origin: origin(r), ID: r.Ref, ARN: r.Attributes["Arn"],
		TriggerARN: p.LambdaConfig.PreTokenGenerationConfig.LambdaArn, TriggerVersion: p.LambdaConfig.PreTokenGenerationConfig.LambdaVersion}
	if old := p.LambdaConfig.PreTokenGeneration; pool.TriggerARN == "" && old != "" {
		pool.TriggerARN, pool.TriggerVersion = old, "V1_0"
	}
	d.model.UserPools = append(d.model.UserPools, pool)
	return nil
}

func (d *decoder) onPool(r assembly.Resource, id string, f func(*UserPool)) {
	d.later(r, func() error {
		i := slices.IndexFunc(d.model.UserPools, func(p *UserPool) bool { return p.ID == id })
		if i < 0 {
			return fmt.Errorf("property UserPoolId: no stack declares the user pool %s", id)
		}
		f(d.model.UserPools[i])
		return nil
	})
}

type userPoolClientProperties struct {
	AccessTokenValidity             *integer
	AllowedOAuthFlows               []string
	AllowedOAuthFlowsUserPoolClient NoLocalEffect // the flows say it
	AllowedOAuthScopes              []string
	AuthSessionValidity             NoLocalEffect // hosted pages do not exist here
	CallbackURLs, LogoutURLs        NoLocalEffect // hosted pages do not exist here
	ClientName                      string
	DefaultRedirectURI              NoLocalEffect // hosted pages do not exist here
	EnableTokenRevocation           NoLocalEffect // tokens live until they expire
	ExplicitAuthFlows               NoLocalEffect // users do not sign in here
	GenerateSecret                  boolean
	IDTokenValidity                 NoLocalEffect // only access tokens are issued
	PreventUserExistenceErrors      NoLocalEffect // users do not sign in here
	ReadAttributes, WriteAttributes NoLocalEffect // users have no attributes here
	RefreshTokenRotation            NoLocalEffect // only access tokens are issued
	RefreshTokenValidity            NoLocalEffect // only access tokens are issued
	SupportedIdentityProviders      NoLocalEffect // users do not sign in here
	TokenValidityUnits              struct {
		AccessToken           string
		IDToken, RefreshToken NoLocalEffect // only access tokens are issued
	}
	UserPoolID string
}

func decodeUserPoolClient(d *decoder, r assembly.Resource) error {
	p, err := properties[userPoolClientProperties](r)
	if err != nil {
		return err
	}
	unit := time.Hour
	if u := p.TokenValidityUnits.AccessToken; u != "" {
		if err := oneOf("TokenValidityUnits.AccessToken", u, "seconds", "minutes", "hours", "days"); err != nil {
			return err
		}
		unit = map[string]time.Duration{"seconds": time.Second, "minutes": time.Minute, "hours": time.Hour, "days": day}[u]
	}
	client := UserPoolClient{ID: r.Ref, Name: r.Name, GenerateSecret: bool(p.GenerateSecret), Flows: p.AllowedOAuthFlows,
		Scopes: p.AllowedOAuthScopes, AccessTokenTTL: time.Duration(number(p.AccessTokenValidity, 0)) * unit}
	d.onPool(r, p.UserPoolID, func(pool *UserPool) { pool.Clients = append(pool.Clients, client) })
	return nil
}

func decodeResourceServer(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		Identifier string
		Name       NoLocalEffect // for people
		Scopes     []struct {
			ScopeDescription NoLocalEffect // for people
			ScopeName        string
		}
		UserPoolID string
	}](r)
	if err != nil {
		return err
	}
	server := ResourceServer{Identifier: p.Identifier}
	for _, s := range p.Scopes {
		server.Scopes = append(server.Scopes, s.ScopeName)
	}
	d.onPool(r, p.UserPoolID, func(pool *UserPool) { pool.ResourceServers = append(pool.ResourceServers, server) })
	return nil
}

func decodeUserPoolGroup(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		Description, Precedence, RoleArn NoLocalEffect // groups matter as a claim only
		GroupName, UserPoolID            string
	}](r)
	if err != nil {
		return err
	}
	d.onPool(r, p.UserPoolID, func(pool *UserPool) { pool.Groups = append(pool.Groups, p.GroupName) })
	return nil
}
