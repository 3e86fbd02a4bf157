// Package stacks holds the stacks of Stowage: what is made of the constructs
// in infra/patterns, and the settings by which a deployment differs.
package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/internal/assets"
)

// App is the whole of Stowage in one app.
type App struct {
	Data       *Data
	Service    *Service
	Relational *Relational // nil when it is not asked for
}

// NewApp makes the stacks in scope. The executables of the functions are taken
// from dist.
func NewApp(scope constructs.Construct, settings Settings, dist assets.Dist) *App {
	data := NewData(scope, "Data", settings)
	app := &App{Data: data, Service: NewService(scope, "Service", settings, data, dist)}
	if settings.Relational != nil {
		app.Relational = NewRelational(scope, "Relational", settings, data, app.Service)
	}
	return app
}

// RequiredFunctions are the names of the functions that the app deploys by its settings.
func RequiredFunctions(settings Settings) []string {
	names := Functions()
	if settings.Relational != nil {
		names = append(names, RelationalFunctions()...)
	}
	return names
}

// newStack makes a stack that names its region and no account: the same
// template ships to any account. The region is named because a table with a
// customer-managed key needs it.
func newStack(scope constructs.Construct, id string, settings Settings, description string) awscdk.Stack {
	stack := awscdk.NewStack(scope, jsii.String(id), &awscdk.StackProps{
		AnalyticsReporting:    jsii.Bool(false),
		Description:           jsii.String(description),
		Env:                   &awscdk.Environment{Region: jsii.String(settings.Region)},
		StackName:             jsii.String("stowage-" + string(settings.Stage) + "-" + id),
		Tags:                  &map[string]*string{"stowage:stage": jsii.String(string(settings.Stage))},
		TerminationProtection: jsii.Bool(settings.Stage == Prod),
	})
	return stack
}

func output(stack awscdk.Stack, id, description string, value *string) {
	awscdk.NewCfnOutput(stack, jsii.String(id+"Output"), &awscdk.CfnOutputProps{
		Description: jsii.String(description),
		Value:       value,
	}).OverrideLogicalId(jsii.String(id))
}
