package hostile_test

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/chaos"
)

// defaultInvocations take about 15 s; STOWAGE_INVOCATIONS says otherwise.
const defaultInvocations = 10_000

// footprint is what the runtime's process holds, as Linux tells.
type footprint struct {
	children, files, goroutines int
	rss                         int64 // bytes
}

func (f footprint) String() string {
	return fmt.Sprintf("%d processes, %d files, %d goroutines, %.1f MB", f.children, f.files, f.goroutines, float64(f.rss)/1e6)
}

// measure waits until the memory that is free is the system's again.
func measure(t *testing.T) footprint {
	t.Helper()
	debug.FreeOSMemory()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	status, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Fatal(err)
	}
	pages, err := strconv.ParseInt(strings.Fields(string(status))[1], 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	return footprint{children: children(t), files: len(files), goroutines: runtime.NumGoroutine(), rss: pages * int64(os.Getpagesize())}
}

// children counts the processes that this one has started, zombies too.
func children(t *testing.T) int {
	t.Helper()
	all, err := os.ReadDir("/proc")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range all {
		raw, err := os.ReadFile("/proc/" + p.Name() + "/stat")
		if err != nil {
			continue // no process, or one that has ended
		}
		_, rest, _ := strings.Cut(string(raw), ") ") // the name may hold anything
		if fields := strings.Fields(rest); len(fields) > 1 && fields[1] == strconv.Itoa(os.Getpid()) {
			n++
		}
	}
	return n
}

// TestKillsLeakNothing invokes a function very often and has it killed now and then.
func TestKillsLeakNothing(t *testing.T) {
	invocations := defaultInvocations
	if v := os.Getenv("STOWAGE_INVOCATIONS"); v != "" {
		var err error
		if invocations, err = strconv.Atoi(v); err != nil {
			t.Fatalf("STOWAGE_INVOCATIONS: %v", err)
		}
	}
	w := startWorld(t)
	faults, err := chaos.Parse("kills=0.05,seed=" + strconv.FormatUint(newPlan(t).faults.Seed, 10))
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Chaos.Set(faults); err != nil {
		t.Fatal(err)
	}
	w.invoke(t, invocations/5) // so that everything that is kept for the next time is there
	before := measure(t)
	begun := time.Now()
	killed := w.invoke(t, invocations)
	took := time.Since(begun)
	after := measure(t)
	// How many processes are warm depends on how many kills came at once; each holds its pipes and its
	// connection to the Runtime API.
	const filesOfAProcess = 5
	mostFiles := func() int { return before.files + 10 + filesOfAProcess*max(0, after.children-before.children) }
	for deadline := time.Now().Add(10 * time.Second); after.files > mostFiles() && time.Now().Before(deadline); after = measure(t) {
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("%d invocations, %d killed, in %.1f s (--chaos '%s')", invocations, killed, took.Seconds(), faults)
	t.Logf("before: %s", before)
	t.Logf("after:  %s", after)
	if killed < invocations/40 || killed > invocations/10 {
		t.Errorf("%d of %d invocations were killed, want about one in twenty", killed, invocations)
	}
	const most = 20 << 20 // bytes by which the runtime may grow
	if after.children > before.children+workers || after.files > mostFiles() || after.goroutines > before.goroutines+50 || after.rss > before.rss+most {
		t.Error("the runtime has grown")
	}
}

// invoke calls the function behind the user pool, from several sides at once, and
// says how often it was killed.
func (w *world) invoke(t *testing.T, n int) int {
	t.Helper()
	pool := w.Model.UserPools[0]
	event := fmt.Appendf(nil, `{"version":"2","triggerSource":"TokenGeneration_Authentication","region":"us-east-1","userPoolId":%q,"userName":"alpha-user",`+
		`"callerContext":{"clientId":"c"},"request":{"userAttributes":{"sub":"alpha-user"},"groupConfiguration":{},"scopes":[]},"response":{}}`, pool.ID)
	var left, killed atomic.Int64
	left.Store(int64(n))
	var callers sync.WaitGroup
	for range workers {
		callers.Go(func() {
			for left.Add(-1) >= 0 {
				r, err := w.Host.Invoke(context.Background(), pool.TriggerARN, event)
				switch {
				case err != nil:
					t.Error(err)
				case strings.Contains(string(r.Payload), "signal: killed"):
					killed.Add(1)
				case r.FunctionError != "":
					t.Errorf("the function failed: %s", r.Payload)
				}
			}
		})
	}
	callers.Wait()
	return int(killed.Load())
}
