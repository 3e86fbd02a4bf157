package fanout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/functions/internal/fanout"
	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
)

// bus takes events, except those that fate says it does not.
type bus struct {
	mu    sync.Mutex
	taken []string // ids of events, in their order
	calls [][]string
	fate  func(id string) error
	size  int // of every event; 0: that of its JSON
}

func (b *bus) Put(_ context.Context, es []event.Encoded) []error {
	b.mu.Lock()
	defer b.mu.Unlock()
	errs := make([]error, len(es))
	var call []string
	for i, e := range es {
		call = append(call, e.ID)
		if b.fate != nil {
			errs[i] = b.fate(e.ID)
		}
		if errs[i] == nil {
			b.taken = append(b.taken, e.ID)
		}
	}
	b.calls = append(b.calls, call)
	return errs
}

func (b *bus) Size(e event.Encoded) int {
	if b.size > 0 {
		return b.size
	}
	return len(e.JSON)
}

// box keeps dead letters in memory, by identity.
type box struct {
	mu      sync.Mutex
	letters map[string]batch.Letter
}

func (b *box) Put(_ context.Context, l batch.Letter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.letters[l.ID] = l
	return nil
}

func home() fanout.Config {
	return fanout.Config{Region: "eu-west-1", HomeRegion: "eu-west-1"}
}

func newHandler(cfg fanout.Config, b *bus) (*fanout.Handler, *box) {
	dead := &box{letters: map[string]batch.Letter{}}
	log := slog.New(slog.DiscardHandler)
	metrics := observe.NewMetrics(io.Discard, "test", time.Now)
	return fanout.New(cfg, fanout.Parts{
		Bus: b, DeadLetters: dead, Metrics: metrics, Log: log,
		Observer: observe.NewRecords(metrics, observe.NoTracer(), log, time.Now),
	}), dead
}

// write is one write of an object.
type write struct{ old, new *object.Object }

// stream is the event that Lambda makes of writes; the n-th has the sequence number n.
func stream(tb testing.TB, writes ...write) []byte {
	tb.Helper()
	schema := catalog.Declare()
	var records []map[string]any
	for n, w := range writes {
		of := w.new
		change := map[string]any{"SequenceNumber": fmt.Sprint(n), "ApproximateCreationDateTime": 1795356307}
		if w.new != nil {
			change["NewImage"] = schema.Objects.Encode(*w.new)
		} else {
			of = w.old
		}
		if w.old != nil {
			change["OldImage"] = schema.Objects.Encode(*w.old)
		}
		change["Keys"] = schema.Objects.Key(*of).Item()
		records = append(records, map[string]any{"eventSourceARN": "arn:stream", "dynamodb": change})
	}
	text, err := json.Marshal(map[string]any{"Records": records})
	if err != nil {
		tb.Fatal(err)
	}
	return text
}

// at is the object of that name with that rev.
func at(name string, rev int64) *object.Object {
	id := "01KB3Z5V0QJ8W4N6T2M9R7XHC" + name
	return &object.Object{
		Workspace: "alpha", ID: id, Path: "p" + name, Name: "p" + name, State: object.Available, Rev: rev, Version: id,
		CreatedAt: time.Unix(1700000000, 0).UTC(), UpdatedAt: time.Unix(1700000000+rev, 0).UTC(),
	}
}

// update is the write that makes rev of the object of that name.
func update(name string, rev int64) write {
	if rev == 1 {
		return write{nil, at(name, 1)}
	}
	return write{at(name, rev-1), at(name, rev)}
}

func handle(tb testing.TB, h *fanout.Handler, payload []byte) []string {
	tb.Helper()
	resp, err := h.Handle(tb.Context(), payload)
	if err != nil {
		tb.Fatal(err)
	}
	back := []string{}
	for _, f := range resp.BatchItemFailures {
		back = append(back, f.ItemIdentifier)
	}
	return back
}

func TestSamples(t *testing.T) {
	for name, want := range map[string]string{
		"dynamodb/object-available":        "01KB3Z5V0QJ8W4N6T2M9R7XHCE.1",
		"dynamodb/object-deleted":          "01KB3Z5V0QJ8W4N6T2M9R7XHCE.2",
		"dynamodb/rejected-object-expired": "01KB3Z5V0QJ8W4N6T2M9R7XHCE.2",
	} {
		b := &bus{}
		h, dead := newHandler(home(), b)
		if back := handle(t, h, samples.Read(name)); len(back) > 0 || len(dead.letters) > 0 {
			t.Errorf("%s: handed back %v, dead letters %v", name, back, dead.letters)
		}
		if diff := cmp.Diff([]string{want}, b.taken); diff != "" {
			t.Errorf("%s: events (-want +got):\n%s", name, diff)
		}
	}
}

func TestWhatMakesNoEvent(t *testing.T) {
	same := at("A", 3)
	for name, payload := range map[string][]byte{
		"no records":       []byte(`{"Records":[]}`),
		"another entity":   []byte(strings.ReplaceAll(string(samples.Read("dynamodb/object-available")), `"OBJECT"`, `"V#1"`)),
		"an identical put": stream(t, write{same, same}),
		"the same rev":     stream(t, write{at("A", 3), func() *object.Object { o := at("A", 3); o.Path = "q"; return o }()}),
	} {
		t.Run(name, func(t *testing.T) {
			b := &bus{}
			h, dead := newHandler(home(), b)
			if back := handle(t, h, payload); len(back) > 0 || len(dead.letters) > 0 || len(b.calls) > 0 {
				t.Errorf("handed back %v, dead letters %v, calls %v", back, dead.letters, b.calls)
			}
		})
	}
}

func TestOnlyTheHomeRegionPublishes(t *testing.T) {
	b := &bus{}
	h, _ := newHandler(fanout.Config{Region: "eu-central-1", HomeRegion: "eu-west-1"}, b)
	if back := handle(t, h, samples.Read("dynamodb/object-available")); len(back) > 0 || len(b.calls) > 0 {
		t.Errorf("handed back %v, calls %v", back, b.calls)
	}
}

func TestGroups(t *testing.T) {
	var many []write
	for i := range 21 {
		many = append(many, update(string("0123456789ABCDEFGHJKMNPQRS"[i]), 1))
	}
	for name, tc := range map[string]struct {
		writes []write
		size   int
		want   []int // events in each call, largest first
	}{
		"ten at a time":            {many, 0, []int{10, 10, 1}},
		"as many bytes as allowed": {many[:4], int(limits.PutEventsBytes) / 2, []int{2, 2}},
		"one byte more":            {many[:4], int(limits.PutEventsBytes)/2 + 1, []int{1, 1, 1, 1}},
		"one object, one by one":   {[]write{update("A", 1), update("A", 2), update("A", 3)}, 0, []int{1, 1, 1}},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bus{size: tc.size}
			h, _ := newHandler(home(), b)
			if back := handle(t, h, stream(t, tc.writes...)); len(back) > 0 {
				t.Fatalf("handed back %v", back)
			}
			var got []int
			for _, c := range b.calls {
				got = append(got, len(c))
			}
			slices.SortFunc(got, func(a, b int) int { return b - a })
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFailures(t *testing.T) {
	refused := fault.New(fault.InvalidArgument, "malformed detail")
	throttled := fault.New(fault.RateLimited, "slow down")
	id := func(w write) string { return fmt.Sprintf("%s.%d", w.new.ID, w.new.Rev) }
	a1, a2, b1 := update("A", 1), update("A", 2), update("B", 1)
	for name, tc := range map[string]struct {
		fate    map[string]error
		back    []string
		taken   []string
		letters int
	}{
		"none":                          {nil, []string{}, []string{id(a1), id(b1), id(a2)}, 0},
		"the first is throttled":        {map[string]error{id(a1): throttled}, []string{"0"}, []string{id(b1)}, 0},
		"the last is throttled":         {map[string]error{id(b1): throttled}, []string{"2"}, []string{id(a1), id(a2)}, 0},
		"what nobody knows is kept":     {map[string]error{id(b1): errors.New("access denied")}, []string{"2"}, []string{id(a1), id(a2)}, 0},
		"the first is refused":          {map[string]error{id(a1): refused}, []string{}, []string{id(b1), id(a2)}, 1},
		"one is refused, one throttled": {map[string]error{id(a1): refused, id(b1): throttled}, []string{"2"}, []string{id(a2)}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			b := &bus{fate: func(id string) error { return tc.fate[id] }}
			h, dead := newHandler(home(), b)
			if diff := cmp.Diff(tc.back, handle(t, h, stream(t, a1, a2, b1))); diff != "" {
				t.Errorf("handed back (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.taken, b.taken); diff != "" {
				t.Errorf("events (-want +got):\n%s", diff)
			}
			if len(dead.letters) != tc.letters {
				t.Errorf("%d dead letters, want %d", len(dead.letters), tc.letters)
			}
		})
	}
}

func TestPoisonIsKeptAndHoldsNobodyUp(t *testing.T) {
	good := string(samples.Read("dynamodb/object-available"))
	for name, change := range map[string][2]string{
		"an attribute of another type": {`"rev": {`, `"rev": {"S": "x"}, "x": {`},
		"another item's attributes":    {`"object": {`, `"object": {"S": "01KB3Z5V0QJ8W4N6T2M9R7XHCF"}, "x": {`},
		"no sequence number":           {`"SequenceNumber"`, `"Sequence"`},
		"no keys":                      {`"Keys"`, `"Locks"`},
		"an image that is no image":    {`"NewImage": {`, `"NewImage": 7, "Image": {`},
		"a time that is none":          {`"ApproximateCreationDateTime": 1795356307`, `"ApproximateCreationDateTime": "now"`},
		"a number that is none":        {`"N": "1"`, `"N": "one"`},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.Contains(good, change[0]) {
				t.Fatalf("the sample holds no %s", change[0])
			}
			bad := strings.Replace(good, change[0], change[1], 1)
			var one, two struct{ Records []json.RawMessage }
			if err := errors.Join(json.Unmarshal([]byte(bad), &one), json.Unmarshal(stream(t, update("A", 1)), &two)); err != nil {
				t.Fatal(err)
			}
			payload, err := json.Marshal(map[string]any{"Records": append(one.Records, two.Records...)})
			if err != nil {
				t.Fatal(err)
			}
			b := &bus{}
			h, dead := newHandler(home(), b)
			if back := handle(t, h, payload); len(back) > 0 || len(b.taken) != 1 {
				t.Errorf("handed back %v, events %v", back, b.taken)
			}
			if len(dead.letters) != 1 {
				t.Fatalf("%d dead letters, want 1", len(dead.letters))
			}
			for _, l := range dead.letters {
				if !json.Valid(l.Payload) || l.Err == nil {
					t.Errorf("letter for %v with the payload %s", l.Err, l.Payload)
				}
			}
		})
	}
}

func TestPayloadThatIsNoEvent(t *testing.T) {
	h, _ := newHandler(home(), &bus{})
	for _, payload := range []string{``, `[]`, `{"Records":7}`, `{"Records":[{]}`} {
		if _, err := h.Handle(t.Context(), []byte(payload)); err == nil {
			t.Errorf("%q was taken for an event", payload)
		}
	}
}

// TestOrder: whatever the bus does, and however often records are delivered again, it
// takes the events of an object in the order of their revs, and in the end all of them.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		revs := map[string]int64{}
		var writes []write
		for _, name := range rapid.SliceOfN(rapid.SampledFrom([]string{"A", "B", "C", "D"}), 1, 40).Draw(rt, "objects") {
			revs[name]++
			writes = append(writes, update(name, revs[name]))
		}
		failures := map[string]int{}
		for _, w := range writes {
			failures[fmt.Sprintf("%s.%d", w.new.ID, w.new.Rev)] = rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(rt, "failures")
		}
		b := &bus{fate: func(id string) error {
			if failures[id] > 0 {
				failures[id]--
				return fault.New(fault.Unavailable, "try again")
			}
			return nil
		}}
		h, _ := newHandler(home(), b)
		most := 2*len(writes) + 1
		for round := 0; ; round++ {
			if round > most {
				rt.Fatal("the checkpoint does not move")
			}
			back := handle(t, h, stream(t, writes...))
			if len(back) == 0 {
				break
			}
			var from int
			if _, err := fmt.Sscan(back[0], &from); err != nil {
				rt.Fatal(err)
			}
			writes = writes[from:]
		}
		seen := map[string]int64{}
		for _, id := range b.taken {
			var rev int64
			name, text, _ := strings.Cut(id, ".")
			if _, err := fmt.Sscan(text, &rev); err != nil {
				rt.Fatal(err)
			}
			if rev > seen[name]+1 {
				rt.Fatalf("the bus took rev %d of %s after rev %d", rev, name, seen[name])
			}
			seen[name] = max(seen[name], rev)
		}
		for name, rev := range revs {
			if got := seen[at(name, 1).ID]; got != rev {
				rt.Errorf("the bus has rev %d of %s, want %d", got, name, rev)
			}
		}
	})
}

func BenchmarkHandle(b *testing.B) {
	var writes []write
	for i := range 100 {
		writes = append(writes, update(string("0123456789ABCDEFGHJKMNPQRS"[i%26]), int64(i/26)+1))
	}
	payload := stream(b, writes...)
	h, _ := newHandler(home(), &bus{})
	b.SetBytes(int64(len(payload)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := h.Handle(b.Context(), payload); err != nil {
			b.Fatal(err)
		}
	}
}
