package workspace

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
func (a Amount) Minus(b Amount) Amount { return a.Plus(b.Negative()) }

// Negative returns -a.
func (a Amount) Negative() Amount { return Amount{-a.Bytes, -a.Objects, -a.Uploads} }

// IsZero reports whether a counts nothing.
func (a Amount) IsZero() bool { return a == Amount{} }

// Covers reports whether a holds at least b of everything.
func (a Amount) Covers(b Amount) bool {
	return a.Bytes >= b.Bytes && a.Objects >= b.Objects && a.Uploads >= b.Uploads
}

// least returns the smaller of each.
func (a Amount) least(b Amount) Amount {
	return Amount{min(a.Bytes, b.Bytes), min(a.Objects, b.Objects), min(a.Uploads, b.Uploads)}
}

// Shard is one part of a workspace's quota. The sum over all shards of
// Available, Reserved and Stored is the quota, at all times.
type Shard struct {
	Workspace string
	Number    int
	Available Amount
	Reserved  Amount
	Stored    Amount
}

// Share is what an upload has reserved in one shard.
type Share struct {
	Shard int
	Amount
}

// Movement changes one shard. Only what is available, reserved or stored there
// can be taken: an amount that would fall below zero refuses the movement.
type Movement struct {
	Shard     int
	Available Amount
	Reserved  Amount
	Stored    Amount
}

// Usage is a workspace's quota and what has become of it.
type Usage struct {
	Limit     Amount
	Available Amount
	Reserved  Amount
	Stored    Amount
}
