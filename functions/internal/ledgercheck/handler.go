// Package ledgercheck proves every night that the storage ledger is right: that its debits
// equal its credits, that its sums are those of its entries, quarter by quarter, and that it
// says of every object what the catalog says.
//
// The catalog goes on while it is read, and events are under way: what has changed within
// the last hour is left for the next night, and what seems to differ is looked at once more,
// strongly consistent, before it is reported. Of a purge nobody can tell whether it was
// within that hour: the catalog has forgotten the object, and the ledger has not heard of it
// yet. Objects that only the ledger knows are therefore looked at again and again, until the
// event has come or 5 minutes are over, or half of the time that the check has left; a
// projector that is further behind makes differences that are none the next night. A difference is a metric, on which there is an
// alarm, and a log line that names the object; docs/runbooks/ledger.md says what to do.
//
// Both sides are read page by page: what a check holds in memory grows with the number of
// workspaces, and not with that of their objects. One that does not come to its end in time
// says how far it came, which is a metric with an alarm too.
//
// It needs dynamodb:Scan and dynamodb:BatchGetItem on the catalog's table.
package ledgercheck

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/pgstore"
)

// Config is what the function is told by its environment.
type Config struct {
	Database pgstore.Settings
	Table    string // STOWAGE_TABLE
}

// ParseConfig reads the configuration; the error names all that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{Database: pgstore.ParseSettings(s), Table: s.Required("STOWAGE_TABLE")}
	return cfg, s.Err()
}

// Books are the ledger.
type Books interface {
	Imbalances(ctx context.Context) ([]pgstore.Imbalance, error)
	Holdings(ctx context.Context, objects []pgstore.ObjectID) (map[pgstore.ObjectID]ledger.Fact, error)
	Totals(ctx context.Context) (map[string]pgstore.Total, error)
	HeldAfter(ctx context.Context, workspace, after string, limit int) ([]ledger.Fact, error)
}

// Catalog is the truth about objects.
type Catalog interface {
	// AllObjects yields every object in pages.
	AllObjects(ctx context.Context) iter.Seq2[[]object.Object, error]
	// ObjectsOf returns, of the objects that are named, those that there are, strongly
	// consistent.
	ObjectsOf(ctx context.Context, named []object.Object) ([]object.Object, error)
}

// Parts is what a Handler works with.
type Parts struct {
	Books   Books
	Catalog Catalog
	Metrics *observe.Metrics
	Log     *slog.Logger
	Now     func() time.Time
	// Settle is how long after a change the ledger may not know of it. 0: 1 h.
	Settle time.Duration
	// Recheck is how long an object that only the ledger knows is waited for at most: of one
	// that was just purged the event is under way. 0: 5 min.
	Recheck time.Duration
	// Look is how long after each other such objects are looked at meanwhile. 0: 30 s.
	Look time.Duration
	// Reserve is how long before the context's deadline the check ends by itself, to say how
	// far it came. 0: 30 s.
	Reserve time.Duration
}

// Handler checks the ledger. It is safe for concurrent use.
type Handler struct{ Parts }

// New returns a handler.
func New(p Parts) *Handler {
	if p.Settle == 0 {
		p.Settle = time.Hour
	}
	if p.Recheck == 0 {
		p.Recheck = 5 * time.Minute
	}
	if p.Look == 0 {
		p.Look = 30 * time.Second
	}
	if p.Reserve == 0 {
		p.Reserve = 30 * time.Second
	}
	return &Handler{p}
}

// Report is what the check found.
type Report struct {
	Objects     int `json:"objects"`     // of the catalog that were looked at
	Unsettled   int `json:"unsettled"`   // of these: changed too lately to be compared
	Held        int `json:"held"`        // objects of the ledger that were looked up in the catalog
	Imbalances  int `json:"imbalances"`  // of the ledger within itself
	Differences int `json:"differences"` // between ledger and catalog
	// Incomplete is at what the check was when its time was over; empty when it came to its
	// end. What it had not come to then may differ, too.
	Incomplete Phase `json:"incomplete,omitempty"`
}

// Phase is a part of the check.
type Phase string

// The parts of the check, in their order.
const (
	Balancing Phase = "balances" // the ledger against itself
	Comparing Phase = "objects"  // the catalog's objects against the ledger
	Orphaned  Phase = "orphans"  // the ledger's objects against the catalog
)

// shown is how many differences are logged one by one.
const shown = 100

// Handle checks the ledger, whatever the event is.
func (h *Handler) Handle(ctx context.Context, _ map[string]any) (Report, error) {
	work, cancel := h.limit(ctx)
	defer cancel()
	c := &check{Handler: h, settled: h.Now().Add(-h.Settle), explained: totals{}}
	if err := c.run(work); err != nil {
		if ctx.Err() != nil || work.Err() == nil {
			return Report{}, err
		}
		c.report.Incomplete = c.phase
	}
	c.tell(ctx)
	return c.report, nil
}

// limit ends the work a while before the context ends.
func (h *Handler) limit(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, limited := ctx.Deadline()
	if !limited {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-h.Reserve))
}

// check is one run.
type check struct {
	*Handler
	settled time.Time
	phase   Phase
	report  Report
	// explained is what the ledger says of the catalog's objects, by workspace: what it
	// holds beyond that belongs to objects that the catalog does not know.
	explained totals
}

func (c *check) run(ctx context.Context) error {
	for _, part := range []struct {
		phase Phase
		run   func(context.Context) error
	}{{Balancing, c.imbalances}, {Comparing, c.objects}, {Orphaned, c.orphans}} {
		c.phase = part.phase
		if err := part.run(ctx); err != nil {
			return err
		}
	}
	return nil
}

// tell reports what was found, as metrics and as a line of the log.
func (c *check) tell(ctx context.Context) {
	incomplete := 0
	if c.report.Incomplete != "" {
		incomplete = 1
	}
	c.Metrics.Add("LedgerImbalance", c.report.Imbalances)
	c.Metrics.Add("LedgerDifferences", c.report.Differences)
	c.Metrics.Add("LedgerObjectsChecked", c.report.Objects)
	c.Metrics.Add("LedgerObjectsUnsettled", c.report.Unsettled)
	c.Metrics.Add("LedgerCheckIncomplete", incomplete)
	attrs := []slog.Attr{
		slog.Int("objects", c.report.Objects), slog.Int("unsettled", c.report.Unsettled), slog.Int("held", c.report.Held),
		slog.Int("imbalances", c.report.Imbalances), slog.Int("differences", c.report.Differences),
	}
	level := slog.LevelInfo
	if c.report.Imbalances+c.report.Differences > 0 {
		level = slog.LevelError
	}
	if incomplete > 0 {
		c.Log.LogAttrs(ctx, slog.LevelError, "ledger not checked to the end: the time was over", append(attrs, slog.String("at", string(c.phase)))...)
		return
	}
	c.Log.LogAttrs(ctx, level, "ledger checked", attrs...)
}

func (c *check) imbalances(ctx context.Context) error {
	found, err := c.Books.Imbalances(ctx)
	if err != nil {
		return err
	}
	for _, i := range found {
		c.report.Imbalances++
		c.Log.LogAttrs(ctx, slog.LevelError, "ledger does not agree with itself",
			slog.String("workspace", i.Workspace), slog.String("class", string(i.Class)), slog.String("what", i.What),
			slog.String("one", i.A), slog.String("other", i.B))
	}
	return nil
}
