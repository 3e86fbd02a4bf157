package workspace

import (
	"fmt"

	"github.com/stowage-dev/stowage/shared/fault"
)

// Amount counts the three things that a quota bounds.
type Amount struct {
	Bytes   int64
	Objects int64
	Uploads int64 // open ones
}

// Plus returns a + b.
func (a Amount) Plus(b Amount) Amount {
	return Amount{a.Bytes + b.Bytes, a.Objects + b.Objects, a.Uploads + b.Uploads}
}

// Minus returns a - b.
func (a Amount) Minus(b Amount) Amount { return a.Plus(b.negative()) }

// IsZero reports whether a counts nothing.
func (a Amount) IsZero() bool { return a == Amount{} }

// Covers reports whether a holds at least b of everything.
func (a Amount) Covers(b Amount) bool {
	return a.Bytes >= b.Bytes && a.Objects >= b.Objects && a.Uploads >= b.Uploads
}

func (a Amount) negative() Amount { return Amount{-a.Bytes, -a.Objects, -a.Uploads} }

// least returns the smaller of each.
func (a Amount) least(b Amount) Amount {
	return Amount{min(a.Bytes, b.Bytes), min(a.Objects, b.Objects), min(a.Uploads, b.Uploads)}
}

// Balance says where an amount of quota is: free to be reserved, reserved by
// open uploads, or held by stored objects.
type Balance struct {
	Available Amount
	Reserved  Amount
	Stored    Amount
}

// Total is the sum of the three.
func (b Balance) Total() Amount { return b.Available.Plus(b.Reserved).Plus(b.Stored) }

// Plus returns b + c.
func (b Balance) Plus(c Balance) Balance {
	return Balance{
		Available: b.Available.Plus(c.Available),
		Reserved:  b.Reserved.Plus(c.Reserved),
		Stored:    b.Stored.Plus(c.Stored),
	}
}

// Shard is one part of a workspace's quota. The totals of all shards together
// are the quota, at all times, and no amount is ever below zero: so what is
// reserved and stored can never exceed the quota.
//
// A shard says what is available, not what is used, because that is what a
// DynamoDB condition can compare without adding.
type Shard struct {
	Workspace string
	Number    int
	Balance
}

// Share is what an upload has reserved in one shard.
type Share struct {
	Shard int
	Amount
}

// Movement changes the balance of one shard. A shard in which an amount would
// fall below zero refuses it.
type Movement struct {
	Shard int
	Balance
}

// Usage is a workspace's quota and where it is.
type Usage struct {
	Limit Amount
	Balance
}

// Apply returns the shard after m, and whether it takes m at all.
func (s Shard) Apply(m Movement) (Shard, bool) {
	s.Balance = s.Plus(m.Balance)
	nothing := Amount{}
	return s, s.Available.Covers(nothing) && s.Reserved.Covers(nothing) && s.Stored.Covers(nothing)
}

// Spread divides a quota over n new shards, as evenly as whole numbers allow.
func Spread(workspace string, quota Amount, n int) []Shard {
	shards := make([]Shard, n)
	for i, part := range divide(quota, n) {
		shards[i] = Shard{Workspace: workspace, Number: i, Balance: Balance{Available: part}}
	}
	return shards
}

// divide splits a into n parts that differ by at most one and add up to a.
func divide(a Amount, n int) []Amount {
	part := func(total int64, i int) int64 {
		share, rest := total/int64(n), total%int64(n)
		if int64(i) < rest {
			share++
		}
		return share
	}
	parts := make([]Amount, n)
	for i := range parts {
		parts[i] = Amount{part(a.Bytes, i), part(a.Objects, i), part(a.Uploads, i)}
	}
	return parts
}

// Plan chooses where to reserve an amount: in one shard when one holds enough,
// looking from the first-th on, else over as many as it needs. It reports
// whether the shards hold enough together. Without shards nothing fits.
func Plan(shards []Shard, want Amount, first int) ([]Share, bool) {
	for i := range shards {
		if s := shards[(first+i)%len(shards)]; s.Available.Covers(want) {
			return []Share{{s.Number, want}}, true
		}
	}
	var shares []Share
	for i := range shards {
		s := shards[(first+i)%len(shards)]
		part := s.Available.least(want)
		if part.IsZero() {
			continue
		}
		shares = append(shares, Share{s.Number, part})
		want = want.Minus(part)
		if want.IsZero() {
			return shares, true
		}
	}
	return nil, false
}

// Reserve moves shares from available to reserved.
func Reserve(shares []Share) []Movement {
	moves := make([]Movement, len(shares))
	for i, s := range shares {
		moves[i] = Movement{s.Shard, Balance{Available: s.negative(), Reserved: s.Amount}}
	}
	return moves
}

// Release moves shares from reserved back to available.
func Release(shares []Share) []Movement {
	moves := make([]Movement, len(shares))
	for i, s := range shares {
		moves[i] = Movement{s.Shard, Balance{Available: s.Amount, Reserved: s.negative()}}
	}
	return moves
}

// Settle moves kept from reserved to stored, and the rest of shares back to
// available. More than was reserved cannot be kept.
func Settle(shares []Share, kept Amount) ([]Movement, error) {
	moves := make([]Movement, len(shares))
	for i, s := range shares {
		part := s.least(kept)
		kept = kept.Minus(part)
		moves[i] = Movement{s.Shard, Balance{
			Available: s.Minus(part),
			Reserved:  s.negative(),
			Stored:    part,
		}}
	}
	if !kept.IsZero() {
		return nil, fmt.Errorf("settle quota: %+v more than was reserved", kept)
	}
	return moves, nil
}

// Divide takes part out of shares, as far as they hold it, and returns what it took and
// what is left. Shares of nothing are left out.
func Divide(shares []Share, part Amount) (taken, rest []Share) {
	for _, s := range shares {
		t := s.least(part)
		part = part.Minus(t)
		if !t.IsZero() {
			taken = append(taken, Share{s.Shard, t})
		}
		if left := s.Minus(t); !left.IsZero() {
			rest = append(rest, Share{s.Shard, left})
		}
	}
	return taken, rest
}

// Resize changes a quota: what it grows by becomes available evenly, and what
// it shrinks by is taken from where it is available. It returns a QuotaInUse
// error with the figures when too little is available. Shards that do not
// change are left out.
func Resize(shards []Shard, from, to Amount) ([]Movement, error) {
	change := to.Minus(from)
	nothing := Amount{}
	grown := divide(change.least(nothing).negative().Plus(change), len(shards))
	toTake := change.least(nothing).negative()

	var moves []Movement
	for i, s := range shards {
		taken := s.Available.least(toTake)
		toTake = toTake.Minus(taken)
		if delta := grown[i].Minus(taken); !delta.IsZero() {
			moves = append(moves, Movement{s.Number, Balance{Available: delta}})
		}
	}
	if !toTake.IsZero() {
		return nil, quotaInUse(shards, to)
	}
	return moves, nil
}

func quotaInUse(shards []Shard, to Amount) error {
	used := Sum(shards)
	inUse := used.Reserved.Plus(used.Stored)
	return fault.New(fault.QuotaInUse, "the workspace uses more than the new quota would allow").
		With("bytesInUse", inUse.Bytes).With("bytes", to.Bytes).
		With("objectsInUse", inUse.Objects).With("objects", to.Objects).
		With("openUploadsInUse", inUse.Uploads).With("openUploads", to.Uploads)
}

// Sum adds up the balances of shards.
func Sum(shards []Shard) Balance {
	var sum Balance
	for _, s := range shards {
		sum = sum.Plus(s.Balance)
	}
	return sum
}

// Exceeded returns the QuotaExceeded error of an upload that wants more than
// shards have available, with the figures of what it lacks.
func Exceeded(shards []Shard, want Amount) error {
	have := Sum(shards)
	limit := have.Total()
	err := fault.New(fault.QuotaExceeded, "the workspace's quota does not hold this upload")
	report := func(name string, want, available, limit int64) {
		if want > available {
			err = err.With(name+"Wanted", want).With(name+"Available", available).With(name+"Limit", limit)
		}
	}
	report("bytes", want.Bytes, have.Available.Bytes, limit.Bytes)
	report("objects", want.Objects, have.Available.Objects, limit.Objects)
	report("openUploads", want.Uploads, have.Available.Uploads, limit.Uploads)
	return err
}
