package pgstore_test

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

// TestConnectionsToADemotedWriterAreClosed: connections that were made while the database was
// read only stay so for as long as they live, as those do that lead to a writer of before.
// The first call afterwards makes a new one.
func TestConnectionsToADemotedWriterAreClosed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		role string
		call func(db *pgstore.DB) error
	}{
		"book": {pgtest.Writer, func(db *pgstore.DB) error {
			_, err := db.Book(t.Context(), []ledger.Fact{fact("alpha", "O", 1, 0, 1, ledger.Standard)}, nil)
			return err
		}},
		"adjust": {pgtest.API, func(db *pgstore.DB) error {
			_, _, err := db.Adjust(t.Context(), adjustment("A1", 1), key("k"))
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			admin := d.Admin(t)
			_, err := admin.Exec(t.Context(), "ALTER DATABASE "+d.Name+" SET default_transaction_read_only = on")
			must(t, err)
			cfg := d.Config(tt.role)
			cfg.MaxConns, cfg.Patience = 2, 3*time.Second
			db := pgtest.Open(t, cfg)
			var wg sync.WaitGroup
			for range cfg.MaxConns {
				wg.Go(func() {
					if err := tt.call(db); !fault.Is(err, fault.Unavailable) {
						t.Errorf("of a reader: %v, want Unavailable", err)
					}
				})
			}
			wg.Wait()
			_, err = admin.Exec(t.Context(), "ALTER DATABASE "+d.Name+" RESET default_transaction_read_only")
			must(t, err)
			if err := tt.call(db); err != nil {
				t.Errorf("afterwards: %v", err)
			}
		})
	}
}

// TestAReaderThatBecomesTheWriter: a call that meets a hot standby waits until there is a
// writer, also one that wants to be serializable, which a standby refuses in other words.
func TestAReaderThatBecomesTheWriter(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s, err := pgtest.Start(t.Context(), dir, nil)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	d, err := s.Create(t.Context(), 1)
	must(t, err)
	must(t, os.WriteFile(filepath.Join(dir, "data", "standby.signal"), nil, 0o644))
	must(t, s.Restart(t.Context()))

	book := func(patience time.Duration) error {
		cfg := d.Config(pgtest.Writer)
		cfg.Patience = patience
		_, err := pgtest.Open(t, cfg).Book(t.Context(), []ledger.Fact{fact("alpha", "O", 1, 0, 1, ledger.Standard)}, nil)
		return err
	}
	adjust := func(patience time.Duration) error {
		cfg := d.Config(pgtest.API)
		cfg.Patience = patience
		_, _, err := pgtest.Open(t, cfg).Adjust(t.Context(), adjustment("A1", 1), key("k"))
		return err
	}
	calls := map[string]func(time.Duration) error{"book": book, "adjust": adjust}
	for name, call := range calls {
		if err := call(3 * time.Second); !fault.Is(err, fault.Unavailable) {
			t.Errorf("%s on a standby: %v, want Unavailable", name, err)
		}
	}
	var wg sync.WaitGroup
	for name, call := range calls {
		wg.Go(func() {
			if err := call(time.Minute); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		})
	}
	admin, err := s.Admin(t.Context(), d.Name)
	must(t, err)
	defer func() { _ = admin.Close(t.Context()) }()
	_, err = admin.Exec(t.Context(), "SELECT pg_promote()")
	must(t, err)
	wg.Wait()
}
