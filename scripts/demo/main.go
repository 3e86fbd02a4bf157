// Command demo walks the journey of scripts/demo/journey and prints it as a table.
//
// With -local it starts that local runtime with a state of its own and stops it at
// the end; with -dev it uses a runtime that `make dev` already started; with -stage or
// -outputs it goes to a deployed stage. It exits 0 only if every step held.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/command"
	"github.com/stowage-dev/stowage/scripts/demo/journey"
	"github.com/stowage-dev/stowage/scripts/demo/target"
	"github.com/stowage-dev/stowage/scripts/deployment"
)

func main() {
	os.Exit(command.Run("demo", func(ctx context.Context) error { return run(ctx, os.Args[1:], os.Stdout) }))
}

// localState is where a runtime that the demo starts keeps everything. It is there until the next demo.
const localState = ".stowage/demo"

// names collects a flag that may be given several times.
type names []string

func (n *names) String() string     { return strings.Join(*n, ", ") }
func (n *names) Set(v string) error { *n = append(*n, v); return nil }

func run(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("demo", flag.ContinueOnError)
	local := flags.String("local", "", "local runtime `binary` to start")
	var where deployment.Where
	where.Flags(flags)
	var files names
	flags.Var(&files, "file", "`file` to send; may be repeated; none: images and documents of the Go distribution")
	if err := flags.Parse(args); err != nil {
		return fmt.Errorf("read the flags: %w", err)
	}
	sent, closeFiles, err := openFiles(files) // first: a stack takes long to start
	defer closeFiles()
	if err != nil {
		return err
	}
	stack, stopStack, err := open(ctx, *local, where)
	if err != nil {
		return err
	}
	failed, err := walk(ctx, stack, sent, out)
	if stopErr := stopStack(); err == nil && stopErr != nil {
		err = stopErr
	}
	if err != nil {
		return err
	}
	if failed > 0 && *local != "" {
		return fmt.Errorf("%d steps failed; the functions' logs are in %s", failed, filepath.Join(localState, "logs"))
	}
	if failed > 0 {
		return fmt.Errorf("%d steps failed", failed)
	}
	return nil
}

// openFiles opens what is sent: the named files, or those of the Go distribution.
func openFiles(names []string) (files []journey.File, closeAll func(), err error) {
	var closers []io.Closer
	closeAll = func() {
		for _, c := range closers {
			_ = c.Close() // opened for reading
		}
	}
	if len(names) == 0 {
		if names, err = journey.GoFiles(); err != nil {
			return nil, closeAll, err
		}
	}
	files, closers, err = journey.OpenFiles(names)
	return files, closeAll, err
}

func open(ctx context.Context, local string, where deployment.Where) (journey.Target, func() error, error) {
	nothing := func() error { return nil }
	switch {
	case local != "":
		// The journey is refused things on purpose: no warnings of that amid its steps.
		started, err := target.StartLocal(ctx, local, localState, "--log-level", "ERROR")
		if err != nil {
			return journey.Target{}, nil, err
		}
		return started.Target, started.Stop, nil
	case where != (deployment.Where{}):
		found, err := target.Find(ctx, where)
		return found, nothing, err
	default:
		return journey.Target{}, nil, errors.New("say where to: -local BINARY, -dev FILE, -stage NAME or -outputs FILE (`make demo` and `make smoke` do)")
	}
}

func walk(ctx context.Context, stack journey.Target, files []journey.File, out io.Writer) (failed int, err error) {
	fmt.Fprintf(out, "\n  %-52s %9s   %s\n", "step", "time", "what was seen")
	steps, failed, err := journey.Run(ctx, stack, files, func(r journey.Result) {
		mark, detail := "✓", r.Detail
		if r.Err != nil {
			mark, detail = "✗", r.Err.Error()
		}
		fmt.Fprintf(out, "%s %-52s %9s   %s\n", mark, r.Step, r.Took.Round(time.Millisecond/10), detail)
	})
	if err != nil {
		return failed, err
	}
	fmt.Fprintf(out, "\ndemo: %d steps, %d failed\n", steps, failed)
	return failed, nil
}
