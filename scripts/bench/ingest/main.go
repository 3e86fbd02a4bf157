// Command ingest measures s3-ingest as it is deployed.
//
//	go run ./scripts/bench/ingest          # processor time of an event, beside TypeScript
//	go run ./scripts/bench/ingest -large   # calls and memory for 5 GiB beside 5 KiB
//
// The first compares it with the same work in TypeScript on Node: AWS's own SDK, Powertools
// batch and Powertools idempotency, against the same engines of S3 and DynamoDB. The two
// take turns. It needs Linux: see package subject, which says too what counts.
package main

import (
	"bytes"
	"context"
	"embed"
	"errors"
	"flag"
	"fmt"
	"os"

	"github.com/stowage-dev/stowage/scripts/bench/subject"
	"github.com/stowage-dev/stowage/scripts/command"
	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
)

//go:embed peer
var peerFiles embed.FS

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
	os.Exit(command.Run("ingest", func(ctx context.Context) error {
		if *large {
			return compareSizes(ctx, *size<<30)
		}
		ratio, err := comparePeers(ctx, *rounds, *batches, *warm)
		if err == nil && *check && ratio > mostRatio {
			err = fmt.Errorf("the ratio is %.2f, the most is %.2f", ratio, mostRatio)
		}
		return err
	}))
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
	function, err := subject.BuildFunction(ctx, dir, "s3-ingest")
	if err != nil {
		return 0, err
	}
	peer, err := subject.BuildPeer(ctx, dir, "bench-ingest", peerFiles)
	if err != nil {
		return 0, err
	}
	e, err := startEngines(ctx, dir, "bench-go", "bench-ts")
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, e.close()) }()
	env := e.environment(e.catalog.Endpoint(), e.s3.Endpoint())
	return subject.Comparison{
		Title:  fmt.Sprintf("s3-ingest, processor time of an event (median of %d rounds of %d batches of %d)", rounds, batches, batchSize),
		Rounds: rounds, Events: batches, Warm: warm, Size: batchSize, Most: mostRatio,
	}.Run(ctx, os.Stdout,
		subject.Side{
			Config: subject.Config{Name: "function, in Go", Command: function, Env: env, Wanted: allDone},
			Events: (&uploader{engines: e, workspace: "bench-go"}).batches,
		},
		subject.Side{
			Config: subject.Config{Name: "peer, in TypeScript", Command: peer, Env: env, Wanted: allDone},
			Events: (&uploader{engines: e, workspace: "bench-ts"}).batches,
		})
}

const (
	// mostRatio is the figure to hold.
	mostRatio = 0.35
	// batchSize is how many messages an invocation gets: what the template says.
	batchSize = 10
)

// allDone tells whether no message of a batch comes back.
func allDone(answer []byte) bool {
	return bytes.Equal(bytes.ReplaceAll(answer, []byte(" "), nil), []byte(`{"batchItemFailures":[]}`))
}
