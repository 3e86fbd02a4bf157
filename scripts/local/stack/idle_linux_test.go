package stack_test

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/stack/stacktest"
)

// TestIdleIsCheap: while nothing happens, the runtime and the engine whose streams it
// reads take little of a processor, on a machine that somebody works on.
func TestIdleIsCheap(t *testing.T) {
	s := start(t, config(stacktest.New(t, recorderDir), t.TempDir()))
	putItem(t, s, "so that there was something to read")
	runtime.GC()
	const most = 0.05 // of one processor; 0.01 was seen
	var share float64
	for range 5 { // what other tests have left to be done takes time, too
		begun, before := time.Now(), busy(t, s.DynamoDB.PID())
		time.Sleep(time.Second) // what is measured is what happens in it
		if share = (busy(t, s.DynamoDB.PID()) - before).Seconds() / time.Since(begun).Seconds(); share <= most {
			return
		}
	}
	t.Errorf("%.1f %% of a processor are taken while nothing happens, at most %.0f %%", 100*share, 100*most)
}

// busy is the processor time that this process and another have taken.
func busy(t *testing.T, pid int) time.Duration {
	t.Helper()
	var own syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &own); err != nil {
		t.Fatal(err)
	}
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(raw), ") ") // the name may hold anything
	total := time.Duration(own.Utime.Nano() + own.Stime.Nano())
	for _, field := range strings.Fields(rest)[11:13] { // utime and stime, in hundredths of a second
		ticks, err := strconv.Atoi(field)
		if err != nil {
			t.Fatal(err)
		}
		total += time.Duration(ticks) * time.Second / 100
	}
	return total
}
