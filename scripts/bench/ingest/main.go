// Command ingest measures s3-ingest as it is deployed.
//
//	go run ./scripts/bench/ingest          # processor time of an event, beside TypeScript
//	go run ./scripts/bench/ingest -large   # calls and memory for 5 GiB beside 5 KiB
//
// The first compares it with the same work in TypeScript on Node: AWS's own SDK, Powertools
// batch and Powertools idempotency, against the same engines of S3 and DynamoDB. The two
// take turns, so that whatever else the machine does meets both alike. All that a process
// takes counts: the loop around its handler, the collection of garbage, the compilation of
// JavaScript where it goes on after the warming up. It needs Linux, which tells the
// processor time and the memory of another process.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == s3.Command {
		os.Exit(s3.Main(os.Args, os.Stdin))
	}
	rounds := flag.Int("rounds", 7, "how often each of the two gets batches")
	batches := flag.Int("batches", 20, "batches of ten events in a round")
	warm := flag.Int("warm", 60, "batches that do not count, before the first round")
	large := flag.Bool("large", false, "measure calls and memory for a large object instead")
	size := flag.Int64("gib", 5, "with -large: its size")
	check := flag.Bool("check", true, "fail when the figure is not reached")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	var err error
	if *large {
		err = compareSizes(ctx, *size<<30)
	} else {
		var ratio float64
		ratio, err = comparePeers(ctx, *rounds, *batches, *warm)
		if err == nil && *check && ratio > mostRatio {
			err = fmt.Errorf("the ratio is %.2f, the most is %.2f", ratio, mostRatio)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "ingest:", err)
		stop()
		os.Exit(1)
	}
}

func comparePeers(ctx context.Context, rounds, batches, warm int) (ratio float64, err error) {
	if rounds < 1 || batches < 1 {
		return 0, fmt.Errorf("-rounds is %d and -batches %d, want at least 1", rounds, batches)
	}
	dir, err := os.MkdirTemp("", "ingest-")
	if err != nil {
		return 0, fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	function, peer := filepath.Join(dir, "s3-ingest"), filepath.Join(dir, "peer.cjs")
	if err := errors.Join(buildFunction(ctx, function), buildPeer(ctx, peer)); err != nil {
		return 0, err
	}
	e, err := startEngines(ctx, dir, "bench-go", "bench-ts")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	subjects := []*subject{
		{name: "function, in Go", workspace: "bench-go", command: []string{function}, engines: e},
		{name: "peer, in TypeScript", workspace: "bench-ts", command: []string{"node", peer}, engines: e},
	}
	defer func() {
		for _, s := range subjects {
			err = errors.Join(err, s.stop())
		}
	}()
	for _, s := range subjects {
		if err := s.start(ctx, e.dynamodb.Endpoint(), e.s3.Endpoint()); err != nil {
			return 0, err
		}
	}
	return measure(ctx, subjects, rounds, batches, warm)
}

// mostRatio is the figure to hold.
const mostRatio = 0.35

// measure runs the rounds, prints the medians and returns their ratio.
func measure(ctx context.Context, subjects []*subject, rounds, batches, warm int) (float64, error) {
	for _, s := range subjects {
		if _, err := s.round(ctx, warm); err != nil {
			return 0, err
		}
	}
	for range rounds {
		for _, s := range subjects {
			used, err := s.round(ctx, batches)
			if err != nil {
				return 0, err
			}
			s.each = append(s.each, used)
		}
	}
	fmt.Printf("s3-ingest, processor time of an event (median of %d rounds of %d batches of %d)\n", rounds, batches, batchSize)
	for _, s := range subjects {
		fmt.Printf("%-24s %8.0f us\n", s.name, float64(s.median().Nanoseconds())/1000)
	}
	ratio := float64(subjects[0].median()) / float64(subjects[1].median())
	fmt.Printf("%-24s %8.2f (at most %.2f)\n", "ratio", ratio, mostRatio)
	return ratio, nil
}

func (s *subject) median() time.Duration {
	sorted := slices.Sorted(slices.Values(s.each))
	return sorted[len(sorted)/2]
}
