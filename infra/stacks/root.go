package stacks

import (
	_ "embed"
	"encoding/json"
	"fmt"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// featureFlags are the CDK's, each as the CDK recommends it for a new app: `cdk flags
// --set --all --recommended --unstable=flags` lists them.
//
//go:embed feature-flags.json
var featureFlags []byte

// NewRoot makes the app that the stacks stand in, written to outdir (empty:
// cdk.out). What decides the template is set here and not in cdk.json, whose
// context the app sees only when the CLI starts it.
func NewRoot(outdir string) awscdk.App {
	if outdir == "" {
		outdir = "cdk.out"
	}
	context := map[string]any{}
	if err := json.Unmarshal(featureFlags, &context); err != nil {
		panic(fmt.Errorf("feature-flags.json: %w", err)) // it is compiled in
	}
	// Each resource says by which construct it was made; the local runtime names it so in
	// its messages.
	context["aws:cdk:enable-path-metadata"] = true
	// Service imports what Data exports, and CloudFormation refuses to take an export away
	// that is still imported.
	context["@aws-cdk/core:defaultCrossStackReferences"] = "strong"
	// Functions write to the log groups that they are given.
	context["@aws-cdk/aws-lambda:useCdkManagedLogGroup"] = true
	return awscdk.NewApp(&awscdk.AppProps{
		AnalyticsReporting: jsii.Bool(false),
		Outdir:             jsii.String(outdir),
		StackTraces:        jsii.Bool(false),
		PostCliContext:     &context,
	})
}

// Context is everything that the CLI was given by -c and that stands in
// cdk.json and cdk.context.json.
func Context(app awscdk.App) map[string]any {
	context, ok := app.Node().GetAllContext(nil).(map[string]any)
	if !ok {
		return nil
	}
	return context
}
