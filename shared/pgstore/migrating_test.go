package pgstore_test

import (
	"context"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/migrate"
	"github.com/stowage-dev/stowage/shared/pgstore/migrations"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

// messages keeps what is logged.
type messages struct {
	mu   sync.Mutex
	said []string
}

func (m *messages) count(message string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(slices.DeleteFunc(slices.Clone(m.said), func(s string) bool { return s != message }))
}

func (m *messages) Enabled(context.Context, slog.Level) bool { return true }
func (m *messages) WithAttrs([]slog.Attr) slog.Handler       { return m }
func (m *messages) WithGroup(string) slog.Handler            { return m }

func (m *messages) Handle(_ context.Context, r slog.Record) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.said = append(m.said, r.Message)
	return nil
}

// refused is what is logged whenever a migration was refused a lock.
const refused = "lock refused"

// begin begins a transaction that has read something, as ledger-check's goes on for minutes.
func begin(t *testing.T, d *pgtest.Database, options pgx.TxOptions, sql string) pgx.Tx {
	t.Helper()
	tx, err := d.Admin(t).BeginTx(t.Context(), options)
	must(t, err)
	_, err = tx.Exec(t.Context(), sql)
	must(t, err)
	return tx
}

// TestAMigrationBehindALongReader: while a transaction that has read a table goes on, readers and
// writers of it go on too, though a migration wants it; it comes through when that one ends.
func TestAMigrationBehindALongReader(t *testing.T) {
	t.Parallel()
	d := pgtest.NewAt(t, pgtest.Shared(), 2)
	check := begin(t, d, pgx.TxOptions{}, "SELECT count(*) FROM stowage.entries")
	var log messages
	type outcome struct {
		result migrate.Result
		err    error
	}
	done := make(chan outcome, 1)
	go func() {
		result, err := migrate.Run(t.Context(), d.Config(pgtest.Master), slog.New(&log))
		done <- outcome{result, err}
	}()
	reader, writer := d.Open(t, pgtest.API), d.Open(t, pgtest.Writer)
	// The roles' own lock_timeout is what fails here: 4 s of the API, 10 s of the projector.
	for rev := int64(1); log.count(refused) < 2; rev++ {
		if _, _, err := reader.Entries(t.Context(), "alpha", pgstore.EntryFilter{}, 0, 10); err != nil {
			t.Fatalf("read meanwhile: %v", err)
		}
		if _, err := writer.Book(t.Context(), []ledger.Fact{fact("alpha", "O", rev, rev, rev, ledger.Standard)}, nil); err != nil {
			t.Fatalf("book meanwhile: %v", err)
		}
		select {
		case early := <-done:
			t.Fatalf("the migration ended before the transaction: %+v", early)
		default:
		}
	}
	must(t, check.Rollback(t.Context()))
	if got := <-done; got.err != nil || got.result != (migrate.Result{From: 2, To: migrations.Latest(), NewCursorKey: got.result.NewCursorKey}) {
		t.Errorf("afterwards: %+v, want from 2 to %d", got, migrations.Latest())
	}
}

// TestAMigrationThatIsHeldUp: who has no lock until the time is nearly up says what to do, and
// leaves the schema as it was.
func TestAMigrationThatIsHeldUp(t *testing.T) {
	t.Parallel()
	d := pgtest.NewAt(t, pgtest.Shared(), 2)
	check := begin(t, d, pgx.TxOptions{}, "SELECT count(*) FROM stowage.entries")
	ctx, cancel := context.WithTimeout(t.Context(), 14*time.Second)
	defer cancel()
	_, err := migrate.To(ctx, d.Config(pgtest.Master), slog.New(slog.DiscardHandler), 3)
	if err == nil || !strings.Contains(err.Error(), "a transaction has held a table for") || !strings.Contains(err.Error(), "docs/runbooks/ledger.md") || ctx.Err() != nil {
		t.Errorf("%v (%v), want what to do about it, in time", err, ctx.Err())
	}
	must(t, check.Rollback(t.Context()))
	result, err := migrate.To(t.Context(), d.Config(pgtest.Master), slog.New(slog.DiscardHandler), 3)
	if err != nil || result.From != 2 || result.To != 3 {
		t.Errorf("again: %+v, %v", result, err)
	}
}

// indexes of migration 3, with what identifies them, and whether they are valid.
func indexes(t *testing.T, admin *pgx.Conn) map[string]bool {
	t.Helper()
	rows, err := admin.Query(t.Context(), `SELECT c.relname || ' ' || c.oid, i.indisvalid FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
		WHERE i.indrelid = 'stowage.entries'::regclass AND c.relname IN ('entries_of_class', 'entries_of_adjustments')`)
	must(t, err)
	found := map[string]bool{}
	var name string
	var valid bool
	_, err = pgx.ForEachRow(rows, []any{&name, &valid}, func() error { found[name] = valid; return nil })
	must(t, err)
	return found
}

// TestAnIndexWaitsForTransactionsOfBefore: what is built beside the writers is not refused the
// locks that it waits for on the way, however long, and so is built once.
func TestAnIndexWaitsForTransactionsOfBefore(t *testing.T) {
	t.Parallel()
	d := pgtest.NewAt(t, pgtest.Shared(), 2)
	// It holds no lock of the table, but a snapshot from before the index.
	check := begin(t, d, pgx.TxOptions{IsoLevel: pgx.RepeatableRead}, "SELECT count(*) FROM stowage.adjustments")
	var log messages
	done := make(chan error, 1)
	go func() {
		_, err := migrate.To(t.Context(), d.Config(pgtest.Master), slog.New(&log), 3)
		done <- err
	}()
	admin := d.Admin(t)
	for waited := false; !waited; time.Sleep(20 * time.Millisecond) {
		must(t, admin.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE datname = current_database() AND query LIKE '%CREATE INDEX CONCURRENTLY%' AND wait_event = 'virtualxid' AND now() - state_change > '3 s')
			OR $1`, log.count(refused) > 0 || len(done) > 0).Scan(&waited))
	}
	was := indexes(t, admin)
	must(t, check.Rollback(t.Context()))
	if err := <-done; err != nil || log.count(refused) > 0 {
		t.Errorf("%v, and %d locks were refused", err, log.count(refused))
	}
	is := indexes(t, admin)
	if len(was) != 1 || len(is) != 2 {
		t.Fatalf("indexes were %v and are %v", was, is)
	}
	for name, valid := range is {
		if _, kept := was[name]; !valid || strings.HasPrefix(name, "entries_of_class") && !kept {
			t.Errorf("indexes were %v and are %v", was, is)
		}
	}
}

// TestIndexesOfBefore: of those that are there already the invalid one is built anew, and the
// one that somebody has built by hand stays.
func TestIndexesOfBefore(t *testing.T) {
	t.Parallel()
	d := pgtest.NewAt(t, pgtest.Shared(), 2)
	admin := d.Admin(t)
	for _, sql := range []string{
		"CREATE INDEX CONCURRENTLY IF NOT EXISTS entries_of_class ON stowage.entries (workspace, class, id)",
		"CREATE INDEX CONCURRENTLY IF NOT EXISTS entries_of_adjustments ON stowage.entries (workspace, id) WHERE account IN ('adjusted', 'allowance')",
		"UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'stowage.entries_of_adjustments'::regclass",
	} {
		_, err := admin.Exec(t.Context(), sql)
		must(t, err)
	}
	was := indexes(t, admin)
	_, err := migrate.Run(t.Context(), d.Config(pgtest.Master), slog.New(slog.DiscardHandler))
	must(t, err)
	is := indexes(t, admin)
	for name, valid := range is {
		_, kept := was[name]
		if !valid || kept != strings.HasPrefix(name, "entries_of_class") {
			t.Errorf("indexes were %v and are %v", was, is)
		}
	}
	if len(is) != 2 {
		t.Errorf("indexes were %v and are %v", was, is)
	}
}

// TestIndexesAreBuiltUnbounded: every migration that builds an index beside the writers lifts the
// bound of locks for it, sets it again, and keeps an index that is there.
func TestIndexesAreBuiltUnbounded(t *testing.T) {
	t.Parallel()
	names, err := fs.Glob(migrations.FS, "*.sql")
	must(t, err)
	built := 0
	for _, name := range names {
		text, err := migrations.FS.ReadFile(name)
		must(t, err)
		bounded := true
		for line := range strings.Lines(string(text)) {
			switch line = strings.TrimSpace(line); {
			case line == "SET lock_timeout = 0;":
				bounded = false
			case line == "RESET lock_timeout;":
				bounded = true
			case strings.Contains(line, "INDEX CONCURRENTLY"):
				built++
				if bounded || !strings.HasPrefix(line, "CREATE INDEX CONCURRENTLY IF NOT EXISTS ") {
					t.Errorf("%s: %s\nbuild it as 00003_confined.sql does", name, line)
				}
			}
		}
		if !bounded {
			t.Errorf("%s ends with lock_timeout = 0: reset it", name)
		}
	}
	if built == 0 {
		t.Error("no migration builds an index")
	}
}
