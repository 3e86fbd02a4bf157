package patterns

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscognito"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// Scope is one scope of a resource server.
type Scope struct {
	// Name of the scope, without the resource server's identifier.
	Name *string
	// Description of what it allows.
	Description *string
}

// UserPoolProps configures a UserPool. ResourceServer, Scopes and DomainPrefix are required.
type UserPoolProps struct {
	// ResourceServer is the identifier of the API, which stands before the name
	// of each scope: "stowage" in "stowage/read".
	ResourceServer *string
	// Scopes that tokens may carry.
	Scopes *[]*Scope
	// DomainPrefix is the first label of the domain where tokens are had. It is
	// unique in the region, over all accounts.
	DomainPrefix *string
	// CallbackURLs are where people are sent after they have signed in, and
	// LogoutURLs after they have signed out. Nil: http://localhost:3000.
	CallbackURLs *[]*string
	LogoutURLs   *[]*string
	// TokenClaims adds claims to access tokens; it is called with version 3 of
	// the event, so for machine clients too. Nil: no claims are added.
	TokenClaims *Function
	// RemovalPolicy of the pool; it is protected from deletion when it is
	// retained. Empty: RETAIN.
	RemovalPolicy awscdk.RemovalPolicy
}

// UserPool is a Cognito user pool on the Essentials plan, with a resource
// server, a client for people (authorization code with PKCE: it has no secret)
// and one for machines (client credentials). People are invited, sign in by
// e-mail address and need a second factor.
type UserPool struct {
	constructs.Construct
	pool     awscognito.UserPool
	domain   awscognito.UserPoolDomain
	people   awscognito.UserPoolClient
	machines awscognito.UserPoolClient
}

// NewUserPool makes a UserPool.
func NewUserPool(scope constructs.Construct, id *string, props *UserPoolProps) *UserPool {
	p := *props
	p.RemovalPolicy = orRetain(p.RemovalPolicy)
	p.CallbackURLs = orDefault(p.CallbackURLs, *jsii.Strings("http://localhost:3000"))
	p.LogoutURLs = orDefault(p.LogoutURLs, *jsii.Strings("http://localhost:3000"))
	if p.ResourceServer == nil || p.Scopes == nil || len(*p.Scopes) == 0 {
		refuse(scope, id, "Scopes", "empty", "name the resource server and at least one scope")
	}
	u := &UserPool{}
	constructs.NewConstruct_Override(u, scope, id)
	u.pool = newPool(u, p.RemovalPolicy)
	if p.TokenClaims != nil {
		u.pool.AddTrigger(awscognito.UserPoolOperation_PRE_TOKEN_GENERATION_CONFIG(),
			p.TokenClaims.function, awscognito.LambdaVersion_V3_0)
	}
	u.domain = u.pool.AddDomain(jsii.String("Domain"), &awscognito.UserPoolDomainOptions{
		CognitoDomain: &awscognito.CognitoDomainOptions{DomainPrefix: p.DomainPrefix},
	})
	u.addClients(p)
	return u
}

func newPool(u *UserPool, removal awscdk.RemovalPolicy) awscognito.UserPool {
	return awscognito.NewUserPool(u, jsii.String("Default"), &awscognito.UserPoolProps{
		AccountRecovery:    awscognito.AccountRecovery_EMAIL_ONLY,
		AutoVerify:         &awscognito.AutoVerifiedAttrs{Email: jsii.Bool(true)},
		DeletionProtection: jsii.Bool(removal == awscdk.RemovalPolicy_RETAIN),
		FeaturePlan:        awscognito.FeaturePlan_ESSENTIALS,
		Mfa:                awscognito.Mfa_REQUIRED,
		MfaSecondFactor:    &awscognito.MfaSecondFactor{Otp: jsii.Bool(true), Sms: jsii.Bool(false)},
		PasswordPolicy: &awscognito.PasswordPolicy{
			MinLength:            jsii.Number(12),
			RequireDigits:        jsii.Bool(true),
			RequireLowercase:     jsii.Bool(true),
			RequireSymbols:       jsii.Bool(true),
			RequireUppercase:     jsii.Bool(true),
			TempPasswordValidity: awscdk.Duration_Days(jsii.Number(3)),
		},
		RemovalPolicy:       removal,
		SelfSignUpEnabled:   jsii.Bool(false),
		SignInAliases:       &awscognito.SignInAliases{Email: jsii.Bool(true)},
		SignInCaseSensitive: jsii.Bool(false),
	})
}

func (u *UserPool) addClients(p UserPoolProps) {
	scopes := make([]awscognito.ResourceServerScope, 0, len(*p.Scopes))
	for _, scope := range *p.Scopes {
		scopes = append(scopes, awscognito.NewResourceServerScope(&awscognito.ResourceServerScopeProps{
			ScopeName: scope.Name, ScopeDescription: scope.Description,
		}))
	}
	server := u.pool.AddResourceServer(jsii.String("ResourceServer"), &awscognito.UserPoolResourceServerOptions{
		Identifier: p.ResourceServer,
		Scopes:     &scopes,
	})
	machineScopes := make([]awscognito.OAuthScope, 0, len(scopes))
	for _, scope := range scopes {
		machineScopes = append(machineScopes, awscognito.OAuthScope_ResourceServer(server, scope))
	}
	peopleScopes := append([]awscognito.OAuthScope{
		awscognito.OAuthScope_OPENID(), awscognito.OAuthScope_EMAIL(), awscognito.OAuthScope_PROFILE(),
	}, machineScopes...)

	// Tokens are had from the domain alone: nobody hands a password to a client.
	domainOnly := &awscognito.AuthFlow{UserPassword: jsii.Bool(false), UserSrp: jsii.Bool(false)}
	u.people = u.pool.AddClient(jsii.String("People"), &awscognito.UserPoolClientOptions{
		AuthFlows:             domainOnly,
		EnableTokenRevocation: jsii.Bool(true),
		GenerateSecret:        jsii.Bool(false),
		OAuth: &awscognito.OAuthSettings{
			CallbackUrls: p.CallbackURLs,
			LogoutUrls:   p.LogoutURLs,
			Flows:        &awscognito.OAuthFlows{AuthorizationCodeGrant: jsii.Bool(true)},
			Scopes:       &peopleScopes,
		},
		PreventUserExistenceErrors: jsii.Bool(true),
	})
	u.machines = u.pool.AddClient(jsii.String("Machines"), &awscognito.UserPoolClientOptions{
		AuthFlows:             domainOnly,
		EnableTokenRevocation: jsii.Bool(true),
		GenerateSecret:        jsii.Bool(true),
		OAuth: &awscognito.OAuthSettings{
			Flows:  &awscognito.OAuthFlows{ClientCredentials: jsii.Bool(true)},
			Scopes: &machineScopes,
		},
	})
}

// Pool gives the user pool itself.
func (u *UserPool) Pool() awscognito.UserPool { return u.pool }

// People gives the client by which people sign in.
func (u *UserPool) People() awscognito.UserPoolClient { return u.people }

// Machines gives the client by which programs get tokens.
func (u *UserPool) Machines() awscognito.UserPoolClient { return u.machines }

// Issuer is the URL that the pool's tokens name as their issuer.
func (u *UserPool) Issuer() *string { return u.pool.UserPoolProviderUrl() }

// ClientIDs are the ids of both clients, the audience of an API.
func (u *UserPool) ClientIDs() *[]*string {
	return &[]*string{u.people.UserPoolClientId(), u.machines.UserPoolClientId()}
}

// TokenURL is where tokens are had.
func (u *UserPool) TokenURL() *string {
	return jsii.String(*u.domain.BaseUrl(nil) + "/oauth2/token")
}
