// Command privileges prints, for every role of the synthesized stacks that runs
// locally, what it is granted and what of that was used in all runs of the local
// runtime that kept a record (STOWAGE_USAGE). It fails when a grant was never used
// and the template gives no reason for it, or when a call of a role was denied.
package main

import (
	"flag"
	"fmt"
	"io"
	"os"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
	"github.com/stowage-dev/stowage/scripts/local/iam/privileges"
	"github.com/stowage-dev/stowage/scripts/local/iam/usage"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "privileges:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("privileges", flag.ContinueOnError)
	cdkOut := flags.String("cdk-out", "cdk.out", "`directory` that cdk synth wrote")
	record := flags.String("usage", os.Getenv("STOWAGE_USAGE"), "`file` in which runs kept what was used")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}
	if *record == "" {
		return fmt.Errorf("name the record of used grants with -usage or STOWAGE_USAGE")
	}
	model, err := load(*cdkOut)
	if err != nil {
		return err
	}
	lines, err := usage.Read(*record)
	if err != nil {
		return err
	}
	report, err := privileges.New(model, lines)
	if err != nil {
		return err
	}
	if err := report.Write(out); err != nil {
		return err
	}
	count := report.Count()
	fmt.Fprintf(out, "\nprivileges: %s\n", count)
	if !count.OK() {
		return fmt.Errorf("use it in a test, remove the grant, or say why it is granted (patterns.ExplainUnused)")
	}
	return nil
}

// load reads the stacks. At which addresses they would be served makes no difference to policies.
func load(dir string) (*template.Model, error) {
	const nowhere = "http://127.0.0.1:1"
	a, err := assembly.Load(dir)
	if err != nil {
		return nil, err
	}
	resources, err := a.Resolve(assembly.Environment{
		GatewayURL: nowhere, APIEndpoint: func(string, string) (string, error) { return nowhere, nil },
		DatabaseEndpoint: func(string, string, string) (string, error) { return "127.0.0.1:1", nil },
	})
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", dir, err)
	}
	m, err := template.Decode(resources)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", dir, err)
	}
	return m, nil
}
