// Package hostile_test runs the deployed template whole while everything goes
// wrong that can go wrong on AWS, uses it as many clients at once would, and looks
// afterwards whether anything was lost, done twice or left behind. It needs
// cdk.out: run `make synth` first.
//
// A failing run prints its seed; STOWAGE_SEED repeats it. STOWAGE_OPERATIONS says
// how much is done, STOWAGE_CHAOS which faults are injected.
package hostile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/chaos"
	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/seed"
	"github.com/stowage-dev/stowage/scripts/local/stack"
)

const root = "../../../.."

// TestMain is the S3 engine when it is started as that.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3.Command {
		os.Exit(s3.Main(os.Args, os.Stdin))
	}
	if _, err := os.Stat(filepath.Join(root, "cdk.out", "manifest.json")); err != nil {
		fmt.Fprintln(os.Stderr, "there is no synthesized assembly to run: run `make synth` first")
		os.Exit(1)
	}
	os.Exit(m.Run())
}

const (
	defaultOperations = 400
	// defaultFaults are all, at rates at which a message that fails by chance alone
	// hardly ever fails as often as sends it to a dead-letter queue.
	defaultFaults = "on,throttles=0.03,kills=0.05,timeouts=0.003,restarts=0.0005,lost=0.02"
	// calmDown is how long what is under way may take once nothing goes wrong any more.
	calmDown = 2 * time.Minute
	// enoughKills is how many processes a run of 10,000 operations has to have killed.
	enoughKills = 20
)

// plan is how a run goes. It follows from the environment.
type plan struct {
	operations int
	paths      int // of a workspace
	faults     chaos.Settings
}

func newPlan(t *testing.T) plan {
	t.Helper()
	p := plan{operations: defaultOperations}
	faults := defaultFaults
	var err error
	if v := os.Getenv("STOWAGE_CHAOS"); v != "" {
		faults = v
	}
	if v := os.Getenv("STOWAGE_SEED"); v != "" {
		faults = "seed=" + v + "," + faults
	}
	if p.faults, err = chaos.Parse(faults); err != nil {
		t.Fatal(err)
	}
	if p.faults.Seed == 0 {
		p.faults.Seed = 1 + rand.Uint64N(1_000_000)
	}
	if v := os.Getenv("STOWAGE_OPERATIONS"); v != "" {
		if p.operations, err = strconv.Atoi(v); err != nil {
			t.Fatalf("STOWAGE_OPERATIONS: %v", err)
		}
	}
	// 10,000 operations are those of 200 paths: fewer would not meet on so many.
	p.paths = min(max(p.operations/100, 20), 100)
	return p
}

// TestNothingIsLostOrDoneTwice is what the whole platform promises.
func TestNothingIsLostOrDoneTwice(t *testing.T) {
	p := newPlan(t)
	w := startWorld(t)
	if err := w.Chaos.Set(p.faults); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d operations on %d paths, faults %s", p.operations, 2*p.paths, p.faults)
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to repeat this run: STOWAGE_SEED=%d STOWAGE_OPERATIONS=%d STOWAGE_CHAOS='%s'", p.faults.Seed, p.operations, p.faults)
		}
	})
	begun := time.Now()
	l := newLoad(w, p)
	l.run(t.Context())
	t.Logf("%s in %.1f s", l.summary(), time.Since(begun).Seconds())
	logCounts(t, w.Chaos, p)
	if err := w.Chaos.Set(chaos.Settings{}); err != nil {
		t.Fatal(err)
	}
	begun = time.Now()
	problems := w.settle(t, l)
	for _, p := range problems {
		t.Error(p)
	}
	t.Logf("quiet after %.1f s; %d messages came back from dead-letter queues", time.Since(begun).Seconds(), w.redriven)
}

// logCounts says what was injected, and fails for a fault that never struck: a
// run without it shows nothing.
func logCounts(t *testing.T, c *chaos.Chaos, p plan) {
	t.Helper()
	total := map[chaos.Fault]uint64{}
	for _, n := range c.Counts() {
		total[n.Fault] += n.Struck
	}
	for _, d := range chaos.Faults() {
		t.Logf("%-12s struck %d times", d.Fault, total[d.Fault])
	}
	if p.operations >= 10_000 && total[chaos.Kills] < enoughKills {
		t.Errorf("%d processes were killed, want at least %d", total[chaos.Kills], enoughKills)
	}
}

// world is a running stack with what is needed to look behind its scenes.
type world struct {
	*stack.Stack
	tokens   map[string]string
	redriven int
}

func startWorld(t *testing.T) *world {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute) // the functions are compiled first
	defer cancel()
	log, err := os.Create(filepath.Join(t.TempDir(), "runtime.log"))
	if err != nil {
		t.Fatal(err)
	}
	soon := 300 * time.Millisecond
	s, err := stack.Start(ctx, stack.Config{
		Assembly: filepath.Join(root, "cdk.out"), State: t.TempDir(), Source: root,
		QueueRetryDelay: &soon, RetryDelay: func(int) time.Duration { return soon }, Usage: os.Getenv("STOWAGE_USAGE"),
		Logger: slog.New(slog.NewTextHandler(log, nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := errors.Join(s.Close(), log.Close()); err != nil {
			t.Error(err)
		}
		if dir := os.Getenv("STOWAGE_KEEP_LOGS"); dir != "" && t.Failed() {
			keep(t, dir, log.Name(), s.LogDir())
		}
	})
	seeder := seed.Seeder{APIURL: s.APIURL(), Mint: s.Mint}
	if err := seeder.Run(ctx, seed.Workspaces()); err != nil {
		t.Fatal(err)
	}
	w := &world{Stack: s}
	if w.tokens, _, err = seeder.Tokens(ctx, seed.Workspaces()); err != nil {
		t.Fatal(err)
	}
	return w
}

// keep copies the logs of a run to a directory.
func keep(t *testing.T, dir, runtimeLog, logs string) {
	t.Helper()
	if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(logs))); err != nil {
		t.Error(err)
	}
	raw, err := os.ReadFile(runtimeLog)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "runtime.log"), raw, 0o600)
	}
	if err != nil {
		t.Error(err)
	}
}
