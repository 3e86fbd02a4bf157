package workspace_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stowage-dev/stowage/shared/workspace"
)

const (
	crowdRuns    = 10_000
	crowdClients = 200
)

// TestCrowd lets 200 clients use one quota at once, in 10,000 random interleavings of their
// single steps, by the rules of the table: a transaction takes time, another one that touches
// the same shard meanwhile is cancelled, and who reads shards reads them one after the other
// while they change. Never is more reserved and stored than the quota, and nothing is lost.
func TestCrowd(t *testing.T) {
	t.Parallel()
	runs := crowdRuns
	if testing.Short() {
		runs /= 100
	}
	var refused, conflicts, spread int
	c := &crowd{t: t, clients: new([crowdClients]crowdClient)}
	for seed := range runs {
		c.gather(uint64(seed))
		c.run()
		refused, conflicts, spread = refused+c.refused, conflicts+c.conflicts, spread+c.spread
	}
	t.Logf("%d refused, %d conflicts, %d reservations over several shards", refused, conflicts, spread)
	if refused < runs || conflicts < runs || spread < runs/4 {
		t.Error("the runs do not come to what they are for")
	}
}

// crowd is one run.
type crowd struct {
	t       *testing.T
	seed    uint64
	random  *rand.Rand
	haste   int // of transactions, over the steps of others
	quota   workspace.Amount
	shards  []workspace.Shard
	after   []workspace.Shard // where a transaction is tried
	locked  []bool            // by a transaction that has begun
	clients *[crowdClients]crowdClient
	active  []*crowdClient

	held, stored               workspace.Amount
	refused, conflicts, spread int
}

// crowdClient is where a client stands.
type crowdClient struct {
	want   workspace.Amount
	shares []workspace.Share // to be reserved, or reserved
	read   []workspace.Shard // as far as it has read them
	begun  []workspace.Movement
	phase  crowdPhase
	ending bool // the transaction that has begun ends the upload
	kept   workspace.Amount
}

type crowdPhase int

const (
	wanting  crowdPhase = iota // a transaction is to begin
	begun                      // it has begun
	reading                    // its shard did not hold enough: reads all
	finished                   // ended, or refused
)

// gather makes a new run of c, whose memory is used again.
func (c *crowd) gather(seed uint64) {
	random := rand.New(rand.NewPCG(seed, 7))
	// Between far too little and enough for all.
	quota := workspace.Amount{
		Bytes:   random.Int64N(crowdClients * 100),
		Objects: 1 + random.Int64N(crowdClients*3/2),
		Uploads: 1 + random.Int64N(crowdClients*3/2),
	}
	shards := 1 + random.IntN(8)
	*c = crowd{
		t: c.t, seed: seed, random: random, quota: quota, clients: c.clients, active: c.active[:0],
		haste:  random.IntN(64),
		shards: workspace.Spread("ws", quota, shards), after: make([]workspace.Shard, shards), locked: make([]bool, shards),
	}
	for i := range c.clients {
		u := &c.clients[i]
		*u = crowdClient{want: workspace.Amount{Bytes: random.Int64N(150), Objects: 1, Uploads: 1}, shares: u.shares, read: u.read[:0]}
		u.shares = c.anywhere(u)
		c.active = append(c.active, u)
	}
}

// anywhere is a share in one shard, chosen blindly.
func (c *crowd) anywhere(u *crowdClient) []workspace.Share {
	return append(u.shares[:0], workspace.Share{Shard: c.random.IntN(len(c.shards)), Amount: u.want})
}

func (c *crowd) run() {
	for len(c.active) > 0 {
		i, last := c.random.IntN(len(c.active)), len(c.active)-1
		for try := 0; try < c.haste && c.active[i].phase != begun; try++ {
			i = c.random.IntN(len(c.active)) // transactions that have begun are soon over
		}
		c.step(c.active[i])
		if c.active[i].phase == finished {
			c.active[i] = c.active[last]
			c.active = c.active[:last]
		}
	}
	if c.held != (workspace.Amount{}) {
		c.t.Fatalf("seed %d: %+v is still held", c.seed, c.held)
	}
	// What nobody has is there for the next one.
	free := c.quota.Minus(c.stored)
	if _, ok := workspace.Plan(c.shards, free, 0); !ok && free != (workspace.Amount{}) {
		c.t.Fatalf("seed %d: %+v is free and cannot be reserved", c.seed, free)
	}
}

func (c *crowd) step(u *crowdClient) {
	switch u.phase {
	case wanting:
		c.begin(u)
	case begun:
		c.commit(u)
	case reading:
		c.readOn(u)
	case finished:
	}
}

// begin begins u's transaction, unless another one has a shard of it: then u tries again
// another time, elsewhere if it only wants to reserve.
func (c *crowd) begin(u *crowdClient) {
	moves := workspace.Reserve(u.shares)
	if u.ending {
		var err error
		if moves, err = workspace.Settle(u.shares, u.kept); err != nil {
			c.t.Fatalf("seed %d: %v", c.seed, err)
		}
	}
	for _, m := range moves {
		if c.locked[m.Shard] {
			c.conflicts++
			if !u.ending {
				u.shares = c.anywhere(u)
			}
			return
		}
	}
	for _, m := range moves {
		c.locked[m.Shard] = true
	}
	u.begun, u.phase = moves, begun
}

// commit applies all of u's transaction or nothing.
func (c *crowd) commit(u *crowdClient) {
	copy(c.after, c.shards)
	taken := true
	for _, m := range u.begun {
		c.locked[m.Shard] = false
		var ok bool
		c.after[m.Shard], ok = c.after[m.Shard].Apply(m)
		taken = taken && ok
	}
	switch {
	case !taken && u.ending:
		c.t.Fatalf("seed %d: what was reserved cannot be given back", c.seed)
	case !taken:
		u.read, u.phase = u.read[:0], reading
		return
	case u.ending:
		c.held, c.stored = c.held.Minus(u.want), c.stored.Plus(u.kept)
		u.phase = finished
	default:
		c.held = c.held.Plus(u.want)
		c.spread += min(len(u.shares)-1, 1)
		c.chooseEnd(u)
	}
	c.shards, c.after = c.after, c.shards
	c.check()
}

// chooseEnd has u's upload published, with the bytes that arrived, or given up.
func (c *crowd) chooseEnd(u *crowdClient) {
	u.phase, u.ending = wanting, true
	if c.random.IntN(3) > 0 {
		u.kept = workspace.Amount{Bytes: c.random.Int64N(u.want.Bytes + 1), Objects: 1}
	}
}

// readOn reads one more shard, and plans when it has read them all.
func (c *crowd) readOn(u *crowdClient) {
	if len(u.read) < len(c.shards) {
		u.read = append(u.read, c.shards[len(u.read)])
		return
	}
	shares, ok := workspace.Plan(u.read, u.want, c.random.IntN(len(u.read)))
	if !ok {
		c.refused++
		u.phase = finished
		return
	}
	u.shares, u.phase = shares, wanting
}

func (c *crowd) check() {
	sum := workspace.Sum(c.shards)
	if sum.Total() != c.quota || sum.Reserved != c.held || sum.Stored != c.stored || !c.quota.Covers(c.held.Plus(c.stored)) {
		c.t.Fatalf("seed %d: the shards hold %+v; the quota is %+v, reserved should be %+v, stored %+v", c.seed, sum, c.quota, c.held, c.stored)
	}
}
