// Package ledgercheck proves every night that the storage ledger is right: that its debits
// equal its credits, that its sums are those of its entries, and that it says of every
// object what the catalog says.
//
// The catalog goes on while it is read, and events are under way: what has changed within
// the last hour is left for the next night. A difference is a metric, on which there is an
// alarm, and a log line that names the object; docs/ledger.md says what to do about it.
package ledgercheck

import (
	"context"
	"iter"
	"log/slog"
	"math/big"
	"slices"
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
	// Recheck is how long an object that only the ledger knows is waited for: of one that
	// was just purged the event is under way. 0: 1 min.
	Recheck time.Duration
}

// Handler checks the ledger. It is safe for concurrent use.
type Handler struct{ Parts }

// New returns a handler.
func New(p Parts) *Handler {
	if p.Settle == 0 {
		p.Settle = time.Hour
	}
	if p.Recheck == 0 {
		p.Recheck = time.Minute
	}
	return &Handler{p}
}

// Report is what the check found.
type Report struct {
	Objects     int `json:"objects"`     // that the catalog holds
	Unsettled   int `json:"unsettled"`   // of these: changed too lately to be compared
	Imbalances  int `json:"imbalances"`  // of the ledger within itself
	Differences int `json:"differences"` // between ledger and catalog
}

// shown is how many differences are logged one by one.
const shown = 100

// Handle checks the ledger, whatever the event is.
func (h *Handler) Handle(ctx context.Context, _ map[string]any) (Report, error) {
	c := &check{Handler: h, settled: h.Now().Add(-h.Settle), catalog: map[string]*big.Int{}}
	if err := c.imbalances(ctx); err != nil {
		return Report{}, err
	}
	if err := c.objects(ctx); err != nil {
		return Report{}, err
	}
	if err := c.orphans(ctx); err != nil {
		return Report{}, err
	}
	h.Metrics.Add("LedgerImbalance", c.report.Imbalances)
	h.Metrics.Add("LedgerDifferences", c.report.Differences)
	h.Metrics.Add("LedgerObjectsChecked", c.report.Objects)
	h.Metrics.Add("LedgerObjectsUnsettled", c.report.Unsettled)
	level := slog.LevelInfo
	if c.report.Imbalances+c.report.Differences > 0 {
		level = slog.LevelError
	}
	h.Log.LogAttrs(ctx, level, "ledger checked",
		slog.Int("objects", c.report.Objects), slog.Int("unsettled", c.report.Unsettled),
		slog.Int("imbalances", c.report.Imbalances), slog.Int("differences", c.report.Differences))
	return c.report, nil
}

// check is one run.
type check struct {
	*Handler
	settled time.Time
	report  Report
	// catalog is what the ledger says of the catalog's objects, by workspace: what it holds
	// beyond that belongs to objects that the catalog does not know.
	catalog map[string]*big.Int
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

// lookups is how many objects are asked for at once.
const lookups = 500

// objects compares what the catalog says of each object with what the ledger says.
func (c *check) objects(ctx context.Context) error {
	for page, err := range c.Catalog.AllObjects(ctx) {
		if err != nil {
			return err
		}
		for some := range slices.Chunk(page, lookups) {
			if err := c.compare(ctx, some); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *check) compare(ctx context.Context, objects []object.Object) error {
	ids := make([]pgstore.ObjectID, len(objects))
	for i, o := range objects {
		ids[i] = pgstore.ObjectID{Workspace: o.Workspace, ID: o.ID}
	}
	held, err := c.Books.Holdings(ctx, ids)
	if err != nil {
		return err
	}
	for i, o := range objects {
		c.report.Objects++
		f, known := held[ids[i]]
		c.count(o.Workspace, f.Bytes)
		if o.UpdatedAt.After(c.settled) || known && f.At.After(c.settled) {
			c.report.Unsettled++
			continue
		}
		if want := expected(o); !known || f.Rev != want.Rev || f.Bytes != want.Bytes || f.Bytes > 0 && f.Class != want.Class {
			c.differ(ctx, "ledger and catalog differ", want, f)
		}
	}
	return nil
}

func (c *check) count(workspace string, bytes int64) {
	sum := c.catalog[workspace]
	if sum == nil {
		sum = new(big.Int)
		c.catalog[workspace] = sum
	}
	sum.Add(sum, big.NewInt(bytes))
}

// expected is the fact that the ledger should have of an object.
func expected(o object.Object) ledger.Fact {
	class, err := ledger.ParseClass(o.StorageClass)
	if err != nil {
		class = ledger.Class(o.StorageClass) // which no fact has
	}
	f := ledger.Fact{Workspace: o.Workspace, Object: o.ID, Rev: o.Rev, At: o.UpdatedAt, Class: class, Bytes: o.Stored}
	if o.State == object.Rejected {
		f.Bytes = 0
	}
	return f
}

func (c *check) differ(ctx context.Context, message string, catalog, books ledger.Fact) {
	c.report.Differences++
	if c.report.Differences > shown {
		return
	}
	//nolint:sloglint // one of two constants
	c.Log.LogAttrs(ctx, slog.LevelError, message,
		slog.String("workspace", catalog.Workspace), slog.String("object", catalog.Object),
		slog.Int64("catalogRev", catalog.Rev), slog.Int64("ledgerRev", books.Rev),
		slog.Int64("catalogBytes", catalog.Bytes), slog.Int64("ledgerBytes", books.Bytes),
		slog.String("catalogClass", string(catalog.Class)), slog.String("ledgerClass", string(books.Class)))
}

// orphans looks for objects that hold bytes in the ledger and are not in the catalog, in the
// workspaces of which the ledger holds more than its objects explain.
func (c *check) orphans(ctx context.Context) error {
	totals, err := c.Books.Totals(ctx)
	if err != nil {
		return err
	}
	suspects := map[string]bool{}
	for ws, total := range totals {
		explained := c.catalog[ws]
		if explained == nil {
			explained = new(big.Int)
		}
		if total.Bytes.Cmp(explained) != 0 {
			suspects[ws] = true
		}
	}
	if len(suspects) == 0 {
		return nil
	}
	known, err := c.known(ctx, suspects)
	if err != nil {
		return err
	}
	var lone []ledger.Fact
	for ws := range suspects {
		if lone, err = c.lone(ctx, ws, known, lone); err != nil {
			return err
		}
	}
	return c.confirm(ctx, lone)
}

// known reads the catalog once more, for the ids of some workspaces' objects.
func (c *check) known(ctx context.Context, workspaces map[string]bool) (map[pgstore.ObjectID]bool, error) {
	ids := map[pgstore.ObjectID]bool{}
	for page, err := range c.Catalog.AllObjects(ctx) {
		if err != nil {
			return nil, err
		}
		for _, o := range page {
			if workspaces[o.Workspace] {
				ids[pgstore.ObjectID{Workspace: o.Workspace, ID: o.ID}] = true
			}
		}
	}
	return ids, nil
}

// lone appends the facts of objects of a workspace that hold bytes and are not known.
func (c *check) lone(ctx context.Context, ws string, known map[pgstore.ObjectID]bool, found []ledger.Fact) ([]ledger.Fact, error) {
	after := ""
	for {
		facts, err := c.Books.HeldAfter(ctx, ws, after, lookups)
		if err != nil {
			return nil, err
		}
		for _, f := range facts {
			if !known[pgstore.ObjectID{Workspace: ws, ID: f.Object}] && !f.At.After(c.settled) {
				found = append(found, f)
			}
		}
		if len(facts) < lookups {
			return found, nil
		}
		after = facts[len(facts)-1].Object
	}
}

// confirm waits, and reports those that still hold bytes.
func (c *check) confirm(ctx context.Context, lone []ledger.Fact) error {
	if len(lone) == 0 {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(c.Recheck):
	}
	for some := range slices.Chunk(lone, lookups) {
		ids := make([]pgstore.ObjectID, len(some))
		for i, f := range some {
			ids[i] = pgstore.ObjectID{Workspace: f.Workspace, ID: f.Object}
		}
		held, err := c.Books.Holdings(ctx, ids)
		if err != nil {
			return err
		}
		for i, f := range some {
			if now := held[ids[i]]; now.Bytes > 0 && now.Rev == f.Rev {
				c.differ(ctx, "ledger holds an object that the catalog does not", ledger.Fact{Workspace: f.Workspace, Object: f.Object}, now)
			}
		}
	}
	return nil
}
