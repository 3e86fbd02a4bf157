package ledger

import (
	"slices"
)

// History is what is known of one object: facts by rising rev, at most one for a rev.
// The facts need not be complete: those between which a new fact falls are enough to
// book it.
type History []Fact

// NewHistory returns the history of facts, in any order, the first of each rev.
func NewHistory(facts ...Fact) History {
	h := History(slices.Clone(facts))
	slices.SortStableFunc(h, func(a, b Fact) int { return cmpRev(a, b.Rev) })
	return slices.CompactFunc(h, func(a, b Fact) bool { return a.Rev == b.Rev })
}

// Apply returns the history with the fact and the movements that it makes, and whether
// it was new. The first fact of a rev counts; one that repeats it changes nothing.
func (h History) Apply(f Fact) (_ History, moves []Movement, applied bool) {
	i, found := slices.BinarySearchFunc(h, f.Rev, cmpRev)
	if found {
		return h, nil, false
	}
	var before, after *Fact
	if i > 0 {
		before = &h[i-1]
	}
	if i < len(h) {
		after = &h[i]
	}
	moves = Book(before, f, after)
	return slices.Insert(slices.Clone(h), i, f), moves, true
}

// Find returns the fact of a rev.
func (h History) Find(rev int64) (Fact, bool) {
	i, found := slices.BinarySearchFunc(h, rev, cmpRev)
	if !found {
		return Fact{}, false
	}
	return h[i], true
}

func cmpRev(f Fact, rev int64) int {
	switch {
	case f.Rev < rev:
		return -1
	case f.Rev > rev:
		return 1
	default:
		return 0
	}
}
