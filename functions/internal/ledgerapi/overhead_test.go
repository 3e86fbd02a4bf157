package ledgerapi_test

import (
	"context"
	"errors"
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
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/stowage-dev/stowage/functions/internal/ledgerapi"
	"github.com/stowage-dev/stowage/functions/internal/tenancy"
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

// everybody is a member: what DynamoDB takes is not measured here.
type everybody struct{ tenancy.Catalog }

func (everybody) Member(_ context.Context, ws, sub string) (workspace.Member, error) {
	return workspace.Member{Workspace: ws, Sub: sub, Role: workspace.Owner}, nil
}

// page is how many entries are read.
const page = 100

// statement is one that the API sends.
type statement struct {
	sql  string
	args []any
}

// listing is the statements with which the API reads a page, of which the third reads.
func listing(t *testing.T, pooler *pgtest.Pooler) []statement {
	t.Helper()
	var sent []statement
	cfg := pooler.Config(pgtest.API)
	cfg.Watch = func(sql string, args []any) { sent = append(sent, statement{sql, args}) }
	if _, _, err := pgtest.Open(t, cfg).Entries(t.Context(), "alpha", pgstore.EntryFilter{}, 0, page); err != nil {
		t.Fatal(err)
	}
	if len(sent) != 4 || !strings.Contains(sent[2].sql, "FROM stowage.entries") {
		t.Fatalf("a page is read by %+v", sent)
	}
	return sent
}

// bare sends the statements as barely as pgx can: in one round trip.
func bare(ctx context.Context, conn *pgx.Conn, statements []statement) ([]bareEntry, error) {
	batch := &pgx.Batch{}
	for _, s := range statements {
		batch.Queue(s.sql, s.args...)
	}
	results := conn.SendBatch(ctx, batch)
	defer func() { _ = results.Close() }()
	for range 2 {
		if _, err := results.Exec(); err != nil {
			return nil, err
		}
	}
	rows, err := results.Query()
	if err != nil {
		return nil, err
	}
	entries, err := collect(rows)
	if err != nil {
		return nil, err
	}
	return entries, results.Close()
}

// bareBinary is bare with results in binary, which takes the level below pgx.
func bareBinary(ctx context.Context, conn *pgx.Conn, statements []statement) ([]bareEntry, error) {
	batch := &pgconn.Batch{}
	for _, s := range statements {
		var b pgx.ExtendedQueryBuilder
		if err := b.Build(conn.TypeMap(), nil, s.args); err != nil {
			return nil, err
		}
		batch.ExecParams(s.sql, b.ParamValues, nil, b.ParamFormats, []int16{pgx.BinaryFormatCode})
	}
	results := conn.PgConn().ExecBatch(ctx, batch)
	for range 2 {
		if !results.NextResult() {
			return nil, errors.Join(errors.New("there are too few results"), results.Close())
		}
		if _, err := results.ResultReader().Close(); err != nil {
			return nil, errors.Join(err, results.Close())
		}
	}
	if !results.NextResult() {
		return nil, errors.Join(errors.New("there is no third result"), results.Close())
	}
	entries, err := collect(pgx.RowsFromResultReader(conn.TypeMap(), results.ResultReader()))
	return entries, errors.Join(err, results.Close())
}

func collect(rows pgx.Rows) ([]bareEntry, error) {
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (e bareEntry, err error) {
		return e, row.Scan(&e.id, &e.workspace, &e.journal, &e.account, &e.class, &e.object, &e.at, &e.bytes, &e.bookedAt)
	})
}

type bareEntry struct {
	id, bytes                                  int64
	workspace, journal, account, class, object string
	at, bookedAt                               time.Time
}

// subject is something whose calls are timed.
type subject struct {
	call  func() error
	check func() error // of what the last call has read
	times []time.Duration
}

func (s *subject) p50() time.Duration {
	slices.Sort(s.times)
	return s.times[len(s.times)/2]
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
	sent := listing(t, pooler)
	query, binary := bareQuery(t, pooler, sent, bare), bareQuery(t, pooler, sent, bareBinary)
	store, handler := storeQuery(t, db), wholeHandler(t, w, db)
	for n := range *calls + 10 { // in turns, so that whatever else the machine does meets all
		for _, s := range []*subject{query, binary, store, handler} {
			begun := time.Now()
			err := s.call()
			took := time.Since(begun)
			if err == nil {
				err = s.check()
			}
			if err != nil {
				t.Fatal(err)
			}
			if n >= 10 {
				s.times = append(s.times, took)
			}
		}
	}
	ratio := float64(handler.p50()) / float64(query.p50())
	t.Logf("p50 of a page of %d: the same statements by bare pgx %s (below pgx, in binary, %s), pgstore %s, whole handler %s: %.3f of bare pgx (%.3f of below)",
		page, query.p50(), binary.p50(), store.p50(), handler.p50(), ratio, float64(handler.p50())/float64(binary.p50()))
	if *mostOverhead > 0 && ratio > *mostOverhead {
		t.Errorf("the handler takes %.3f of the bare query, at most %.3f is wanted", ratio, *mostOverhead)
	}
}

func bareQuery(t *testing.T, pooler *pgtest.Pooler, sent []statement, read func(context.Context, *pgx.Conn, []statement) ([]bareEntry, error)) *subject {
	t.Helper()
	cfg, before, err := pooler.Config(pgtest.API).Connector()
	if err == nil {
		err = before(t.Context(), cfg)
	}
	if err != nil {
		t.Fatal(err)
	}
	cfg.Tracer = nil
	conn, err := pgx.ConnectConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	var entries []bareEntry
	return &subject{
		call:  func() (err error) { entries, err = read(t.Context(), conn, sent); return err },
		check: func() error { return wantRows(page+1, len(entries)) },
	}
}

func storeQuery(t *testing.T, db *pgstore.DB) *subject {
	t.Helper()
	var read []pgstore.Entry
	return &subject{
		call: func() (err error) {
			read, _, err = db.Entries(t.Context(), "alpha", pgstore.EntryFilter{}, 0, page)
			return err
		},
		check: func() error { return wantRows(page, len(read)) },
	}
}

func wholeHandler(t *testing.T, w *world, db *pgstore.DB) *subject {
	t.Helper()
	w.deps.Ledger, w.deps.Catalog, w.deps.Log = db, everybody{}, slog.New(slog.DiscardHandler)
	handler := ledgerapi.New(w.deps)
	who, ok := httpapi.NewPrincipal(member("alpha", "owner"))
	if !ok {
		t.Fatal("no principal")
	}
	ctx := httpapi.WithPrincipal(t.Context(), who)
	request := httptest.NewRequestWithContext(ctx, http.MethodGet, "/v1/ledger/entries?limit=100", nil)
	var rec *httptest.ResponseRecorder
	return &subject{
		call: func() error {
			rec = httptest.NewRecorder()
			handler.ServeHTTP(rec, request)
			return nil
		},
		check: func() error {
			if rec.Code != http.StatusOK {
				return fmt.Errorf("answered %d %.200s", rec.Code, rec.Body)
			}
			return wantRows(page, strings.Count(rec.Body.String(), `"id"`))
		},
	}
}

func wantRows(want, got int) error {
	if got != want {
		return fmt.Errorf("read %d entries, want %d", got, want)
	}
	return nil
}
