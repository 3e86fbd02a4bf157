package ledger

import (
	"time"
)

// Fact is what one event says: from At on, until the fact with the next rev, the object
// holds Bytes in Class.
type Fact struct {
	Workspace string
	Object    string
	Rev       int64
	At        time.Time
	Class     Class
	Bytes     int64
}

// SameAs reports whether two facts say the same from the same rev on.
func (f Fact) SameAs(g Fact) bool {
	return f.Workspace == g.Workspace && f.Object == g.Object && f.Rev == g.Rev &&
		f.At.Equal(g.At) && f.Class == g.Class && f.Bytes == g.Bytes
}

// Movement is bytes that come to a class at a time, or leave it when they are negative.
type Movement struct {
	At    time.Time
	Class Class
	Bytes int64
}

// holding is how many bytes of a class an object holds. None is no class at all.
type holding struct {
	class Class
	bytes int64
}

func holds(f *Fact) holding {
	if f == nil || f.Bytes == 0 {
		return holding{}
	}
	return holding{f.Class, f.Bytes}
}

// Book returns the movements that a fact makes which is new between two others: before
// is the one with the highest lower rev, after the one with the lowest higher rev, nil
// where there is none.
//
// At the fact's time the object goes from what it held before to what the fact says. What
// was booked when after came, from before to after, becomes from the fact to after: it is
// corrected at after's time.
func Book(before *Fact, fact Fact, after *Fact) []Movement {
	from, to := holds(before), holds(&fact)
	moves := change(nil, fact.At, from, to)
	if after != nil {
		// (after - fact) - (after - before) = before - fact, whatever after holds.
		moves = change(moves, after.At, to, from)
	}
	return moves
}

// change appends the movements of an object that goes from one holding to another.
func change(moves []Movement, at time.Time, from, to holding) []Movement {
	if from.class == to.class {
		if d := to.bytes - from.bytes; d != 0 {
			moves = append(moves, Movement{at, to.class, d})
		}
		return moves
	}
	if from.bytes != 0 {
		moves = append(moves, Movement{at, from.class, -from.bytes})
	}
	if to.bytes != 0 {
		moves = append(moves, Movement{at, to.class, to.bytes})
	}
	return moves
}
