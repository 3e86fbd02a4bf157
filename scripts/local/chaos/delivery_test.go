package chaos_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/chaos"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/sources"
)

// hostile is a Chaos with settings in force.
func hostile(t interface{ Fatal(...any) }, text string) *chaos.Chaos {
	s, err := chaos.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	c := chaos.New(chaos.Config{Names: func() []string { return []string{"Ingest"} }})
	if err := c.Set(s); err != nil {
		t.Fatal(err)
	}
	return c
}

// batch has n records of a source.
func batch(kind sources.Kind, n int) sources.Batch {
	b := sources.Batch{Kind: kind, Source: "mapping", Target: "arn:aws:lambda:us-east-1:000000000000:function:Ingest", Ordered: kind == sources.StreamSource}
	for i := range n {
		b.Records = append(b.Records, json.RawMessage(fmt.Sprintf(`{"messageId":"%d","dynamodb":{"SequenceNumber":"%d"}}`, i, i)))
	}
	return b
}

func id(raw json.RawMessage) string {
	var r struct {
		MessageID string `json:"messageId"`
	}
	_ = json.Unmarshal(raw, &r)
	return r.MessageID
}

// function notes what it is invoked with, and fails for some records.
type function struct {
	fails map[string]bool // these are reported as failed
	dies  map[string]bool // these fail the whole invocation

	mu      sync.Mutex
	invoked [][]string
}

func (f *function) invoke(_ context.Context, records []json.RawMessage) sources.Outcome {
	f.mu.Lock()
	defer f.mu.Unlock()
	var ids []string
	o := sources.Outcome{RequestID: "request"}
	for _, r := range records {
		ids = append(ids, id(r))
		if f.dies[id(r)] {
			o.Err = errors.New("died")
		}
		if f.fails[id(r)] {
			o.Failed = append(o.Failed, id(r))
		}
	}
	if o.Err != nil {
		o.Failed = nil
	}
	f.invoked = append(f.invoked, ids)
	return o
}

const everyDelivery = ",duplicates=0.5,reorder=0.5,delays=0.5,splits=0.5,lost=0.1,max-delay=1ns"

// TestDeliveryKeepsItsPromises: whatever happens on the way, a queue's record that is
// not said to have failed has succeeded, and a stream's function never sees a record
// whose predecessors have not been through.
func TestDeliveryKeepsItsPromises(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]sources.Kind{sources.QueueSource, sources.StreamSource}).Draw(t, "kind")
		c := hostile(t, fmt.Sprintf("seed=%d%s", rapid.Uint64Min(1).Draw(t, "seed"), everyDelivery))
		n := rapid.IntRange(1, 8).Draw(t, "records")
		some := func(label string) map[string]bool {
			set := map[string]bool{}
			for range rapid.IntRange(0, 2).Draw(t, label) {
				set[fmt.Sprint(rapid.IntRange(0, n-1).Draw(t, label+" record"))] = true
			}
			return set
		}
		f := &function{fails: some("fails"), dies: some("dies")}
		o := c.Deliver(t.Context(), batch(kind, n), f.invoke)

		succeeded := map[string]bool{}
		for _, ids := range f.invoked {
			died := slices.ContainsFunc(ids, func(id string) bool { return f.dies[id] })
			for _, id := range ids {
				if kind == sources.StreamSource {
					checkPredecessors(t, id, ids, succeeded)
				}
			}
			for _, id := range ids {
				if !died && !f.fails[id] {
					succeeded[id] = true
				} else if kind == sources.StreamSource {
					break // Lambda takes the rest for failed
				}
			}
		}
		for i := range n {
			id := fmt.Sprint(i)
			if o.Err == nil && !slices.Contains(o.Failed, id) && !succeeded[id] && !laterThanFailed(kind, id, o.Failed) {
				t.Fatalf("record %s is said to have succeeded; the function saw %v and failed for %v, died for %v", id, f.invoked, f.fails, f.dies)
			}
		}
	})
}

// checkPredecessors: all lower ids are earlier in the invocation, or have succeeded before.
func checkPredecessors(t *rapid.T, id string, ids []string, succeeded map[string]bool) {
	for lower := range slices.Index([]string{"0", "1", "2", "3", "4", "5", "6", "7"}, id) {
		before := fmt.Sprint(lower)
		if at := slices.Index(ids, before); !succeeded[before] && (at < 0 || at > slices.Index(ids, id)) {
			t.Fatalf("record %s came in %v before %s had been through", id, ids, before)
		}
	}
}

// laterThanFailed: a stream's lowest failed record has all later ones come again.
func laterThanFailed(kind sources.Kind, id string, failed []string) bool {
	return kind == sources.StreamSource && len(failed) > 0 && id > slices.Min(failed)
}

// TestSeedRepeatsDelivery: the same seed does the same again, another seed another thing.
func TestSeedRepeatsDelivery(t *testing.T) {
	run := func(seed int) string {
		c := hostile(t, fmt.Sprintf("seed=%d%s", seed, everyDelivery))
		f := &function{}
		for range 50 {
			c.Deliver(t.Context(), batch(sources.StreamSource, 5), f.invoke)
		}
		return fmt.Sprint(f.invoked, c.Counts())
	}
	first := run(7)
	if again := run(7); again != first {
		t.Error("the same seed did something else")
	}
	if run(8) == first {
		t.Error("another seed did the same")
	}
}

func TestRates(t *testing.T) {
	const n = 2000
	c := hostile(t, "seed=3,duplicates=0.25,queues.splits=1,Ingest.splits=0,lost=1,queues.lost=0")
	f := &function{}
	for range n {
		c.Deliver(t.Context(), batch(sources.QueueSource, 2), f.invoke)
	}
	if extra := len(f.invoked) - n; extra < n/5 || extra > n/3 {
		t.Errorf("%d of %d deliveries came twice, want a quarter", extra, n)
	}
	for _, count := range c.Counts() {
		if count.Source != "queues/Ingest" || count.Fault != chaos.Duplicates || count.Occasions != n {
			t.Errorf("counted %+v", count)
		}
	}
}

func TestCalmChangesNothing(t *testing.T) {
	c := chaos.New(chaos.Config{})
	f := &function{}
	if o := c.Deliver(t.Context(), batch(sources.QueueSource, 3), f.invoke); o.Err != nil || len(f.invoked) != 1 || len(c.Counts()) != 0 {
		t.Errorf("invoked %v, outcome %+v, counts %v", f.invoked, o, c.Counts())
	}
}

// sent notes messages.
type sent []queue.Message

// Send implements sources.Sender.
func (s *sent) Send(_ context.Context, _ string, m queue.Message) (queue.Sent, error) {
	*s = append(*s, m)
	return queue.Sent{}, nil
}

func TestSender(t *testing.T) {
	c := hostile(t, "seed=1,notifications.duplicates=1,notifications.reorder=1,max-delay=1m")
	own := 15 * time.Minute
	for name, tc := range map[string]struct {
		queue string
		kind  chaos.Kind
		delay *time.Duration
		want  int
	}{
		"a notification":       {"arn:aws:sqs:us-east-1:0:q", chaos.Notifications, nil, 2},
		"of the longest delay": {"arn:aws:sqs:us-east-1:0:q", chaos.Notifications, &own, 2},
		"to a FIFO queue":      {"arn:aws:sqs:us-east-1:0:q.fifo", chaos.Notifications, nil, 1},
		"of another source":    {"arn:aws:sqs:us-east-1:0:q", chaos.Targets, nil, 1},
	} {
		var s sent
		if _, err := c.Sender(tc.kind, &s).Send(t.Context(), tc.queue, queue.Message{Body: "b", Delay: tc.delay}); err != nil {
			t.Fatal(err)
		}
		if len(s) != tc.want {
			t.Errorf("%s: sent %d times, want %d", name, len(s), tc.want)
		}
		for _, m := range s {
			if tc.want == 2 && (m.Delay == nil || *m.Delay <= 0 || *m.Delay > 15*time.Minute) {
				t.Errorf("%s: held back for %v", name, m.Delay)
			}
		}
	}
}

func TestTarget(t *testing.T) {
	c := hostile(t, "seed=1,targets.duplicates=1,targets.lost=1")
	calls := 0
	deliver := c.Target(func(context.Context, string, []byte) error { calls++; return nil })
	if err := deliver(t.Context(), "arn:aws:lambda:us-east-1:0:function:f", nil); err == nil || calls != 2 {
		t.Errorf("delivered %d times, error %v: want twice and a lost answer", calls, err)
	}
	refused := errors.New("refused")
	deliver = c.Target(func(context.Context, string, []byte) error { calls++; return refused })
	if err := deliver(t.Context(), "arn:aws:lambda:us-east-1:0:function:f", nil); !errors.Is(err, refused) || calls != 3 {
		t.Errorf("error %v after %d calls", err, calls)
	}
}
