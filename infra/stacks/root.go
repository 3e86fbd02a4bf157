package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"
)

// NewRoot makes the app that the stacks stand in, written to outdir (empty:
// cdk.out). What decides the template is set here and not in cdk.json, whose
// context the app sees only when the CLI starts it.
func NewRoot(outdir string) awscdk.App {
	if outdir == "" {
		outdir = "cdk.out"
	}
	return awscdk.NewApp(&awscdk.AppProps{
		AnalyticsReporting: jsii.Bool(false),
		Outdir:             jsii.String(outdir),
		StackTraces:        jsii.Bool(false),
		PostCliContext: &map[string]interface{}{
			// Each resource says by which construct it was made; the local
			// runtime names it so in its messages.
			"aws:cdk:enable-path-metadata": true,
			// Service imports what Data exports, and CloudFormation refuses to take
			// an export away that is still imported.
			"@aws-cdk/core:defaultCrossStackReferences": "strong",
			// Functions write to the log groups that they are given.
			"@aws-cdk/aws-lambda:useCdkManagedLogGroup": true,
		},
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
