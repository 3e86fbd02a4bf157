package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/scripts/local/engines/postgres"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
	"github.com/stowage-dev/stowage/shared/search"
)

// nouns are what names are made of, the first ones most often.
var nouns = strings.Fields(`report invoice contract budget summary picture holiday meeting minutes project
	proposal drawing customer delivery receipt statement forecast analysis survey archive
	balance brochure campaign catalogue certificate charter checklist claim clearance coverage
	dashboard deadline declaration defect department deposit diagram dividend document donation
	earnings employee engine equipment estimate evidence exchange exhibit expense factory
	feedback figure finance garden gallery guideline handbook harvest hospital identity
	incident income index insurance interview inventory journal kitchen laboratory landscape
	ledger letter licence lighthouse logistics machine manual market material measure
	memorandum merchant mountain museum network notebook notice nursery object operation
	order outline package painting parcel patent pattern payment pension permit`)

// superuser fills tables past row-level security.
const superuser = postgres.Superuser

// document makes the n-th object: a name of three words, of which some are rare.
func document(n int) search.Document {
	random := rand.New(rand.NewPCG(uint64(n), 7))
	word := func() string { // Zipf's, roughly
		return nouns[int(float64(len(nouns))*random.Float64()*random.Float64()*random.Float64())]
	}
	year := 2000 + random.IntN(27)
	path := fmt.Sprintf("%s/%d/%s-%s_%05d.txt", word(), year, word(), word(), n%90_000)
	return search.Document{
		Workspace: "alpha", Object: object(n), Rev: 1, Version: object(n), State: "available", Path: path, Parent: path[:strings.LastIndex(path, "/")],
		ContentType: "text/plain", Size: int64(random.IntN(1 << 20)), UpdatedAt: start().Add(time.Duration(n) * time.Second),
		Tags:     map[string]string{"department": nouns[random.IntN(20)], "owner": fmt.Sprintf("person%d", random.IntN(1000))},
		Metadata: map[string]string{"source": nouns[random.IntN(len(nouns))]},
	}
}

func searching(ctx context.Context, b *bench) (err error) {
	server, d, err := b.serve(ctx, map[string]string{"fsync": "off", "maintenance_work_mem": "256MB"})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	begun := time.Now()
	if err := fillDocuments(ctx, d, b.objects); err != nil {
		return err
	}
	fmt.Printf("  %d objects of one workspace indexed in %s\n", b.objects, time.Since(begun).Round(time.Second))
	cfg := d.Config(pgtest.API)
	db, err := pgstore.Open(cfg) //nolint:contextcheck // it connects when it is used
	if err != nil {
		return err
	}
	defer db.Close()
	random := rand.New(rand.NewPCG(3, 4))
	noun := func() string { return nouns[random.IntN(len(nouns))] }
	size := int64(1 << 19)
	kinds := []struct {
		name   string
		query  func() string
		filter pgstore.FindFilter
	}{
		{"one common word", func() string { return nouns[random.IntN(10)] }, pgstore.FindFilter{}},
		{"one word", noun, pgstore.FindFilter{}},
		{"two words", func() string { return noun() + " " + noun() }, pgstore.FindFilter{}},
		{"three words", func() string { return noun() + " " + noun() + " " + noun() }, pgstore.FindFilter{}},
		{"a phrase", func() string { return `"` + noun() + " " + noun() + `"` }, pgstore.FindFilter{}},
		{"either", func() string { return noun() + " OR " + noun() }, pgstore.FindFilter{}},
		{"one without another", func() string { return noun() + " -" + noun() }, pgstore.FindFilter{}},
		{"a number", func() string { return fmt.Sprintf("%05d", random.IntN(90_000)) }, pgstore.FindFilter{}},
		{"a word and filters", noun, pgstore.FindFilter{MinSize: &size, Tags: map[string]string{"department": nouns[3]}, After: start().Add(time.Hour)}},
		{"a typo", func() string { w := noun(); return w[:2] + w[3:] }, pgstore.FindFilter{}},
	}
	var all []time.Duration
	for _, k := range kinds {
		var times []time.Duration
		hits := 0
		for n := range b.searches / len(kinds) {
			q, err := search.Parse(k.query())
			if err != nil {
				return err
			}
			begun := time.Now()
			found, err := find(ctx, db, q, k.filter)
			if err != nil {
				return err
			}
			if n >= 5 { // the first ones fill caches
				times = append(times, time.Since(begun))
			}
			hits += found
		}
		fmt.Printf("  %-20s p50 %-10s p95 %-10s %.1f hits\n", k.name, quantile(times, 0.5).Round(10*time.Microsecond), quantile(times, 0.95).Round(10*time.Microsecond), float64(hits)/float64(b.searches/len(kinds)))
		all = append(all, times...)
	}
	p95 := quantile(all, 0.95)
	b.hold(p95 < 50*time.Millisecond, "all together p50 %s, p95 %s (under 50 ms)", quantile(all, 0.5).Round(10*time.Microsecond), p95.Round(10*time.Microsecond))
	return plan(ctx, d)
}

// find does what the API does: with the nearest words when nothing was found.
func find(ctx context.Context, db *pgstore.DB, q search.Query, f pgstore.FindFilter) (int, error) {
	hits, _, err := db.Find(ctx, "alpha", q, f, nil, 20)
	if err != nil || len(hits) > 0 {
		return len(hits), err
	}
	meant, err := db.Nearest(ctx, "alpha", q.Words())
	if err != nil {
		return 0, err
	}
	fixed, changed := q.Correct(meant)
	if !changed {
		return 0, nil
	}
	hits, _, err = db.Find(ctx, "alpha", fixed, f, nil, 20)
	return len(hits), err
}

// fillDocuments copies documents into their table: how fast they are projected is measured
// elsewhere.
func fillDocuments(ctx context.Context, d *pgtest.Database, count int) error {
	admin, err := d.Server.Admin(ctx, d.Name)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(ctx) }()
	for _, sql := range []string{"DROP INDEX stowage.documents_terms"} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			return fmt.Errorf("prepare the index as %s: %w", superuser, err)
		}
	}
	n := 0
	columns := []string{"workspace", "object", "rev", "version", "state", "path", "parent", "content_type", "size", "updated_at", "tags", "name_words", "tag_words", "meta_words"}
	_, err = admin.CopyFrom(ctx, pgx.Identifier{"stowage", "documents"}, columns, pgx.CopyFromFunc(func() ([]any, error) {
		if n == count {
			return nil, nil
		}
		doc := document(n)
		n++
		return []any{
			doc.Workspace, doc.Object, doc.Rev, doc.Version, doc.State, doc.Path, doc.Parent, doc.ContentType, doc.Size, doc.UpdatedAt, doc.Tags,
			strings.Join(doc.NameWords(), " "), strings.Join(doc.TagWords(), " "), strings.Join(doc.MetadataWords(), " "),
		}, nil
	}))
	if err != nil {
		return fmt.Errorf("copy the documents: %w", err)
	}
	for _, sql := range []string{
		"CREATE INDEX documents_terms ON stowage.documents USING gin (terms) WHERE state = 'available'",
		"INSERT INTO stowage.words SELECT DISTINCT workspace, w FROM stowage.documents, unnest(string_to_array(name_words || ' ' || tag_words, ' ')) w WHERE w ~ '^[a-z]{4,32}$'",
		"VACUUM ANALYZE stowage.documents", "VACUUM ANALYZE stowage.words",
	} {
		if _, err := admin.Exec(ctx, sql); err != nil {
			return fmt.Errorf("index the documents: %w", err)
		}
	}
	return nil
}

// plan prints how PostgreSQL finds the matches of two words.
func plan(ctx context.Context, d *pgtest.Database) error {
	admin, err := d.Server.Admin(ctx, d.Name)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(ctx) }()
	rows, err := admin.Query(ctx, `EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) SELECT m.object, m.terms FROM stowage.documents m
		WHERE m.workspace = 'alpha' AND m.state = 'available' AND m.terms @@ (websearch_to_tsquery('simple', 'report invoice') || websearch_to_tsquery('english', 'report invoice')) LIMIT 1000`)
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	var line string
	_, err = pgx.ForEachRow(rows, []any{&line}, func() error { fmt.Println("    " + line); return nil })
	if err != nil {
		return fmt.Errorf("explain: %w", err)
	}
	return nil
}
