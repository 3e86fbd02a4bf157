// Command backfill has the ledger and search book what they have no event of: objects that
// were written before the Relational stack was switched on, or longer ago than the bus's
// archive goes back.
//
//	go run ./scripts/backfill [-stage dev] [-workspace ID] [-after PLACE] [-rate N] [-dry-run]
//
// It reads every object of the catalog and sends the event that the bus would have of it to
// the queue of ledger-projector, in the envelope in which EventBridge delivers it. Facts are
// applied by rev: what the ledger knows changes nothing, so it may run at any time and any
// number of times. It prints where it is, and from there goes on with -after.
//
// Where:
//
//	-dev FILE       a local runtime (default .stowage/dev.json, when it is there)
//	-stage NAME     a deployed stage, by .stowage/outputs-<stage>.json, with the AWS
//	                credentials and region of the environment
//	-outputs FILE   the same, by its file
//
// It needs dynamodb:Scan on the catalog's table, kms:Decrypt with its key, and
// sqs:SendMessage on the queue. docs/runbooks/ledger.md says when to run it, and what it
// cannot bring back.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stowage-dev/stowage/scripts/command"
	"github.com/stowage-dev/stowage/scripts/deployment"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func main() {
	os.Exit(command.Run("backfill", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout, os.Stderr) }))
}

type options struct {
	where     deployment.Where
	workspace string
	after     string
	rate      int
	dryRun    bool
}

const (
	// defaultRate is what four projectors take without falling far behind.
	defaultRate = 500
	// maxRate is beyond what one program sends.
	maxRate = 10_000
)

func parse(args []string, usage io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("backfill", flag.ContinueOnError)
	flags.SetOutput(usage)
	o.where.Flags(flags)
	flags.StringVar(&o.workspace, "workspace", "", "only objects of the workspace with this `id`")
	flags.StringVar(&o.after, "after", "", "go on from the `place` that an earlier run has printed")
	flags.IntVar(&o.rate, "rate", defaultRate, "at most so `many` events a second")
	flags.BoolVar(&o.dryRun, "dry-run", false, "read and count, and send nothing")
	if err := flags.Parse(args); err != nil {
		return o, err //nolint:wrapcheck // it says what is wrong
	}
	switch {
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q (-help tells more)", flags.Arg(0))
	case o.rate < 1 || o.rate > maxRate:
		return o, fmt.Errorf("-rate is %d, want 1 to %d", o.rate, maxRate)
	}
	if o.workspace != "" {
		if err := workspace.ValidateID("workspace", o.workspace); err != nil {
			return o, fmt.Errorf("-workspace: %w", err)
		}
	}
	return o, nil
}

func run(ctx context.Context, args []string, out, progress io.Writer) error {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	stack, err := o.where.OrDev().Find(ctx)
	if err != nil {
		return err
	}
	switch {
	case stack.Table == "":
		return errors.New("no catalog is known: give -dev, -stage or -outputs")
	case stack.LedgerQueue == "":
		return errors.New("the stack has no LedgerQueue: deploy it with relational=true (make deploy RELATIONAL=1), or start it so (make dev RELATIONAL=1)")
	}
	b := &backfill{
		options: o,
		catalog: ddbstore.New(dynamodb.NewFromConfig(stack.AWS), ddbstore.Config{Table: stack.Table}),
		queue:   newQueue(stack.AWS, stack.LedgerQueue, o.rate),
		to:      envelopeOf(stack.AWS.Region, stack.LedgerQueue),
		out:     out, progress: progress, told: time.Now(),
	}
	return b.do(ctx)
}
