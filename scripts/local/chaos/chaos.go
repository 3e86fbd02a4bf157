// Package chaos makes the local runtime as hostile as AWS may be: what is
// delivered comes twice, late, out of order and in pieces; functions are killed
// between any two of their calls, frozen until they time out, and throttled;
// services are busy, cancel transactions, do a part of what they were asked,
// show indexes as they were a while ago; engines die and come back.
//
// Nothing happens that AWS rules out. A stream keeps the order of its items, a
// FIFO queue that of its messages, and a transaction is cancelled for a conflict
// only while another one is under way on the same item.
//
// Each fault has a rate, from 0 (never) to 1 (always), for each source of
// trouble: see Settings. Whether the n-th occasion at a source is struck, and
// how, follows from the seed, the source, the fault and n alone. So a run can be
// repeated from its seed, as far as the concurrency of real processes allows: the
// n-th occasion is the same, but another message may be the n-th.
//
// All methods of Chaos are safe for concurrent use.
package chaos

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// Config configures a Chaos. Every field may be left out.
type Config struct {
	// Names gives those of functions and queues, for which settings may name rates of
	// their own. Nil: there are none.
	Names func() []string
	// Tables are needed for transaction conflicts and for the lag of indexes.
	Tables []Table
	// Engines can be killed and started again, by the service that they serve.
	Engines map[string]Engine
	// Replica starts a copy of the tables that lags behind them, when it is first
	// needed. Before it applies changes that it has read, it waits as long as lag says.
	Replica func(ctx context.Context, lag func() time.Duration) (Replica, error)
	Logger  *slog.Logger // nil: silent
}

// Table is what is to be known of a table.
type Table struct {
	Name    string
	Key     []string // names of the attributes of its primary key
	Indexes []string // names of its global secondary indexes
}

// Engine is an engine that can be killed and started again.
type Engine interface {
	Restart(ctx context.Context) error
}

// Replica is a copy of the tables that lags behind them.
type Replica interface {
	Endpoint() string
	Close() error
}

// Chaos decides what goes wrong, and has it go wrong.
type Chaos struct {
	cfg   Config
	state atomic.Pointer[state]

	items    *ongoing
	runs     runs
	replica  *replicaSlot
	restarts *restarts
}

// state is what begins anew with each change of the settings.
type state struct {
	settings Settings
	calm     bool          // no fault has a rate
	lags     atomic.Uint64 // how often the replica has asked how far to lag

	mu        sync.Mutex
	occasions map[occasion]uint64 // how many there have been
	struck    map[occasion]uint64 // how many of them were struck
}

// occasion is a kind of thing that can go wrong.
type occasion struct {
	source source
	fault  Fault
}

// source is where things go wrong.
type source struct {
	kind Kind
	name string
}

// New makes a Chaos that is calm.
func New(cfg Config) *Chaos {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Chaos{
		cfg: cfg, items: newOngoing(cfg.Tables),
		runs:     runs{byKey: map[string]*run{}, calls: map[string]int{}},
		replica:  newReplicaSlot(cfg),
		restarts: newRestarts(cfg),
	}
	c.put(Settings{})
	return c
}

// Set replaces the settings: the occasions are counted from the first again. A seed
// that is zero is replaced by a random one.
func (c *Chaos) Set(s Settings) error {
	var names []string
	if c.cfg.Names != nil {
		names = c.cfg.Names()
	}
	if err := s.check(names); err != nil {
		return err
	}
	c.put(s)
	return nil
}

func (c *Chaos) put(s Settings) {
	for s.Seed == 0 {
		s.Seed = rand.Uint64N(maxRandomSeed)
	}
	calm := !slices.ContainsFunc(s.Rates, func(r Rate) bool { return r.Rate > 0 })
	c.state.Store(&state{settings: s.withDefaults(), calm: calm, occasions: map[occasion]uint64{}, struck: map[occasion]uint64{}})
	if !calm {
		c.cfg.Logger.Info("faults are injected", "chaos", s.String())
	}
}

// maxRandomSeed keeps random seeds short: people copy them.
const maxRandomSeed = 1_000_000

// Settings are those in force, with the seed that was chosen.
func (c *Chaos) Settings() Settings { return c.state.Load().settings }

// Close ends what is under way and returns when nothing is left of it.
func (c *Chaos) Close() error {
	c.restarts.close()
	return c.replica.close()
}

// On says whether anything can go wrong.
func (c *Chaos) On() bool { return !c.calm() }

// calm says that nothing is to go wrong.
func (c *Chaos) calm() bool { return c.state.Load().calm }

// strike says whether a fault strikes on this occasion. If so, the numbers say how.
func (c *Chaos) strike(s source, f Fault) (*rand.Rand, bool) {
	st := c.state.Load()
	rate := st.settings.rate(s, f)
	if rate <= 0 {
		return nil, false
	}
	o := occasion{s, f}
	st.mu.Lock()
	n := st.occasions[o]
	st.occasions[o] = n + 1
	st.mu.Unlock()
	numbers := numbersFor(st.settings.Seed, s, f, n)
	if numbers.Float64() >= rate {
		return nil, false
	}
	st.mu.Lock()
	st.struck[o]++
	st.mu.Unlock()
	c.cfg.Logger.Debug("fault injected", "source", s.String(), "fault", string(f), "occasion", n)
	return numbers, true
}

// numbersFor are the random numbers of one occasion.
func numbersFor(seed uint64, s source, f Fault, n uint64) *rand.Rand {
	return rand.New(rand.NewPCG(seed^hash(s.String()+" "+string(f)), n))
}

// hash is FNV-1a, which will not change.
func hash(text string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(text) {
		h = (h ^ uint64(text[i])) * 1099511628211
	}
	return h
}

func (s source) String() string { return string(s.kind) + "/" + s.name }

// Count is how often a fault has struck a source.
type Count struct {
	Source    string `json:"source"` // <kind>/<name>
	Fault     Fault  `json:"fault"`
	Occasions uint64 `json:"occasions"`
	Struck    uint64 `json:"struck"`
}

// Counts are what has been injected since the settings were made, by source and fault.
func (c *Chaos) Counts() []Count {
	st := c.state.Load()
	st.mu.Lock()
	defer st.mu.Unlock()
	counts := make([]Count, 0, len(st.occasions))
	for o, n := range st.occasions {
		counts = append(counts, Count{Source: o.source.String(), Fault: o.fault, Occasions: n, Struck: st.struck[o]})
	}
	slices.SortFunc(counts, func(a, b Count) int {
		return cmp.Or(strings.Compare(a.Source, b.Source), strings.Compare(string(a.Fault), string(b.Fault)))
	})
	return counts
}

// Restart kills an engine and starts it again, whatever the settings.
func (c *Chaos) Restart(ctx context.Context, service string) error {
	if c.cfg.Engines[service] == nil {
		return fmt.Errorf("%w: %q", ErrNoEngine, service)
	}
	return c.restarts.run(ctx, service)
}

// ErrNoEngine says that a service has no engine that could be restarted.
var ErrNoEngine = errors.New("no engine of this service can be restarted")
