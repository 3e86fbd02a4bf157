// Command gateway measures what the local runtime's gateway costs a call to an engine:
// straight to the engine, through the gateway, and through the gateway with policies
// enforced, in turn and in one run.
//
//	go run ./scripts/bench/gateway [-calls 3000] [-transfers 9] [-check=false]
//
// It exits 1 when a figure is out of its bounds: at most 150 us more at the median of a
// HEAD or GetItem, at least 80 % of the speed of a 256 MiB PUT and 50 % of a GET.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/stowage-dev/stowage/scripts/command"
	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
)

// Bounds of what the gateway may cost.
const (
	mostAdded = 150 * time.Microsecond
	leastPut  = 0.8
	leastGet  = 0.5
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == s3.Command {
		os.Exit(s3.Main(os.Args, os.Stdin))
	}
	calls := flag.Int("calls", 3000, "how many calls of each sort to time")
	transfers := flag.Int("transfers", 9, "how many transfers of each sort to time")
	size := flag.Int("size", 256<<20, "`bytes` of a transfer")
	modules := flag.String("node-modules", "node_modules", "`directory` of the engines")
	check := flag.Bool("check", true, "fail when a figure is out of its bounds")
	flag.Parse()
	os.Exit(command.Run("gateway", func(ctx context.Context) error {
		missed, err := run(ctx, plan{*calls, *transfers, *size, *modules}, os.Stdout)
		if *check {
			err = errors.Join(err, missed)
		}
		return err
	}))
}

// plan says how much to measure.
type plan struct {
	calls, transfers, size int
	modules                string
}

// run returns which figures are out of their bounds.
func run(ctx context.Context, p plan, out io.Writer) (missed, err error) {
	if p.calls < 1 || p.transfers < 1 || p.size < 1 {
		return nil, fmt.Errorf("-calls %d, -transfers %d and -size %d must be at least 1", p.calls, p.transfers, p.size)
	}
	dir, err := os.MkdirTemp("", "bench-gateway-")
	if err != nil {
		return nil, fmt.Errorf("make room for the engines: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := open(ctx, dir, filepath.Clean(p.modules))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	slow, err := b.latencies(ctx, p, out)
	if err != nil {
		return nil, err
	}
	low, err := b.speeds(ctx, p, out)
	return errors.Join(slow, low), err
}

// latencies times small calls.
func (b *bench) latencies(ctx context.Context, p plan, out io.Writer) (missed, err error) {
	fmt.Fprintf(out, "%-22s %12s %12s %12s %12s\n", "p50 of a call", paths()[0], paths()[1], paths()[2], "added")
	var errs []error
	for _, sort := range []struct {
		name string
		call func(ctx context.Context, path int) error
	}{{"HEAD of an object", b.head}, {"GetItem", b.getItem}} {
		took, err := inTurn(ctx, p.calls, sort.call)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", sort.name, err)
		}
		added := took[2] - took[0]
		fmt.Fprintf(out, "%-22s %12s %12s %12s %12s\n", sort.name, micro(took[0]), micro(took[1]), micro(took[2]), micro(added))
		if added > mostAdded {
			errs = append(errs, fmt.Errorf("%s: %s added, at most %s", sort.name, micro(added), micro(mostAdded)))
		}
	}
	return errors.Join(errs...), nil
}

// speeds times large transfers.
func (b *bench) speeds(ctx context.Context, p plan, out io.Writer) (missed, err error) {
	body := make([]byte, p.size)
	fmt.Fprintf(out, "%-22s %12s %12s %12s %12s\n", fmt.Sprintf("MB/s of %d MiB", p.size>>20), paths()[0], paths()[1], paths()[2], "left")
	var errs []error
	for _, sort := range []struct {
		name  string
		least float64
		call  func(ctx context.Context, path int) error
	}{
		{"PUT", leastPut, func(ctx context.Context, path int) error { return b.put(ctx, path, body) }},
		{"GET", leastGet, func(ctx context.Context, path int) error { return b.get(ctx, path, int64(p.size)) }},
	} {
		took, err := inTurn(ctx, p.transfers, sort.call)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", sort.name, err)
		}
		speed := func(n int) float64 { return float64(p.size) / 1e6 / took[n].Seconds() }
		left := speed(2) / speed(0)
		fmt.Fprintf(out, "%-22s %12.0f %12.0f %12.0f %11.0f%%\n", sort.name, speed(0), speed(1), speed(2), 100*left)
		if left < sort.least {
			errs = append(errs, fmt.Errorf("%s: %.0f %% of the speed left, at least %.0f %%", sort.name, 100*left, 100*sort.least))
		}
	}
	return errors.Join(errs...), nil
}

// inTurn makes a call by each path n times, one path after the other, and gives each path's median. What
// else the machine does meanwhile, it does to all. Each round begins with another path, so that what one
// leaves behind, such as pages that the disk has yet to write, is not always the same one's burden.
func inTurn(ctx context.Context, n int, call func(ctx context.Context, path int) error) ([]time.Duration, error) {
	took := make([][]time.Duration, len(paths()))
	for round := range n + n/10 + 1 { // the first tenth is for warming up
		for i := range took {
			path := (round + i) % len(took)
			begun := time.Now()
			if err := call(ctx, path); err != nil {
				return nil, fmt.Errorf("%s: %w", paths()[path], err)
			}
			if round > n/10 {
				took[path] = append(took[path], time.Since(begun))
			}
		}
	}
	medians := make([]time.Duration, len(took))
	for i, all := range took {
		slices.Sort(all)
		medians[i] = all[len(all)/2]
	}
	return medians, nil
}

// paths are the ways to an engine.
func paths() []string { return []string{"direct", "gateway", "gateway+IAM"} }

func micro(d time.Duration) string { return fmt.Sprintf("%d us", d.Microseconds()) }
