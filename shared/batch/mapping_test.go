package batch_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/batch"
)

// subject is a record of the model: poison fails for good whenever it is delivered,
// any other fails at its first deliveries.
type subject struct {
	position int
	key      string
	poison   bool
	failures int
}

func (s subject) id() string { return fmt.Sprint(s.position) }

// world is what the handler does to the outside, with the checks that hold at every
// moment.
type world struct {
	t  *rapid.T
	mu sync.Mutex
	// over all deliveries
	deliveries map[int]int
	effects    map[int]int
	last       map[string]int // key -> highest position with an effect
	// in this delivery
	running map[string]bool
	broken  map[string]bool
}

func (w *world) handle(_ context.Context, group []subject) []error {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := map[string]bool{}
	for _, s := range group {
		if s.key == "" {
			continue
		}
		if keys[s.key] || w.running[s.key] {
			w.t.Fatalf("two records of key %s are handled at the same time", s.key)
		}
		if w.broken[s.key] {
			w.t.Fatalf("record %d is handled after an earlier one of key %s failed", s.position, s.key)
		}
		keys[s.key], w.running[s.key] = true, true
	}
	w.mu.Unlock() // let others run meanwhile
	w.mu.Lock()
	errs := make([]error, len(group))
	for i, s := range group {
		errs[i] = w.one(s)
		delete(w.running, s.key)
	}
	return errs
}

func (w *world) one(s subject) error {
	w.deliveries[s.position]++
	switch {
	case s.poison:
		return permanent{errors.New("poison")}
	case w.deliveries[s.position] <= s.failures:
		w.broken[s.key] = s.key != ""
		return errors.New("transient")
	}
	w.effects[s.position]++
	if last, ok := w.last[s.key]; ok && s.key != "" && w.effects[s.position] == 1 && s.position < last {
		w.t.Fatalf("record %d of key %s took effect after record %d", s.position, s.key, last)
	}
	w.last[s.key] = max(w.last[s.key], s.position)
	return nil
}

// TestAgainstAnEventSourceMapping delivers batches as the service does, again and
// again until nothing is handed back, and checks that nothing is lost, nothing is out
// of order, and that a queue's messages take effect once.
func TestAgainstAnEventSourceMapping(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		keys := rapid.SampledFrom([]string{"", "a", "b", "c"})
		failures := rapid.SampledFrom([]int{0, 0, 0, 1, 2})
		poison := rapid.SampledFrom([]bool{false, false, false, true})
		var pending []subject
		for i := range rapid.IntRange(0, 20).Draw(t, "records") {
			pending = append(pending, subject{i, keys.Draw(t, "key"), poison.Draw(t, "poison"), failures.Draw(t, "failures")})
		}
		all := slices.Clone(pending)
		src := batch.Source[subject]{
			ID:           subject.id,
			Key:          func(s subject) string { return s.key },
			Payload:      func(s subject) ([]byte, error) { return []byte(s.id()), nil },
			Checkpointed: rapid.Bool().Draw(t, "checkpointed"),
		}
		group := batch.Group[subject]{MaxRecords: rapid.IntRange(1, 4).Draw(t, "group")}
		dead := newBox()
		opts := []batch.Option{
			batch.Concurrency(rapid.IntRange(1, 5).Draw(t, "concurrency")),
			batch.DeadLetter(dead),
		}
		w := &world{t: t, deliveries: map[int]int{}, effects: map[int]int{}, last: map[string]int{}}
		for round := 0; len(pending) > 0; round++ {
			if round > 3*len(all) {
				t.Fatalf("%d records are still handed back after %d deliveries", len(pending), round)
			}
			w.running, w.broken = map[string]bool{}, map[string]bool{}
			back, err := batch.ProcessGroups(context.Background(), src, pending, group, w.handle, opts...)
			if err != nil {
				t.Fatal(err)
			}
			pending = redeliver(t, src.Checkpointed, pending, back)
		}
		for _, s := range all {
			_, lettered := dead.letters[s.id()]
			switch {
			case lettered != s.poison:
				t.Errorf("record %d, poison %t, dead-lettered %t", s.position, s.poison, lettered)
			case w.effects[s.position] == 0 && !s.poison:
				t.Errorf("record %d is lost", s.position)
			case !src.Checkpointed && w.effects[s.position] > 1:
				t.Errorf("message %d took effect %d times", s.position, w.effects[s.position])
			}
		}
	})
}

// redeliver is what the service sends next.
func redeliver(t *rapid.T, checkpointed bool, batch []subject, back []string) []subject {
	if checkpointed {
		if len(back) > 1 {
			t.Fatalf("a stream was handed back %v, want one checkpoint", back)
		}
		i := slices.IndexFunc(batch, func(s subject) bool { return slices.Contains(back, s.id()) })
		if i < 0 {
			return nil
		}
		return batch[i:]
	}
	var again []subject
	for _, s := range batch {
		if slices.Contains(back, s.id()) {
			again = append(again, s)
		}
	}
	if len(again) != len(back) {
		t.Fatalf("handed back %v, which were not all delivered", back)
	}
	return again
}
