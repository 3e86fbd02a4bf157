// Command coldstart measures what the functions weigh and how long they take from
// being executed to asking for their first invocation, beside an aws-lambda-go
// hello-world that is built with the same flags, and fails when one is over budget.
//
//	go run ./scripts/bench/coldstart [-runs 40] [-budget=false] [function ...]
//
// Sizes are of the arm64 binaries that are deployed. Start-up is measured with
// binaries for this machine, all of them in turn in every round, so that whatever
// else the machine does meets all alike; the figure is the median.
//
// Every function is measured as it is deployed, with tracing, and built without it
// (tag notrace), so that what tracing costs stays known.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"text/tabwriter"

	"github.com/stowage-dev/stowage/scripts/command"
)

// variant is one way of building a function, with its budget.
type variant struct {
	name  string
	tags  string  // beside those of every function
	bytes int64   // largest binary
	ratio float64 // longest start-up, as a multiple of hello's
}

// larger are functions that may be larger without tracing, in bytes: ledger-api holds
// PostgreSQL's driver, DynamoDB's client, huma and the world's time zones.
var larger = map[string]int64{"ledger-api": 14e6}

func variants() []variant {
	return []variant{
		{name: "traced", bytes: 24e6, ratio: 3.0},
		{name: "notrace", tags: "notrace", bytes: 12e6, ratio: 2.2},
	}
}

// subject is a binary under measurement.
type subject struct {
	function string
	variant  variant
	program  string // for this machine
	bytes    int64  // of the arm64 binary
}

func main() {
	runs := flag.Int("runs", 40, "how often each binary is started")
	budget := flag.Bool("budget", true, "fail when a function is over its budget")
	flag.Parse()
	os.Exit(command.Run("coldstart", func(ctx context.Context) error { return run(ctx, flag.Args(), *runs, *budget) }))
}

func run(ctx context.Context, functions []string, runs int, budget bool) error {
	if runs < 1 {
		return fmt.Errorf("-runs is %d, want at least 1", runs)
	}
	if len(functions) == 0 {
		mains, err := filepath.Glob("functions/*/main.go")
		if err != nil || len(mains) == 0 {
			return errors.New("no functions/*/main.go here: run it from the top of the repository")
		}
		for _, m := range mains {
			functions = append(functions, filepath.Base(filepath.Dir(m)))
		}
	}
	dir, err := os.MkdirTemp("", "coldstart-")
	if err != nil {
		return fmt.Errorf("make a directory for binaries: %w", err)
	}
	defer os.RemoveAll(dir)

	subjects, err := buildAll(ctx, dir, functions)
	if err != nil {
		return err
	}
	times, err := measure(ctx, subjects, runs)
	if err != nil {
		return err
	}
	over := report(subjects, times)
	if budget && len(over) > 0 {
		return fmt.Errorf("over budget: %w", errors.Join(over...))
	}
	return nil
}

// buildAll builds hello and every function in every variant. hello is the first.
func buildAll(ctx context.Context, dir string, functions []string) ([]subject, error) {
	all := []subject{{function: "hello"}}
	if err := build(ctx, dir, "scripts/bench/coldstart", variant{}, all[0].function); err != nil {
		return nil, err
	}
	for _, v := range variants() {
		if err := build(ctx, dir, "functions", v, functions...); err != nil {
			return nil, err
		}
	}
	for _, f := range functions {
		for _, v := range variants() {
			all = append(all, subject{function: f, variant: v})
		}
	}
	for i := range all {
		s := &all[i]
		s.program = program(dir, s.variant, here(), s.function)
		info, err := os.Stat(program(dir, s.variant, deployed(), s.function))
		if err != nil {
			return nil, fmt.Errorf("size of %s: %w", s.function, err)
		}
		s.bytes = info.Size()
	}
	return all, nil
}

// machine is what a binary runs on.
type machine struct{ os, arch string }

func here() machine     { return machine{runtime.GOOS, runtime.GOARCH} }
func deployed() machine { return machine{"linux", "arm64"} }

// binaries is where those of one variant are for one machine.
func binaries(dir string, v variant, m machine) string {
	return filepath.Join(dir, v.name, m.os+"-"+m.arch)
}

func program(dir string, v variant, m machine, name string) string {
	return filepath.Join(binaries(dir, v, m), name, "bootstrap")
}

// build builds what lies in from, as functions are deployed, for both machines.
func build(ctx context.Context, dir, from string, v variant, names ...string) error {
	for _, m := range []machine{here(), deployed()} {
		args := []string{"run", "./scripts/build", "-from", from, "-tags", v.tags, "-os", m.os, "-arch", m.arch, "-out", binaries(dir, v, m)}
		cmd := exec.CommandContext(ctx, "go", append(args, names...)...)
		cmd.Stderr = os.Stderr
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("build %v %s for %s/%s: %w", names, v.name, m.os, m.arch, err)
		}
	}
	return nil
}

// report prints the table and returns what is over budget.
func report(subjects []subject, times []series) []error {
	var over []error
	hello := times[0].median()
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "function\tbuild\tarm64 MB\tmin ms\tp50 ms\tx hello\tbudget\t")
	for i, s := range subjects {
		p50 := times[i].median()
		ratio := p50.Seconds() / hello.Seconds()
		limit := "-"
		if most := max(s.variant.bytes, larger[s.function]); s.variant.bytes > 0 {
			limit = fmt.Sprintf("%.0f MB, %.1f x", float64(most)/1e6, s.variant.ratio)
			if s.bytes > most {
				over = append(over, fmt.Errorf("%s (%s) has %d bytes of %d", s.function, s.variant.name, s.bytes, most))
			}
			if ratio > s.variant.ratio {
				over = append(over, fmt.Errorf("%s (%s) starts in %.2f times hello's time of %.1f allowed", s.function, s.variant.name, ratio, s.variant.ratio))
			}
		}
		fmt.Fprintf(w, "%s\t%s\t%.1f\t%.2f\t%.2f\t%.2f\t%s\t\n", s.function, s.variant.name,
			float64(s.bytes)/1e6, millis(times[i].least()), millis(p50), ratio, limit)
	}
	w.Flush()
	return over
}
