package bus_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/bus"
)

// putterEnv makes this test binary put events into the state directory that it names, until it is
// killed.
const putterEnv = "STOWAGE_TEST_BUS_PUTTER"

func TestMain(m *testing.M) {
	if dir := os.Getenv(putterEnv); dir != "" {
		putUntilKilled(dir)
	}
	os.Exit(m.Run())
}

func putUntilKilled(dir string) {
	b, err := bus.New(killConfig(dir, func(context.Context, string, []byte) error { return errors.New("down") }))
	if err == nil {
		err = b.Start(context.Background())
	}
	for n := 0; err == nil; n++ {
		if _, err = b.Put(context.Background(), order(fmt.Sprintf(`{"n":%d}`, n))); err == nil {
			fmt.Println(n)
		}
	}
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func killConfig(dir string, deliver func(context.Context, string, []byte) error) bus.Config {
	return bus.Config{
		Buses:    []bus.EventBus{{Name: "app"}},
		Rules:    []bus.Rule{{Name: "r", ARN: ruleARN, Bus: "app", Pattern: json.RawMessage(`{"source":["shop"]}`), Targets: []bus.Target{{ID: "q", ARN: queueARN}}}},
		StateDir: dir, Deliver: deliver,
		Backoff: func(int) time.Duration { return time.Second }, // all are due soon after the restart
	}
}

// TestAKillLosesNothingThatWasAcknowledged kills a process with kill -9 while it puts events.
func TestAKillLosesNothingThatWasAcknowledged(t *testing.T) {
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), putterEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if acknowledged++; acknowledged == 500 {
			cmd.Process.Kill()
		}
	}
	cmd.Wait()
	if acknowledged < 500 {
		t.Fatalf("the process ended after %d events", acknowledged)
	}

	var r targets
	start(t, killConfig(dir, r.deliver))
	eventually(t, func() bool { return len(r.got(queueARN)) >= acknowledged })
	got := strings.Join(r.got(queueARN), "\n")
	for n := range acknowledged {
		if !strings.Contains(got, fmt.Sprintf(`{"n":%d}`, n)) {
			t.Errorf("event %d was acknowledged and lost", n)
		}
	}
}
