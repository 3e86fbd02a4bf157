package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/patterns"
	"github.com/stowage-dev/stowage/shared/catalog"
)

// addIssuer gives the issuer and the audience of the tokens that the API
// takes: those of the settings, or those of a user pool made here.
//
// The claims function is between a person and their sign-in, and Cognito gives
// it 5 seconds: 1024 MB keeps its cold start short.
func (s *Service) addIssuer() (issuer *string, audience *[]*string) {
	if s.settings.Issuer != "" {
		return jsii.String(s.settings.Issuer), jsii.Strings(s.settings.Audience...)
	}
	s.TokenClaims = s.addFunction("TokenClaims", fnClaims, functionProps{
		description: "Stowage: puts a person's workspaces into their access token",
		memoryMB:    1024,
		timeout:     5,
		environment: map[string]*string{"STOWAGE_TABLE": s.data.Catalog.Table().TableName()},
	})
	s.data.Catalog.GrantQueryIndex(s.TokenClaims.Role(), catalog.StateIndex)

	pool := patterns.NewUserPool(s.Stack, jsii.String("Users"), &patterns.UserPoolProps{
		CallbackURLs:   jsii.Strings(s.settings.CallbackURLs...),
		DomainPrefix:   s.domainPrefix(),
		LogoutURLs:     jsii.Strings(s.settings.LogoutURLs...),
		RemovalPolicy:  s.settings.Stage.RemovalPolicy(),
		ResourceServer: jsii.String("stowage"),
		Scopes: &[]*patterns.Scope{
			{Name: jsii.String("read"), Description: jsii.String("List and download objects")},
			{Name: jsii.String("write"), Description: jsii.String("Upload, change and delete objects")},
			{Name: jsii.String("admin"), Description: jsii.String("Manage workspaces, members and quotas")},
			{Name: jsii.String("billing"), Description: jsii.String("Read the storage ledger and adjust it")},
		},
		TokenClaims: s.TokenClaims,
	})
	output(s.Stack, "UserPoolId", "User pool", pool.Pool().UserPoolId())
	output(s.Stack, "PeopleClientId", "Client by which people sign in", pool.People().UserPoolClientId())
	output(s.Stack, "MachineClientId", "Client by which programs get tokens", pool.Machines().UserPoolClientId())
	output(s.Stack, "TokenUrl", "Where tokens are had", pool.TokenURL())
	return pool.Issuer(), pool.ClientIDs()
}

// domainPrefix is unique in the region without being chosen by anybody: it ends
// in the first eight digits of the id that CloudFormation gives the stack,
// arn:…:stack/<name>/<uuid>.
func (s *Service) domainPrefix() *string {
	uuid := awscdk.Fn_Select(jsii.Number(2), awscdk.Fn_Split(jsii.String("/"), s.Stack.StackId(), nil))
	short := awscdk.Fn_Select(jsii.Number(0), awscdk.Fn_Split(jsii.String("-"), uuid, nil))
	return awscdk.Fn_Join(jsii.String("-"), &[]*string{jsii.String("stowage"), jsii.String(string(s.settings.Stage)), short})
}
