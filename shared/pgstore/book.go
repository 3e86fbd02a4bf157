package pgstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore/internal/queries"
	"github.com/stowage-dev/stowage/shared/search"
)

// Booked is what became of facts.
type Booked struct {
	// Applied facts were new, Repeated ones known.
	Applied, Repeated int
	// Disputed are facts that say something else than what is known of the same rev. The
	// first one counts; the nightly check tells whether it was right.
	Disputed []ledger.Fact
	// Unforgotten is why words that objects have lost were not looked up. It takes nothing
	// from what was booked: they are still known, until later documents of the workspace.
	Unforgotten error
}

// Book books facts and puts documents into the search index, in one transaction. What is
// known already changes nothing, so that it may be repeated at will; facts may come in any
// order. Then it forgets words that objects have lost, as far as it gets in a moment.
func (db *DB) Book(ctx context.Context, facts []ledger.Fact, docs []search.Document) (Booked, error) {
	if len(facts) == 0 && len(docs) == 0 {
		return Booked{}, nil
	}
	var done Booked
	var loose []string
	t := transaction{name: "Book", workspaces: workspacesOf(facts, docs), last: "AddWords"}
	t.do = func(ctx context.Context, q *queries.Queries) error {
		known, err := lockHistories(ctx, q, facts)
		if err != nil {
			return err
		}
		var b bookings
		done = b.apply(known, facts)
		if err := b.write(ctx, q); err != nil {
			return err
		}
		loose, err = putDocuments(ctx, q, docs)
		return err
	}
	if err := db.write(ctx, t); err != nil {
		return Booked{}, err
	}
	done.Unforgotten = db.forgetWords(ctx, loose)
	return done, nil
}

// forgetWords looks up words that objects of workspaces have lost, and forgets those that no
// other one has. Half of its time is for them, half for the last one and the way there and
// back. What it does not get to is for later documents of the workspace.
func (db *DB) forgetWords(ctx context.Context, workspaces []string) error {
	if len(workspaces) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, 2*db.cfg.Forgetting)
	defer cancel()
	most := int32(db.cfg.Forgetting.Milliseconds())
	return db.write(ctx, transaction{name: "ForgetWords", workspaces: workspaces, do: func(ctx context.Context, q *queries.Queries) error {
		if err := q.Hurry(ctx, most); err != nil {
			return fmt.Errorf("bound the look-up of words: %w", err)
		}
		if err := q.ForgetWords(ctx, most/2); err != nil {
			return fmt.Errorf("forget words: %w", err)
		}
		return nil
	}})
}

func workspacesOf(facts []ledger.Fact, docs []search.Document) []string {
	var all []string
	for _, f := range facts {
		all = append(all, f.Workspace)
	}
	for _, d := range docs {
		all = append(all, d.Workspace)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

type objectKey struct{ workspace, object string }

// lockHistories makes this transaction the only one that books facts of these objects, and
// returns, of each, the facts next to the new ones.
func lockHistories(ctx context.Context, q *queries.Queries, facts []ledger.Fact) (map[objectKey]ledger.History, error) {
	known := map[objectKey]ledger.History{}
	if len(facts) == 0 {
		return known, nil
	}
	var near queries.NeighboursParams
	var locks queries.LockHoldingsParams
	for _, f := range facts {
		k := objectKey{f.Workspace, f.Object}
		if _, ok := known[k]; !ok {
			known[k] = nil
			locks.Workspaces = append(locks.Workspaces, f.Workspace)
			locks.Objects = append(locks.Objects, f.Object)
		}
		near.Workspaces = append(near.Workspaces, f.Workspace)
		near.Objects = append(near.Objects, f.Object)
		near.Revs = append(near.Revs, f.Rev)
	}
	if err := q.AddHoldings(ctx, queries.AddHoldingsParams(locks)); err != nil {
		return nil, fmt.Errorf("add holdings: %w", err)
	}
	if err := q.LockHoldings(ctx, locks); err != nil {
		return nil, fmt.Errorf("lock holdings: %w", err)
	}
	rows, err := q.Neighbours(ctx, near)
	if err != nil {
		return nil, fmt.Errorf("read the facts next to new ones: %w", err)
	}
	found := map[objectKey][]ledger.Fact{}
	for _, r := range rows {
		k := objectKey{r.Workspace, r.Object}
		found[k] = append(found[k], ledger.Fact{
			Workspace: r.Workspace, Object: r.Object, Rev: r.Rev, At: r.At.UTC(), Class: ledger.Class(r.Class), Bytes: r.Bytes,
		})
	}
	for k, facts := range found {
		known[k] = ledger.NewHistory(facts...)
	}
	return known, nil
}

// bookings gathers the rows of a transaction.
type bookings struct {
	facts    queries.AddFactsParams
	entries  queries.AddEntriesParams
	quarters queries.AddToQuartersParams
	holdings queries.RaiseHoldingsParams
}

// apply books facts on top of what is known. The neighbours of a fact are enough to book
// it, and a fact of this batch is a neighbour of the next one.
func (b *bookings) apply(known map[objectKey]ledger.History, facts []ledger.Fact) Booked {
	var done Booked
	latest := map[objectKey]ledger.Fact{}
	for _, f := range facts {
		k := objectKey{f.Workspace, f.Object}
		history, moves, applied := known[k].Apply(f)
		if !applied {
			done.Repeated++
			if was, _ := history.Find(f.Rev); !was.SameAs(f) {
				done.Disputed = append(done.Disputed, f)
			}
			continue
		}
		known[k] = history
		done.Applied++
		b.addFact(f)
		b.post(f.Workspace, journalOf(f), f.Object, ledger.Stored, ledger.Measured, moves)
		if f.Rev > latest[k].Rev {
			latest[k] = f
		}
	}
	for _, f := range facts { // in the order of the facts: a map has none
		k := objectKey{f.Workspace, f.Object}
		if l, ok := latest[k]; ok {
			b.raise(l)
			delete(latest, k)
		}
	}
	return done
}

func journalOf(f ledger.Fact) string { return f.Object + "." + strconv.FormatInt(f.Rev, 10) }

func (b *bookings) addFact(f ledger.Fact) {
	b.facts.Workspaces = append(b.facts.Workspaces, f.Workspace)
	b.facts.Objects = append(b.facts.Objects, f.Object)
	b.facts.Revs = append(b.facts.Revs, f.Rev)
	b.facts.Ats = append(b.facts.Ats, f.At)
	b.facts.Classes = append(b.facts.Classes, string(f.Class))
	b.facts.Bytes = append(b.facts.Bytes, f.Bytes)
}

func (b *bookings) raise(f ledger.Fact) {
	b.holdings.Workspaces = append(b.holdings.Workspaces, f.Workspace)
	b.holdings.Objects = append(b.holdings.Objects, f.Object)
	b.holdings.Revs = append(b.holdings.Revs, f.Rev)
	b.holdings.Ats = append(b.holdings.Ats, f.At)
	b.holdings.Classes = append(b.holdings.Classes, string(f.Class))
	b.holdings.Bytes = append(b.holdings.Bytes, f.Bytes)
}

// post adds the entries of movements, and what they add to the quarters.
func (b *bookings) post(workspace, journal, object string, account ledger.Account, basis ledger.Basis, moves []ledger.Movement) {
	for _, e := range ledger.Post(workspace, journal, object, account, moves) {
		b.entries.Workspaces = append(b.entries.Workspaces, e.Workspace)
		b.entries.Journals = append(b.entries.Journals, e.Journal)
		b.entries.Accounts = append(b.entries.Accounts, string(e.Account))
		b.entries.Classes = append(b.entries.Classes, string(e.Class))
		b.entries.Objects = append(b.entries.Objects, e.Object)
		b.entries.Ats = append(b.entries.Ats, e.At)
		b.entries.Bytes = append(b.entries.Bytes, e.Bytes)
	}
	for _, m := range moves {
		quarter := ledger.QuarterOf(m.At)
		b.quarters.Workspaces = append(b.quarters.Workspaces, workspace)
		b.quarters.Classes = append(b.quarters.Classes, string(m.Class))
		b.quarters.Bases = append(b.quarters.Bases, string(basis))
		b.quarters.Quarters = append(b.quarters.Quarters, quarter)
		b.quarters.Bytes = append(b.quarters.Bytes, m.Bytes)
		b.quarters.Millis = append(b.quarters.Millis, m.At.Sub(ledger.QuarterStart(quarter)).Milliseconds())
	}
}

// write queues what was gathered. The quarters, which many transactions write, come last.
func (b *bookings) write(ctx context.Context, q *queries.Queries) error {
	var err error
	do := func(rows int, queue func() error) {
		if err == nil && rows > 0 {
			err = queue()
		}
	}
	do(len(b.facts.Revs), func() error { return q.AddFacts(ctx, b.facts) })
	do(len(b.holdings.Revs), func() error { return q.RaiseHoldings(ctx, b.holdings) })
	do(len(b.entries.Bytes), func() error { return q.AddEntries(ctx, b.entries) })
	do(len(b.quarters.Bytes), func() error { return q.AddToQuarters(ctx, b.quarters) })
	if err != nil {
		return fmt.Errorf("write bookings: %w", err)
	}
	return nil
}

// putDocuments writes the index's rows, and returns those of the workspaces in which words
// are to be looked up.
func putDocuments(ctx context.Context, q *queries.Queries, docs []search.Document) ([]string, error) {
	docs = latestOf(docs)
	if len(docs) == 0 {
		return nil, nil
	}
	var rows queries.PutDocumentsParams
	var words queries.AddWordsParams
	var bodies queries.PutBodiesParams
	for _, d := range docs {
		tags := d.Tags
		if tags == nil {
			tags = map[string]string{}
		}
		text, err := json.Marshal(tags)
		if err != nil {
			return nil, fmt.Errorf("encode the tags of %s: %w", d.Object, err)
		}
		rows.Workspaces = append(rows.Workspaces, d.Workspace)
		rows.Objects = append(rows.Objects, d.Object)
		rows.Revs = append(rows.Revs, d.Rev)
		rows.Versions = append(rows.Versions, d.Version)
		rows.States = append(rows.States, d.State)
		rows.Paths = append(rows.Paths, d.Path)
		rows.Parents = append(rows.Parents, d.Parent)
		rows.ContentTypes = append(rows.ContentTypes, d.ContentType)
		rows.Sizes = append(rows.Sizes, d.Size)
		rows.UpdatedAts = append(rows.UpdatedAts, d.UpdatedAt)
		rows.Tags = append(rows.Tags, string(text))
		rows.NameWords = append(rows.NameWords, strings.Join(d.NameWords(), " "))
		rows.TagWords = append(rows.TagWords, strings.Join(d.TagWords(), " "))
		rows.MetaWords = append(rows.MetaWords, strings.Join(d.MetadataWords(), " "))
		if d.Body != nil {
			bodies.Workspaces = append(bodies.Workspaces, d.Workspace)
			bodies.Objects = append(bodies.Objects, d.Object)
			bodies.Versions = append(bodies.Versions, d.Version)
			bodies.Bodies = append(bodies.Bodies, *d.Body)
		}
		for _, w := range d.KnownWords() {
			words.Workspaces = append(words.Workspaces, d.Workspace)
			words.Objects = append(words.Objects, d.Object)
			words.Revs = append(words.Revs, d.Rev)
			words.Words = append(words.Words, w)
		}
	}
	if err := q.PutDocuments(ctx, rows); err != nil {
		return nil, fmt.Errorf("put documents: %w", err)
	}
	if len(bodies.Bodies) > 0 {
		if err := q.PutBodies(ctx, bodies); err != nil {
			return nil, fmt.Errorf("put bodies: %w", err)
		}
	}
	loose, err := q.AddWords(ctx, words)
	if err != nil {
		return nil, fmt.Errorf("add words: %w", err)
	}
	return loose, nil
}

// latestOf keeps the latest document of each object, in a fixed order: one statement must
// not write a row twice, and two transactions must lock rows in the same order. The text of
// an earlier rev of the same version is kept.
func latestOf(docs []search.Document) []search.Document {
	sorted := slices.Clone(docs)
	slices.SortStableFunc(sorted, func(a, b search.Document) int {
		if c := strings.Compare(a.Workspace, b.Workspace); c != 0 {
			return c
		}
		if c := strings.Compare(a.Object, b.Object); c != 0 {
			return c
		}
		return compareInts(b.Rev, a.Rev)
	})
	var out []search.Document
	for _, d := range sorted {
		if n := len(out); n > 0 && out[n-1].Workspace == d.Workspace && out[n-1].Object == d.Object {
			if out[n-1].Body == nil && out[n-1].Version == d.Version {
				out[n-1].Body = d.Body
			}
			continue
		}
		out = append(out, d)
	}
	return out
}

func compareInts(a, b int64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	default:
		return 0
	}
}

// optional is nil for the zero value.
func optional[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}

func optionalTime(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
