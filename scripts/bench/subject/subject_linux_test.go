package subject_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambda"

	"github.com/stowage-dev/stowage/scripts/bench/subject"
)

// roleEnv makes the test binary play a function.
const roleEnv = "SUBJECT_TEST_ROLE"

func TestMain(m *testing.M) {
	switch os.Getenv(roleEnv) {
	case "":
		os.Exit(m.Run())
	case "function":
		lambda.Start(play)
	case "quitter":
		fmt.Fprintln(os.Stderr, "no table")
		os.Exit(3)
	}
}

// play does what the event says.
func play(event string) (string, error) {
	switch word, rest, _ := strings.Cut(event, " "); word {
	case "say":
		return rest, nil
	case "work":
		d, err := time.ParseDuration(rest)
		if err != nil {
			return "", err
		}
		for until := used() + d; used() < until; { // asking is work too
		}
		return "done", nil
	case "exit":
		fmt.Fprintln(os.Stderr, "out of luck")
		os.Exit(4)
	}
	return "", errors.New("cannot " + event)
}

// used is the processor time of this process.
func used() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func config(t *testing.T, role string) subject.Config {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return subject.Config{
		Name: "player", Command: []string{self}, Env: []string{roleEnv + "=" + role},
		Wanted: func(answer []byte) bool { return !bytes.Contains(answer, []byte("unwanted")) },
	}
}

func start(t *testing.T, cfg subject.Config) *subject.Subject {
	t.Helper()
	s, err := subject.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestInvoke(t *testing.T) {
	t.Parallel()
	s := start(t, config(t, "function"))
	for _, word := range []string{"one", "two"} {
		got, err := s.Invoke(t.Context(), []byte(`"say `+word+`"`))
		if err != nil || string(got) != `"`+word+`"` {
			t.Errorf("got %s, %v", got, err)
		}
	}
	// The last ends the process.
	for _, c := range []struct{ event, want, said string }{
		{"say unwanted things", `player: it answered "unwanted things"`, ""},
		{"fly", `player: it failed: {"errorMessage":"cannot fly"`, "cannot fly"},
		{"exit", "player: it ended with exit code 4\n", "out of luck"},
		{"say anything", "player: it ended with exit code 4\n", "out of luck"},
	} {
		got, err := s.Invoke(t.Context(), []byte(`"`+c.event+`"`))
		if err == nil || !strings.HasPrefix(err.Error(), c.want) || !strings.Contains(err.Error(), c.said) {
			t.Errorf("%s: got %s, %v, want %q and %q", c.event, got, err, c.want, c.said)
		}
	}
}

func TestWhatNeverAsks(t *testing.T) {
	t.Parallel()
	s := start(t, config(t, "quitter"))
	_, err := s.Invoke(t.Context(), []byte("{}"))
	if err == nil || !strings.Contains(err.Error(), "it ended with exit code 3\nno table") {
		t.Errorf("one that ends: %v", err)
	}

	s = start(t, subject.Config{Name: "sleeper", Command: []string{"sleep", "60"}})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if _, err := s.Invoke(ctx, []byte("{}")); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("one that sleeps: %v", err)
	}

	if _, err := subject.Start(t.Context(), subject.Config{Name: "nobody", Command: []string{"/nowhere"}}); err == nil {
		t.Error("what is not there was started")
	}
}

func TestProcessorTimeAndMemoryAreOfTheProcess(t *testing.T) {
	t.Parallel()
	s := start(t, config(t, "function"))
	before, err := s.CPU()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Invoke(t.Context(), []byte(`"work 100ms"`)); err != nil {
		t.Fatal(err)
	}
	after, err := s.CPU()
	if took := after - before; err != nil || took < 80*time.Millisecond || took > time.Second {
		t.Errorf("100 ms of work took %s, %v", took, err)
	}
	rss, err := s.PeakRSS()
	if err != nil || rss < 1<<20 || rss > 1<<30 {
		t.Errorf("it held %d bytes, %v", rss, err)
	}
}

func TestComparison(t *testing.T) {
	t.Parallel()
	made := map[string][]int{} // how many events were asked for, by turn
	side := func(name, work string) subject.Side {
		cfg := config(t, "function")
		cfg.Name = name
		return subject.Side{Config: cfg, Events: func(_ context.Context, n int) ([][]byte, error) {
			made[name] = append(made[name], n)
			events := make([][]byte, n)
			for i := range events {
				events[i] = []byte(`"work ` + work + `"`)
			}
			return events, nil
		}}
	}
	var printed bytes.Buffer
	c := subject.Comparison{Title: "work", Rounds: 3, Events: 2, Warm: 1, Size: 10, Most: 0.5}
	ratio, err := c.Run(t.Context(), &printed, side("function, in Go", "20ms"), side("peer, in TypeScript", "100ms"))
	if err != nil {
		t.Fatal(err)
	}
	if ratio < 0.1 || ratio > 0.5 {
		t.Errorf("the ratio is %.2f, want about 0.2", ratio)
	}
	const want = `^work
function, in Go +\d{4} us
peer, in TypeScript +\d{4,5} us
ratio +0\.\d\d \(at most 0\.50\)
$`
	if !regexp.MustCompile(want).MatchString(printed.String()) {
		t.Errorf("printed %s", printed.String())
	}
	for name, turns := range made {
		if fmt.Sprint(turns) != "[1 2 2 2]" {
			t.Errorf("%s made events %v", name, turns)
		}
	}
}

func TestComparisonStopsAtTheFirstError(t *testing.T) {
	t.Parallel()
	broken := errors.New("the engine is gone")
	side := subject.Side{Config: config(t, "function"), Events: func(context.Context, int) ([][]byte, error) { return nil, broken }}
	var printed bytes.Buffer
	_, err := subject.Comparison{Rounds: 1, Events: 1, Size: 1}.Run(t.Context(), &printed, side, side)
	if !errors.Is(err, broken) || printed.Len() > 0 {
		t.Errorf("got %v, printed %q", err, printed.String())
	}
}
