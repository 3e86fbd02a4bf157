package console

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
)

// TestEventsSince: whatever was put and asked, each event is handed out once, in
// order, or counted as skipped.
func TestEventsSince(t *testing.T) {
	var sizes []json.RawMessage
	for _, n := range []int{10, 9 << 10, maxEventBytes + 1} {
		sizes = append(sizes, json.RawMessage(fmt.Sprintf(`{"source":"s","x":%q}`, strings.Repeat("x", n))))
	}
	rapid.Check(t, func(t *rapid.T) {
		r := newEventRing()
		var put, read uint64
		for range rapid.IntRange(1, 12).Draw(t, "turns") {
			raw := rapid.SampledFrom(sizes).Draw(t, "event")
			for range rapid.IntRange(0, 300).Draw(t, "put") {
				r.put(time.UnixMilli(1), "bus", raw, 1)
				put++
			}
			n := rapid.IntRange(1, 100).Draw(t, "n")
			events, skipped := r.since(read, n)
			if len(events) > n || read+skipped+uint64(len(events)) != put {
				t.Fatalf("read %d, then %d events and %d skipped, of %d", read, len(events), skipped, put)
			}
			for i, e := range events {
				if e.Seq != read+skipped+uint64(i)+1 || e.Source != "s" {
					t.Fatalf("event %d is %+v", i, e)
				}
			}
			read = put
			if r.bytes > maxRingBytes || r.next-r.first > maxEvents {
				t.Fatalf("%d events of %d bytes are kept", r.next-r.first, r.bytes)
			}
		}
		if again, skipped := r.since(read, 10); len(again) != 0 || skipped != 0 {
			t.Fatalf("nothing new, and yet %d events and %d skipped", len(again), skipped)
		}
		if put > 0 {
			if e, ok := r.find(put); !ok || e.Seq != put {
				t.Fatalf("the newest event is %+v, %t", e, ok)
			}
		}
		for _, gone := range []uint64{0, put + 1, r.first - 1} {
			if _, ok := r.find(gone); ok {
				t.Fatalf("event %d is found", gone)
			}
		}
	})
}

func TestPercentile(t *testing.T) {
	values := func(n int) []float64 {
		out := make([]float64, n)
		for i := range out {
			out[i] = float64(i + 1)
		}
		return out
	}
	for _, test := range []struct{ n, p, want int }{
		{0, 50, 0}, {1, 50, 1}, {1, 99, 1}, {2, 50, 1}, {3, 50, 2}, {99, 99, 99}, {100, 99, 99}, {101, 99, 100}, {100, 50, 50},
	} {
		if got := percentile(values(test.n), test.p); got != float64(test.want) {
			t.Errorf("p%d of 1 to %d is %g, want %d", test.p, test.n, got, test.want)
		}
	}
}

func TestFunctionStats(t *testing.T) {
	s := newFunctionStats()
	declared := []string{"app-Two", "app-One"}
	s.declare(declared)
	now := time.Unix(1_700_000_000, 0)
	for i := range maxDurations + 100 { // the first ones are forgotten
		took := time.Millisecond
		if i < 100 {
			took = time.Hour
		}
		s.invoked(lambda.Report{Function: "app-One", Start: now.Add(-took), Duration: took})
	}
	for i := range maxErrors + 1 {
		s.invoked(lambda.Report{Function: "app-Two", RequestID: fmt.Sprint(i), Start: now, InitDuration: time.Second, FunctionError: "Unhandled", ErrorType: "Oops"})
	}
	rows := s.rows(now, declared, "app-")
	two, one := rows[0], rows[1]
	if one.Label != "One" || one.Invocations != maxDurations+100 || one.P50 != 1 || one.P99 != 1 || one.Errors != 0 || one.Spark[sparkSeconds-1] != maxDurations+100 {
		t.Errorf("one: %+v", one)
	}
	if two.Errors != maxErrors+1 || two.ColdStarts != maxErrors+1 || two.LastError != "Oops" || two.Failed[sparkSeconds-1] != maxErrors+1 {
		t.Errorf("two: %+v", two)
	}
	if d, ok := s.detail("app-Two"); !ok || len(d.Failures) != maxErrors || d.Failures[0].RequestID != fmt.Sprint(maxErrors) {
		t.Errorf("the latest failure comes first: %+v", d.Failures)
	}
	if later := s.rows(now.Add(sparkSeconds*time.Second), declared, ""); later[0].Spark[0] != 0 || later[0].Spark[sparkSeconds-1] != 0 {
		t.Errorf("what is over is still shown: %v", later[0].Spark)
	}
	for range maxLogLines + 10 {
		s.logged("app-One", strings.Repeat("x", maxLogLine+1))
	}
	if d, _ := s.detail("app-One"); len(d.Log) > maxLogBytes/maxLogLine || len(d.Log) < 10 {
		t.Errorf("%d lines of the log are kept", len(d.Log))
	}
}

// TestFunctionsOfNobody: what runs though it is not declared is listed after the others.
func TestFunctionsOfNobody(t *testing.T) {
	s := newFunctionStats()
	s.invoked(lambda.Report{Function: "gone"})
	var names []string
	for _, row := range s.rows(time.Now(), []string{"b", "a"}, "") {
		names = append(names, row.Name)
	}
	if strings.Join(names, " ") != "b a gone" {
		t.Errorf("%v", names)
	}
}

func TestCommonPrefix(t *testing.T) {
	for _, test := range []struct {
		names []string
		want  string
	}{
		{nil, ""}, {[]string{"app-One"}, ""}, {[]string{"app-One", "app-Two"}, "app-"}, {[]string{"app-One", "app-Other"}, "app-"},
		{[]string{"app-x-One", "app-x-Two"}, "app-x-"}, {[]string{"a", "b"}, ""}, {[]string{"app", "app-One"}, ""}, {[]string{"app-One", "app-One"}, "app-"},
	} {
		if got := commonPrefix(test.names); got != test.want {
			t.Errorf("%v: %q, want %q", test.names, got, test.want)
		}
	}
}
