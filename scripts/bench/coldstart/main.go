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
	"os/signal"
	"path/filepath"
	"runtime"
	"text/tabwriter"
)

// variant is one way of building a function, with its budget.
type variant struct {
	name  string
	tags  string
	bytes int64   // largest binary
	ratio float64 // longest start-up, as a multiple of hello's
}

// larger are functions that may be larger without tracing, in bytes: ledger-api holds
// PostgreSQL's driver, DynamoDB's client, huma and the world's time zones.
var larger = map[string]int64{"ledger-api": 14e6}

func variants() []variant {
	return []variant{
		{name: "traced", tags: "lambda.norpc,grpcnotrace,nethttpomithttp2", bytes: 24e6, ratio: 3.0},
		{name: "notrace", tags: "lambda.norpc,grpcnotrace,nethttpomithttp2,notrace", bytes: 12e6, ratio: 2.2},
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
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, flag.Args(), *runs, *budget); err != nil {
		fmt.Fprintln(os.Stderr, "coldstart:", err)
		os.Exit(1)
	}
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

// buildAll builds hello first, then every function in every variant.
func buildAll(ctx context.Context, dir string, functions []string) ([]subject, error) {
	hello := subject{function: "hello", variant: variant{tags: variants()[0].tags}}
	all := []subject{hello}
	for _, f := range functions {
		for _, v := range variants() {
			all = append(all, subject{function: f, variant: v})
		}
	}
	for i := range all {
		s := &all[i]
		pkg := "./functions/" + s.function
		if s.function == "hello" {
			pkg = "./scripts/bench/coldstart/hello"
		}
		base := filepath.Join(dir, s.function+"-"+s.variant.name)
		s.program = base + "-" + runtime.GOARCH
		if err := build(ctx, pkg, s.variant.tags, runtime.GOOS, runtime.GOARCH, s.program); err != nil {
			return nil, err
		}
		deployed := base + "-deployed"
		if err := build(ctx, pkg, s.variant.tags, "linux", "arm64", deployed); err != nil {
			return nil, err
		}
		info, err := os.Stat(deployed)
		if err != nil {
			return nil, fmt.Errorf("size of %s: %w", s.function, err)
		}
		s.bytes = info.Size()
		fmt.Fprintf(os.Stderr, "built %s %s\n", s.function, s.variant.name)
	}
	return all, nil
}

// build uses the flags with which functions are deployed.
func build(ctx context.Context, pkg, tags, goos, goarch, out string) error {
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false",
		"-tags", tags, "-gcflags", "github.com/aws/aws-sdk-go-v2/service/...=-l", "-ldflags", "-s -w", "-o", out, pkg)
	cmd.Env = append(os.Environ(), "GOOS="+goos, "GOARCH="+goarch, "CGO_ENABLED=0")
	if text, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("build %s for %s/%s: %w\n%s", pkg, goos, goarch, err, text)
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
