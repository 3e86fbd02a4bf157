// Command openupload measures the processor time of POST /v1/uploads: of functions/upload-api
// as it is deployed, beside the same handler in TypeScript on Node with AWS's own SDK, both
// against one DynamoDB engine.
//
//	go run ./scripts/bench/openupload
//
// The two take turns, a batch of requests each. It needs Linux: see package subject, which
// says too what counts.
package main

import (
	"bytes"
	"context"
	"embed"
	"flag"
	"fmt"
	"os"

	"github.com/stowage-dev/stowage/scripts/bench/catalogdb"
	"github.com/stowage-dev/stowage/scripts/bench/subject"
	"github.com/stowage-dev/stowage/scripts/command"
)

//go:embed peer
var peerFiles embed.FS

func main() {
	rounds := flag.Int("rounds", 7, "how many batches each of the two is sent")
	requests := flag.Int("requests", 400, "requests of a batch")
	warm := flag.Int("warm", 600, "requests that do not count, before the first batch")
	check := flag.Bool("check", true, "fail when the figure is not reached")
	flag.Parse()
	os.Exit(command.Run("openupload", func(ctx context.Context) error {
		ratio, err := run(ctx, *rounds, *requests, *warm)
		if err == nil && *check && ratio > mostRatio {
			err = fmt.Errorf("the ratio is %.2f, want at most %.2f", ratio, mostRatio)
		}
		return err
	}))
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
	function, err := subject.BuildFunction(ctx, dir, "upload-api")
	if err != nil {
		return 0, err
	}
	peer, err := subject.BuildPeer(ctx, dir, "bench-openupload", peerFiles)
	if err != nil {
		return 0, err
	}
	db, err := catalogdb.Start(ctx, dir, "bench-go", "bench-ts")
	if err != nil {
		return 0, err
	}
	defer db.Close()
	sts, err := startSTS(ctx)
	if err != nil {
		return 0, err
	}
	defer sts.Close()
	env := environment(db.Endpoint(), "http://"+sts.Addr)
	return subject.Comparison{
		Title:  fmt.Sprintf("POST /v1/uploads, processor time of a request (median of %d batches of %d)", rounds, requests),
		Rounds: rounds, Events: requests, Warm: warm, Size: 1, Most: mostRatio,
	}.Run(ctx, os.Stdout,
		subject.Side{
			Config: subject.Config{Name: "function, in Go", Command: function, Env: env, Wanted: created},
			Events: (&client{workspace: "bench-go"}).requests,
		},
		subject.Side{
			Config: subject.Config{Name: "peer, in TypeScript", Command: peer, Env: env, Wanted: created},
			Events: (&client{workspace: "bench-ts"}).requests,
		})
}

// created tells whether an upload was opened.
func created(answer []byte) bool { return bytes.Contains(answer, []byte(`"statusCode":201`)) }
