package pgstore_test

import (
	"context"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

// asRole begins a transaction of a role that has entered the workspace alpha.
func asRole(tb testing.TB, d *pgtest.Database, role string) pgx.Tx {
	tb.Helper()
	tx, err := d.Admin(tb).Begin(tb.Context())
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	for _, sql := range []string{"SET LOCAL ROLE " + role, "SELECT stowage.enter(ARRAY['alpha'])"} {
		if _, err := tx.Exec(tb.Context(), sql); err != nil {
			tb.Fatal(err)
		}
	}
	return tx
}

// TestRolesWriteTheirOwn: the projector books what objects hold, the API adjustments, and
// neither the other's, nor moves what has been summed up to another place.
func TestRolesWriteTheirOwn(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	if _, err := d.Open(t, pgtest.Writer).Book(t.Context(), []ledger.Fact{fact("alpha", "O", 1, 0, 100, ledger.Standard)}, nil); err != nil {
		t.Fatal(err)
	}
	if _, _, err := d.Open(t, pgtest.API).Adjust(t.Context(), adjustment("A1", 5), key("k")); err != nil {
		t.Fatal(err)
	}
	entries := func(account, contra, object string) string {
		return "INSERT INTO stowage.entries (workspace, journal, account, class, object, at, bytes) VALUES ('alpha', 'J', '" + account +
			"', 'STANDARD', '" + object + "', now(), 1), ('alpha', 'J', '" + contra + "', 'STANDARD', '" + object + "', now(), -1)"
	}
	// The quarter of an hour of both bookings, to which an insert then adds.
	quarter := func(basis string, offset string) string {
		return "INSERT INTO stowage.quarters AS q (workspace, class, basis, quarter, bytes, moment) SELECT 'alpha', 'STANDARD', '" + basis +
			"', max(quarter) + " + offset + ", 1, 1 FROM stowage.quarters ON CONFLICT (workspace, class, basis, quarter) DO UPDATE SET bytes = q.bytes + excluded.bytes, moment = q.moment + excluded.moment"
	}
	const apart, denied = "row-level security", "permission denied"
	for role, statements := range map[string]map[string]string{ // to what refuses them
		pgtest.API: {
			entries("adjusted", "allowance", ""): "", quarter("adjusted", "0"): "", quarter("adjusted", "1"): "",
			entries("stored", "supply", "O"): apart, entries("stored", "supply", ""): apart, entries("adjusted", "supply", ""): apart,
			entries("adjusted", "allowance", "O"): apart, quarter("measured", "0"): apart, quarter("measured", "1"): apart,
			"UPDATE stowage.quarters SET basis = 'measured' WHERE basis = 'adjusted'": denied, "UPDATE stowage.quarters SET quarter = quarter - 1": denied,
			"UPDATE stowage.quarters SET bytes = 0 WHERE basis = 'measured'": "nothing",
			"UPDATE stowage.quarters SET bytes = 0 WHERE basis = 'adjusted'": "", // the nightly check tells
			"DELETE FROM stowage.quarters":                                   denied, "INSERT INTO stowage.facts DEFAULT VALUES": denied, "UPDATE stowage.holdings SET bytes = 0": denied,
		},
		pgtest.Writer: {
			entries("stored", "supply", "O"): "", quarter("measured", "0"): "", quarter("measured", "1"): "",
			entries("adjusted", "allowance", ""): apart, entries("stored", "allowance", "O"): apart, quarter("adjusted", "0"): apart, quarter("adjusted", "1"): apart,
			"UPDATE stowage.quarters SET class = 'GLACIER'":                  denied,
			"UPDATE stowage.quarters SET bytes = 0 WHERE basis = 'adjusted'": "nothing",
			"DELETE FROM stowage.quarters":                                   denied, "INSERT INTO stowage.adjustments DEFAULT VALUES": denied,
		},
		pgtest.Checker: {
			"SELECT object FROM stowage.documents": denied, "SELECT word FROM stowage.words": denied, "SELECT word FROM stowage.loose_words": denied,
			"UPDATE stowage.holdings SET bytes = 0": denied, "SELECT stowage.forget_words(1)": denied,
		},
	} {
		tx := asRole(t, d, role)
		for sql, refusal := range statements {
			nested, err := tx.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			tag, err := nested.Exec(t.Context(), sql)
			switch {
			case refusal == "" && (err != nil || tag.RowsAffected() == 0):
				t.Errorf("%s may not\n%s\n%v", role, sql, err)
			case refusal == "nothing" && (err != nil || tag.RowsAffected() != 0):
				t.Errorf("%s: %d rows, %v, want none to be seen by\n%s", role, tag.RowsAffected(), err, sql)
			case (refusal == apart || refusal == denied) && (err == nil || !strings.Contains(err.Error(), refusal)):
				t.Errorf("%s: %v, want %s for\n%s", role, err, refusal, sql)
			}
			if err := nested.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}
