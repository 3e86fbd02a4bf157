// Command openupload measures the processor time of POST /v1/uploads: of functions/upload-api
// as it is deployed, beside the same handler in TypeScript on Node with AWS's own SDK, both
// against one DynamoDB engine.
//
//	go run ./scripts/bench/openupload
//
// The two take turns, a batch of requests each, so that whatever else the machine does meets
// both alike. All that a process takes counts: the loop around its handler, the collection of
// garbage, the compilation of JavaScript where it goes on after the warming up. It needs
// Linux, which tells the processor time of another process.
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
)

func main() {
	rounds := flag.Int("rounds", 7, "how many batches each of the two is sent")
	requests := flag.Int("requests", 400, "requests of a batch")
	warm := flag.Int("warm", 600, "requests that do not count, before the first batch")
	check := flag.Bool("check", true, "fail when the figure is not reached")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ratio, err := run(ctx, *rounds, *requests, *warm)
	if err == nil && *check && ratio > mostRatio {
		err = fmt.Errorf("the ratio is %.2f, want at most %.2f", ratio, mostRatio)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "openupload:", err)
		stop()
		os.Exit(1)
	}
}

// mostRatio is the figure to reach.
const mostRatio = 0.3

func run(ctx context.Context, rounds, requests, warm int) (ratio float64, err error) {
	if rounds < 1 || requests < 1 {
		return 0, fmt.Errorf("-rounds is %d and -requests %d, want at least 1", rounds, requests)
	}
	dir, err := os.MkdirTemp("", "openupload-")
	if err != nil {
		return 0, fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	function, peer := filepath.Join(dir, "upload-api"), filepath.Join(dir, "peer.cjs")
	if err := errors.Join(buildFunction(ctx, function), buildPeer(ctx, peer)); err != nil {
		return 0, err
	}
	engine, err := startEngine(ctx, dir)
	if err != nil {
		return 0, err
	}
	defer engine.Close()
	subjects := []*subject{
		{name: "function, in Go", workspace: "bench-go", command: []string{function}},
		{name: "peer, in TypeScript", workspace: "bench-ts", command: []string{"node", peer}},
	}
	for _, s := range subjects {
		if err := s.start(ctx, engine.Endpoint()); err != nil {
			return 0, errors.Join(err, stopAll(subjects))
		}
	}
	ratio, err = measure(ctx, subjects, rounds, requests, warm)
	return ratio, errors.Join(err, stopAll(subjects))
}

func stopAll(subjects []*subject) error {
	var errs []error
	for _, s := range subjects {
		errs = append(errs, s.stop())
	}
	return errors.Join(errs...)
}

// measure sends the batches prints the medians, and returns their ratio.
func measure(ctx context.Context, subjects []*subject, rounds, requests, warm int) (ratio float64, err error) {
	for _, s := range subjects {
		if _, err := s.batch(ctx, warm); err != nil {
			return 0, err
		}
	}
	for range rounds {
		for _, s := range subjects {
			used, err := s.batch(ctx, requests)
			if err != nil {
				return 0, err
			}
			s.each = append(s.each, used/time.Duration(requests))
		}
	}
	fmt.Printf("POST /v1/uploads, processor time of a request (median of %d batches of %d)\n", rounds, requests)
	for _, s := range subjects {
		fmt.Printf("%-24s %8.0f us\n", s.name, float64(s.median().Nanoseconds())/1000)
	}
	ratio = float64(subjects[0].median()) / float64(subjects[1].median())
	fmt.Printf("%-24s %8.2f (at most %.2f)\n", "ratio", ratio, mostRatio)
	return ratio, nil
}

func (s *subject) median() time.Duration {
	sorted := slices.Sorted(slices.Values(s.each))
	return sorted[len(sorted)/2]
}
