// Command infra synthesizes Stowage's CloudFormation templates into cdk.out.
// The CDK CLI runs it, by cdk.json; without the CLI it synthesizes the
// development stage.
package main

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/internal/assets"
	"github.com/stowage-dev/stowage/infra/patterns"
	"github.com/stowage-dev/stowage/infra/stacks"
)

func main() {
	err := synthesize()
	if err != nil {
		fmt.Fprintln(os.Stderr, "infra:", err)
	}
	jsii.Close()
	if err != nil {
		os.Exit(1)
	}
}

// synthesize writes the assembly. A construct that refuses its props stops it
// with what it says rather than with a stack trace.
func synthesize() (err error) {
	defer func() {
		switch cause := recover().(type) {
		case nil:
		case *patterns.PropsError:
			err = cause
		default:
			panic(cause)
		}
	}()
	app := stacks.NewRoot(os.Getenv("CDK_OUTDIR"))
	settings, err := stacks.ReadSettings(stacks.Context(app), os.Getenv("CDK_DEFAULT_REGION"))
	if err != nil {
		return fmt.Errorf("read settings: %w", err)
	}
	dist, err := assets.Find(".", "dist")
	if err != nil {
		return fmt.Errorf("find the built functions: %w", err)
	}
	if missing := dist.Missing(stacks.RequiredFunctions(settings)...); len(missing) > 0 {
		return errors.New("no executable of " + strings.Join(missing, ", ") + " below " + string(dist) + ": run go run ./scripts/build")
	}
	stacks.NewApp(app, settings, dist)
	app.Synth(&awscdk.StageSynthesisOptions{})
	return nil
}
