// Command redrive looks at what was given up, and has it tried again: messages of
// dead-letter queues, letters that functions wrote to the dead-letter bucket, and the
// records that a stream's mapping gave up there.
//
//	go run ./scripts/redrive list    [-from NAME] [filters]
//	go run ./scripts/redrive show    [-from NAME] [filters]
//	go run ./scripts/redrive redrive [-from NAME] [filters] [-dry-run]
//
// Filters, all of which must hold:
//
//	-older 1h, -newer 24h   how long ago it came to be
//	-error TEXT             in its error's code or message
//	-key TEXT               in what it is about: an S3 key, an object's id or path, an item's key
//	-id TEXT                in its own id, as list shows it
//	-limit N                at most so many
//
// Where:
//
//	-dev FILE       a local runtime (default .stowage/dev.json, when it is there)
//	-stage NAME     a deployed stage, by .stowage/outputs-<stage>.json, with the AWS
//	                credentials and region of the environment
//	-outputs FILE   the same, by its file
//	-queue URL, -bucket NAME   these, and no others; AWS_ENDPOINT_URL is heeded
//
// A message goes back to the queue that gave it up. A letter, and a batch of a stream,
// is handed to its function once more, as it was delivered the first time. What has
// succeeded is removed; what fails again stays where it is. Everything that is redriven
// may be handled twice, which the functions are made for. docs/runbooks/dead-letters.md
// says when to do what.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/stowage-dev/stowage/scripts/command"
)

func main() {
	os.Exit(command.Run("redrive", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout, os.Stderr, time.Now) }))
}

// Actions.
const (
	list    = "list"
	show    = "show"
	redrive = "redrive"
)

type options struct {
	action string
	where  where
	from   string
	filter filter
	dryRun bool
}

func run(ctx context.Context, args []string, out, progress io.Writer, now func() time.Time) error {
	o, err := parse(args, progress)
	if err != nil {
		return err
	}
	sources, err := o.where.sources(ctx, o.from)
	if err != nil {
		return err
	}
	o.filter.now = now()
	w := &work{options: o, out: out, progress: newProgress(progress, o, now)}
	return w.do(ctx, sources)
}

func parse(args []string, usage io.Writer) (options, error) {
	var o options
	if len(args) == 0 {
		return o, fmt.Errorf("say what to do: %s, %s or %s (-help tells more)", list, show, redrive)
	}
	o.action = args[0]
	flags := flag.NewFlagSet("redrive "+o.action, flag.ContinueOnError)
	flags.SetOutput(usage)
	o.where.stack.Flags(flags)
	flags.StringVar(&o.where.queue, "queue", "", "`URL` of a dead-letter queue")
	flags.StringVar(&o.where.bucket, "bucket", "", "`name` of a dead-letter bucket")
	flags.StringVar(&o.from, "from", "", "only sources whose name has this `text` in it: of a queue, of letters, or of stream")
	flags.DurationVar(&o.filter.older, "older", 0, "at least so `long` ago")
	flags.DurationVar(&o.filter.newer, "newer", 0, "at most so `long` ago")
	flags.StringVar(&o.filter.failure, "error", "", "`text` in the error")
	flags.StringVar(&o.filter.key, "key", "", "`text` in what it is about")
	flags.StringVar(&o.filter.id, "id", "", "`text` in its id")
	flags.IntVar(&o.filter.limit, "limit", 0, "at most so `many`; 0: all")
	flags.DurationVar(&o.where.wait, "wait", time.Second, "for how `long` a queue that seems to be empty is asked again, in whole seconds")
	flags.BoolVar(&o.dryRun, "dry-run", false, "say what would be redriven, and change nothing")
	if o.action == "-help" || o.action == "--help" || o.action == "-h" || o.action == "help" {
		flags.Usage()
		return o, flag.ErrHelp
	}
	if err := flags.Parse(args[1:]); err != nil {
		return o, err //nolint:wrapcheck // it says what is wrong
	}
	switch {
	case o.action != list && o.action != show && o.action != redrive:
		return o, fmt.Errorf("%q is none of %s, %s and %s", o.action, list, show, redrive)
	case flags.NArg() > 0:
		return o, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	case o.filter.limit < 0 || o.filter.older < 0 || o.filter.newer < 0:
		return o, errors.New("-limit, -older and -newer must not be negative")
	case o.filter.newer > 0 && o.filter.newer < o.filter.older:
		return o, fmt.Errorf("nothing is older than %s and newer than %s", o.filter.older, o.filter.newer)
	case o.where.wait < 0 || o.where.wait > maxWait:
		return o, fmt.Errorf("-wait is %s, want 0s to %s", o.where.wait, maxWait)
	case o.dryRun && o.action != redrive:
		return o, fmt.Errorf("%s changes nothing: -dry-run is for %s", o.action, redrive)
	}
	return o, nil
}
