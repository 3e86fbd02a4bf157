package ledgerapi_test

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/functions/internal/ledgerapi"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// scripts/bench/run relational takes the real sizes.
var (
	calls        = flag.Int("calls", 20, "how often the handler and the bare query are called")
	mostOverhead = flag.Float64("most-overhead", 0, "the most that a page may take by the handler, as a multiple of the bare query; 0: any")
)

// tenancy knows every member: what DynamoDB takes is not measured here.
type tenancy struct{ ledgerapi.Catalog }

func (tenancy) Member(_ context.Context, ws, sub string) (workspace.Member, error) {
	return workspace.Member{Workspace: ws, Sub: sub, Role: workspace.Owner}, nil
}

// page is how many entries are read.
const page = 100

// bareEntries is the query of a page of entries.
const bareEntries = `SELECT id, workspace, journal, account, class, object, at, bytes, booked_at FROM stowage.entries
	WHERE workspace = $1 AND id < $2 ORDER BY id DESC LIMIT $3`

// bare reads a page as barely as pgx can in a transaction that has entered the workspace:
// in one round trip.
func bare(ctx context.Context, conn *pgx.Conn) (int, error) {
	batch := &pgx.Batch{}
	batch.Queue("begin read only")
	batch.Queue("SELECT stowage.enter(ARRAY['alpha'])")
	batch.Queue(bareEntries, "alpha", int64(1<<62), int64(page+1))
	batch.Queue("commit")
	results := conn.SendBatch(ctx, batch)
	defer func() { _ = results.Close() }()
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return 0, err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return 0, err
	}
	var e pgstore.Entry
	n := 0
	_, err = pgx.ForEachRow(rows, []any{&e.ID, &e.Workspace, &e.Journal, &e.Account, &e.Class, &e.Object, &e.At, &e.Bytes, &e.BookedAt}, func() error { n++; return nil })
	if err != nil {
		return n, err
	}
	return n, results.Close()
}

// TestOverhead measures what the API adds to the query that it is about, through a pooler.
func TestOverhead(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for n := range 100 {
		var facts []ledger.Fact
		for i := range 100 {
			facts = append(facts, ledger.Fact{Workspace: "alpha", Object: objectID(n*100 + i), Rev: 1, At: now(), Class: ledger.Standard, Bytes: 1000})
		}
		if _, err := w.writer.Book(t.Context(), facts, nil); err != nil {
			t.Fatal(err)
		}
	}
	pooler := w.database.Pool(t, 10, 100)
	db := pgtest.Open(t, pooler.Config(pgtest.API))
	w.deps.Ledger, w.deps.Catalog, w.deps.Log = db, tenancy{}, slog.New(slog.DiscardHandler)
	handler := ledgerapi.New(w.deps)
	cfg, before, err := pooler.Config(pgtest.API).Connector()
	if err != nil {
		t.Fatal(err)
	}
	if err := before(t.Context(), cfg); err != nil {
		t.Fatal(err)
	}
	cfg.Tracer = nil
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close(context.Background()) }()
	who, _ := httpapi.NewPrincipal(member("alpha", "owner"))
	subjects := []func() error{
		func() error {
			n, err := bare(t.Context(), conn)
			if err == nil && n != page+1 {
				err = fmt.Errorf("read %d rows", n)
			}
			return err
		},
		func() error {
			entries, _, err := db.Entries(t.Context(), "alpha", pgstore.EntryFilter{}, 0, page)
			if err == nil && len(entries) != page {
				err = fmt.Errorf("read %d entries", len(entries))
			}
			return err
		},
		func() error {
			r := httptest.NewRequestWithContext(httpapi.WithPrincipal(t.Context(), who), http.MethodGet, "/v1/ledger/entries?limit=100", nil)
			rec := httptest.NewRecorder()
			handler.ServeHTTP(rec, r)
			if rec.Code != http.StatusOK || strings.Count(rec.Body.String(), `"id"`) != page {
				return fmt.Errorf("answered %d %.200s", rec.Code, rec.Body)
			}
			return nil
		},
	}
	times := make([][]time.Duration, len(subjects))
	for n := range *calls + 10 { // in turns, so that whatever else the machine does meets all
		for i, call := range subjects {
			begun := time.Now()
			if err := call(); err != nil {
				t.Fatal(err)
			}
			if n >= 10 {
				times[i] = append(times[i], time.Since(begun))
			}
		}
	}
	var p50 [3]time.Duration
	for i := range times {
		slices.Sort(times[i])
		p50[i] = times[i][len(times[i])/2]
	}
	ratio := float64(p50[2]) / float64(p50[0])
	t.Logf("p50 of a page of %d: bare query %s, pgstore %s, whole handler %s: %.3f of the bare query", page, p50[0], p50[1], p50[2], ratio)
	if *mostOverhead > 0 && ratio > *mostOverhead {
		t.Errorf("the handler takes %.3f of the bare query, at most %.3f is wanted", ratio, *mostOverhead)
	}
}
