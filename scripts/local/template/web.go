package template

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

func decodeAPI(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		CorsConfiguration *struct {
			AllowCredentials                                        boolean
			AllowHeaders, AllowMethods, AllowOrigins, ExposeHeaders []string
			MaxAge                                                  *integer
		}
		Description, Tags         NoLocalEffect // for people
		DisableExecuteAPIEndpoint NoLocalEffect // custom domains do not exist here, so this address stays
		IPAddressType             NoLocalEffect // 127.0.0.1 is the only one
		Name, ProtocolType        string
	}](r)
	if err != nil {
		return err
	}
	if err := oneOf("ProtocolType", p.ProtocolType, "HTTP"); err != nil {
		return err
	}
	a := &API{Origin: origin(r), ID: r.Ref, Name: r.Name, Endpoint: r.Attributes["ApiEndpoint"],
		Integrations: map[string]Integration{}, Authorizers: map[string]JWTAuthorizer{}}
	if c := p.CorsConfiguration; c != nil {
		a.CORS = &CORS{AllowOrigins: c.AllowOrigins, AllowMethods: c.AllowMethods, AllowHeaders: c.AllowHeaders,
			ExposeHeaders: c.ExposeHeaders, AllowCredentials: bool(c.AllowCredentials), MaxAge: seconds(c.MaxAge, 0)}
	}
	d.model.APIs = append(d.model.APIs, a)
	return nil
}

// onAPI runs f with the API of this id once every API is known.
func (d *decoder) onAPI(r assembly.Resource, id string, f func(*API) error) {
	d.later(r, func() error {
		for _, a := range d.model.APIs {
			if a.ID == id {
				return f(a)
			}
		}
		return fmt.Errorf("property ApiId: no stack declares the API %s", id)
	})
}

func decodeIntegration(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		APIID                           string
		ConnectionType                  string
		Description                     NoLocalEffect // for people
		IntegrationMethod               NoLocalEffect // a function has none
		IntegrationType, IntegrationURI string
		PayloadFormatVersion            string
		TimeoutInMillis                 *integer
	}](r)
	if err != nil {
		return err
	}
	if p.ConnectionType != "" {
		if err := oneOf("ConnectionType", p.ConnectionType, "INTERNET"); err != nil {
			return err
		}
	}
	if err := oneOf("IntegrationType", p.IntegrationType, "AWS_PROXY"); err != nil {
		return err
	}
	if err := oneOf("PayloadFormatVersion", p.PayloadFormatVersion, "2.0"); err != nil {
		return err
	}
	d.onAPI(r, p.APIID, func(a *API) error {
		f, err := d.model.function(functionOf(p.IntegrationURI))
		if err != nil {
			return fmt.Errorf("property IntegrationUri: %w", err)
		}
		a.Integrations[r.Ref] = Integration{FunctionARN: f.ARN, Timeout: time.Duration(number(p.TimeoutInMillis, 0)) * time.Millisecond}
		return nil
	})
	return nil
}

// functionOf takes the function out of the older form of an integration's URI,
// `arn:aws:apigateway:<region>:lambda:path/2015-03-31/functions/<arn>/invocations`.
func functionOf(uri string) string {
	if _, rest, ok := strings.Cut(uri, "/functions/"); ok {
		return strings.TrimSuffix(rest, "/invocations")
	}
	return uri
}

func decodeRoute(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		APIID               string
		APIKeyRequired      boolean
		AuthorizationScopes []string
		AuthorizationType   string
		AuthorizerID        string
		OperationName       NoLocalEffect // for people
		RouteKey, Target    string
	}](r)
	if err != nil {
		return err
	}
	if p.AuthorizationType != "" {
		if err := oneOf("AuthorizationType", p.AuthorizationType, "NONE", "JWT"); err != nil {
			return err
		}
	}
	integration, ok := strings.CutPrefix(p.Target, "integrations/")
	if !ok {
		return fmt.Errorf("property Target: want integrations/<id>, have %q", p.Target)
	}
	d.onAPI(r, p.APIID, func(a *API) error {
		a.Routes = append(a.Routes, Route{Key: p.RouteKey, Integration: integration, AuthorizerID: p.AuthorizerID, Scopes: p.AuthorizationScopes})
		return nil
	})
	return nil
}

func decodeAuthorizer(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		APIID, AuthorizerType, Name string
		IdentitySource              []string
		JwtConfiguration            struct {
			Audience []string
			Issuer   string
		}
	}](r)
	if err != nil {
		return err
	}
	if err := oneOf("AuthorizerType", p.AuthorizerType, "JWT"); err != nil {
		return err
	}
	d.onAPI(r, p.APIID, func(a *API) error {
		a.Authorizers[r.Ref] = JWTAuthorizer{Name: p.Name, Issuer: p.JwtConfiguration.Issuer, Audience: p.JwtConfiguration.Audience, IdentitySources: p.IdentitySource}
		return nil
	})
	return nil
}

type routeSettings struct {
	DataTraceEnabled, DetailedMetricsEnabled, LoggingLevel NoLocalEffect // no metrics are kept
	ThrottlingBurstLimit                                   *integer
	ThrottlingRateLimit                                    float64
}

func (s routeSettings) throttle() Throttle {
	return Throttle{Rate: s.ThrottlingRateLimit, Burst: number(s.ThrottlingBurstLimit, 0)}
}

func decodeStage(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		AccessLogSettings struct {
			DestinationArn NoLocalEffect // the access log is a file
			Format         string
		}
		APIID                    string
		AutoDeploy, DeploymentID NoLocalEffect // what is in the template is served
		DefaultRouteSettings     routeSettings
		Description, Tags        NoLocalEffect // for people
		RouteSettings            map[string]routeSettings
		StageName                string
		StageVariables           map[string]string
	}](r)
	if err != nil {
		return err
	}
	s := Stage{Name: p.StageName, Throttle: p.DefaultRouteSettings.throttle(), RouteThrottles: map[string]Throttle{},
		AccessLogFormat: p.AccessLogSettings.Format, Variables: p.StageVariables}
	for key, settings := range p.RouteSettings {
		s.RouteThrottles[key] = settings.throttle()
	}
	d.onAPI(r, p.APIID, func(a *API) error {
		a.Stages = append(a.Stages, s)
		return nil
	})
	return nil
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
