package ledger_test

import (
	"maps"
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/ledger"
)

func at(ms int64) time.Time { return time.UnixMilli(1_790_000_000_000 + ms).UTC() }

func fact(rev, ms, bytes int64, class ledger.Class) ledger.Fact {
	return ledger.Fact{Workspace: "alpha", Object: "O", Rev: rev, At: at(ms), Class: class, Bytes: bytes}
}

func TestBook(t *testing.T) {
	t.Parallel()
	const std, ia = ledger.Standard, ledger.StandardIA
	one, two, three := fact(1, 0, 10, std), fact(2, 5, 25, std), fact(3, 9, 0, std)
	moved := fact(2, 5, 10, ia)
	type m = []ledger.Movement
	for name, tc := range map[string]struct {
		before *ledger.Fact
		fact   ledger.Fact
		after  *ledger.Fact
		want   m
	}{
		"the first":              {nil, one, nil, m{{at(0), std, 10}}},
		"more bytes":             {&one, two, nil, m{{at(5), std, 15}}},
		"gone":                   {&two, three, nil, m{{at(9), std, -25}}},
		"nothing new":            {&one, fact(2, 5, 10, std), nil, nil},
		"another class":          {&one, moved, nil, m{{at(5), std, -10}, {at(5), ia, 10}}},
		"late":                   {&one, two, &three, m{{at(5), std, 15}, {at(9), std, -15}}},
		"late, the first":        {nil, one, &two, m{{at(0), std, 10}, {at(5), std, -10}}},
		"late, in another class": {&one, moved, &three, m{{at(5), std, -10}, {at(5), ia, 10}, {at(9), ia, -10}, {at(9), std, 10}}},
		"gone, and never known":  {nil, three, nil, nil},
	} {
		if diff := cmp.Diff(tc.want, ledger.Book(tc.before, tc.fact, tc.after)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// balances sums movements up by class and time: what all orders of the same facts agree on.
type place struct {
	class ledger.Class
	ms    int64
}

func balances(moves []ledger.Movement) map[place]int64 {
	sums := map[place]int64{}
	for _, m := range moves {
		sums[place{m.Class, m.At.UnixMilli()}] += m.Bytes
	}
	maps.DeleteFunc(sums, func(_ place, n int64) bool { return n == 0 })
	return sums
}

func someFacts(t *rapid.T) []ledger.Fact {
	n := rapid.IntRange(1, 12).Draw(t, "facts")
	facts := make([]ledger.Fact, n)
	var ms int64
	for i := range facts {
		ms += rapid.Int64Range(-3, 4_000_000).Draw(t, "pause") // clocks differ, so it may go back
		bytes := rapid.SampledFrom([]int64{0, 1, 7, 1 << 40, 1<<62 - 1}).Draw(t, "bytes")
		facts[i] = fact(int64(i+1), ms, bytes, rapid.SampledFrom(ledger.Classes()[:3]).Draw(t, "class"))
	}
	return facts
}

// TestOrderDoesNotMatter: the same facts in any order, repeated at will, make the same books.
func TestOrderDoesNotMatter(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts := someFacts(t)
		var inOrder, shuffled []ledger.Movement
		var h, g ledger.History
		for _, f := range facts {
			var moves []ledger.Movement
			h, moves, _ = h.Apply(f)
			inOrder = append(inOrder, moves...)
		}
		deliveries := rapid.Permutation(append(facts, facts[:rapid.IntRange(0, len(facts)).Draw(t, "repeats")]...)).Draw(t, "order")
		for _, f := range deliveries {
			var moves []ledger.Movement
			g, moves, _ = g.Apply(f)
			shuffled = append(shuffled, moves...)
		}
		if diff := cmp.Diff(balances(inOrder), balances(shuffled)); diff != "" {
			t.Fatalf("books differ (-in order +shuffled):\n%s", diff)
		}
		if diff := cmp.Diff(h, g); diff != "" {
			t.Fatalf("histories differ:\n%s", diff)
		}
		entries := ledger.Post("alpha", "J", "O", ledger.Stored, shuffled)
		if err := ledger.CheckBalanced(entries); err != nil {
			t.Fatal(err)
		}
	})
}

// TestNeighboursSuffice: booking needs no more of a history than the facts on both sides.
func TestNeighboursSuffice(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts := someFacts(t)
		i := rapid.IntRange(0, len(facts)-1).Draw(t, "late")
		rest := append(append([]ledger.Fact{}, facts[:i]...), facts[i+1:]...)
		var near []ledger.Fact
		if i > 0 {
			near = append(near, facts[i-1])
		}
		if i < len(facts)-1 {
			near = append(near, facts[i+1])
		}
		_, want, _ := ledger.NewHistory(rest...).Apply(facts[i])
		_, got, _ := ledger.NewHistory(near...).Apply(facts[i])
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestQuantities compares sums over whole spans with adding up every millisecond's holding
// by its facts.
func TestQuantities(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		facts := someFacts(t)
		var ms int64
		for i := range facts { // here time goes on
			ms += rapid.Int64Range(0, 4_000_000).Draw(t, "step")
			facts[i].At = at(ms)
		}
		var h ledger.History
		var moves []ledger.Movement
		for _, f := range rapid.Permutation(facts).Draw(t, "order") {
			var m []ledger.Movement
			h, m, _ = h.Apply(f)
			moves = append(moves, m...)
		}
		first := ledger.QuarterOf(at(rapid.Int64Range(-1_000_000, ms).Draw(t, "start")))
		span := ledger.Span{
			Start: ledger.QuarterStart(first),
			End:   ledger.QuarterStart(first + rapid.Int64Range(1, 9).Draw(t, "quarters")),
		}
		for _, class := range ledger.Classes()[:3] {
			if want, got := heldBy(facts, class, span), sums(moves, class, span).Quantity(); !want.Equal(got) {
				t.Fatalf("%s: %s byte-ms, want %s", class, got.ByteMillis(), want.ByteMillis())
			}
		}
	})
}

// heldBy adds up what facts in order say.
func heldBy(facts []ledger.Fact, class ledger.Class, span ledger.Span) ledger.Quantity {
	var q ledger.Quantity
	for i, f := range facts {
		end := span.End
		if i+1 < len(facts) && facts[i+1].At.Before(end) {
			end = facts[i+1].At
		}
		begin := f.At
		if begin.Before(span.Start) {
			begin = span.Start
		}
		if f.Class == class && begin.Before(end) {
			q = q.Add(ledger.Held(f.Bytes, end.Sub(begin)))
		}
	}
	return q
}

func sums(moves []ledger.Movement, class ledger.Class, span ledger.Span) ledger.Sums {
	s := ledger.Sums{Class: class, Basis: ledger.Measured, Span: span, Opening: new(big.Int), Within: new(big.Int), Moment: new(big.Int)}
	for _, m := range moves {
		switch {
		case m.Class != class || !m.At.Before(span.End):
		case m.At.Before(span.Start):
			s.Opening.Add(s.Opening, big.NewInt(m.Bytes))
		default:
			s.Within.Add(s.Within, big.NewInt(m.Bytes))
			s.Moment.Add(s.Moment, new(big.Int).Mul(big.NewInt(m.Bytes), big.NewInt(m.At.Sub(span.Start).Milliseconds())))
		}
	}
	return s
}

func TestFirstOfARevCounts(t *testing.T) {
	t.Parallel()
	h, _, _ := ledger.History(nil).Apply(fact(1, 0, 10, ledger.Standard))
	again, moves, applied := h.Apply(fact(1, 0, 99, ledger.Standard))
	known, _ := again.Find(1)
	if applied || len(moves) != 0 || known.Bytes != 10 || known.SameAs(fact(1, 0, 99, ledger.Standard)) {
		t.Errorf("%t, %v, %+v", applied, moves, known)
	}
}

func TestUnbalancedIsFound(t *testing.T) {
	t.Parallel()
	entries := ledger.Post("alpha", "O.1", "O", ledger.Stored, []ledger.Movement{{At: at(0), Class: ledger.Standard, Bytes: 3}})
	if err := ledger.CheckBalanced(entries); err != nil {
		t.Fatal(err)
	}
	entries[1].Class = ledger.Glacier
	if ledger.CheckBalanced(entries) == nil {
		t.Error("a debit and a credit in different classes pass for balanced")
	}
}
