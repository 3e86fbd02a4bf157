// Package journey sends real files through every route of a running Stowage and
// checks what comes back, from the outside: with the HTTP API, presigned requests and
// the events on the bus, and nothing else. The demo, the smoke test of a deployed
// stage and the end-to-end tests all walk the same journey.
//
// Every run works under a folder of its own, so that it can be repeated against a
// stack that already holds data, and deletes what it made.
package journey

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/stowage-dev/stowage/shared/client"
)

// Target is the running stack.
type Target struct {
	API    string
	Alpha  client.TokenSource // a member of workspace alpha with write access
	Beta   client.TokenSource // a member of workspace beta and of no other
	Events string             // JSON-lines file of the bus; "" when it cannot be read (a deployed stage)
}

// File is one file to send.
type File struct {
	Name        string // its path under the run's folder
	ContentType string
	Size        int64
	Content     io.ReaderAt
}

// Result is how one step went.
type Result struct {
	Step   string
	Took   time.Duration
	Detail string
	Err    error
}

// step is one thing that must hold. It returns a word on what it saw.
type step struct {
	name string
	run  func(ctx context.Context) (string, error)
}

// Run walks the journey and reports each step as it ends. It goes on after a failed
// step, since most do not depend on each other, and returns how many failed.
func Run(ctx context.Context, target Target, files []File, report func(Result)) (steps, failed int, err error) {
	w, err := newWalk(target, files)
	if err != nil {
		return 0, 0, err
	}
	for _, s := range w.steps() {
		if ctx.Err() != nil {
			return steps, failed, fmt.Errorf("before %q: %w", s.name, context.Cause(ctx))
		}
		start := time.Now()
		detail, err := runStep(ctx, s)
		steps++
		if err != nil {
			failed++
		}
		report(Result{Step: s.name, Took: time.Since(start), Detail: detail, Err: err})
	}
	return steps, failed, nil
}

// stepTimeout is far above what a step takes, so that one that hangs is named.
const stepTimeout = 2 * time.Minute

func runStep(ctx context.Context, s step) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepTimeout)
	defer cancel()
	return s.run(ctx)
}
