package workspace

import (
	"math"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
)

// Rate bounds how often something may be done: PerSecond on average, and Burst at
// once after a pause.
type Rate struct {
	PerSecond int64
	Burst     int64
}

// DefaultWrites is the rate of writing requests of a workspace that has none of
// its own.
func DefaultWrites() Rate { return Rate{PerSecond: 50, Burst: 200} }

// maxRate bounds both parts of a rate: what is above it is no limit.
const maxRate = 1_000_000

// validate returns an InvalidArgument error that names every bad part.
func (r Rate) validate() error {
	return fault.Join(validRate("writesPerSecond", r.PerSecond), validRate("writesBurst", r.Burst))
}

func validRate(field string, n int64) error {
	if n < 0 || n > maxRate {
		return fault.Invalid(field, "is %d, must be from 0 to %d", n, maxRate)
	}
	return nil
}

// Or returns r, with the parts that are not positive taken from fallback.
func (r Rate) Or(fallback Rate) Rate {
	if r.PerSecond < 1 {
		r.PerSecond = fallback.PerSecond
	}
	if r.Burst < 1 {
		r.Burst = fallback.Burst
	}
	return r
}

// Bucket is a token bucket. It is kept as the time up to which its tokens are
// spent: what is left of them is what has dripped in since, up to the burst. So a
// spending is one addition, which a DynamoDB update can do, on a condition that
// compares.
type Bucket struct {
	Workspace string
	// Spent is in microseconds since 1970.
	Spent int64
}

// Spending takes tokens out of a bucket at one moment.
type Spending struct {
	now, cost, burst int64 // microseconds
}

// NewSpending returns the taking of cost tokens at now from a bucket that fills
// with rate r. A cost beyond the burst is the burst: it would never be there.
func NewSpending(r Rate, cost int64, now time.Time) Spending {
	cost = min(max(cost, 0), r.Burst)
	return Spending{now: now.UnixMicro(), cost: micros(cost, r.PerSecond), burst: micros(r.Burst, r.PerSecond)}
}

// micros is how long n tokens take to drip in, rounded up.
func micros(n, perSecond int64) int64 {
	const second = int64(time.Second / time.Microsecond)
	if n > math.MaxInt64/second-perSecond {
		return math.MaxInt64 / 4
	}
	return (n*second + perSecond - 1) / perSecond
}

// Bounds returns how a bucket that is neither full nor too empty is written: Cost
// is added to what is spent, if that lies in [Least, Most]. Below Least the bucket
// is full, and Full is what is spent afterwards; beyond Most too little is left.
func (s Spending) Bounds() (cost, least, most, full int64) {
	return s.cost, s.now - s.burst, s.now - s.cost, s.now - s.burst + s.cost
}

// Wait returns how long it is until the bucket holds enough: 0 when it does.
func (s Spending) Wait(b Bucket) time.Duration {
	return time.Duration(max(b.Spent-(s.now-s.cost), 0)) * time.Microsecond
}

// IsFull reports whether the bucket is full at the moment of the spending.
func (s Spending) IsFull(b Bucket) bool { return b.Spent < s.now-s.burst }

// From returns the bucket after the spending, which it must allow.
func (s Spending) From(b Bucket) Bucket {
	b.Spent = max(b.Spent, s.now-s.burst) + s.cost
	return b
}
