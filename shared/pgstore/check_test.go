package pgstore_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

// TestWrongQuartersAreFound: each kind of damage that a statement would show, and that
// leaves the bytes of the class as they are.
func TestWrongQuartersAreFound(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		damage string
		want   []string // parts of what is told, by imbalance
	}{
		"none": {"SELECT", nil},
		"the moments are gone": {
			"UPDATE stowage.quarters SET moment = 0",
			[]string{"(adjusted, 2 of them", "(measured, 4 of them"},
		},
		"a moment is a millisecond of a byte off": {
			"UPDATE stowage.quarters SET moment = moment + 1 WHERE quarter = (SELECT max(quarter) FROM stowage.quarters)",
			[]string{"(measured, 1 of them, the first of 2026-10-27T"},
		},
		"a quarter is moved by 5 days": {
			"UPDATE stowage.quarters SET quarter = quarter - 480 WHERE basis = 'measured' AND quarter = (SELECT max(quarter) FROM stowage.quarters)",
			[]string{"(measured, 2 of them, the first of 2026-10-22T"},
		},
		"all quarters are moved, of bytes that are 0 in the end": {
			"UPDATE stowage.quarters SET quarter = quarter - 480 WHERE basis = 'measured'",
			[]string{"(measured, 8 of them"},
		},
		"two quarters are exchanged": {
			`UPDATE stowage.quarters q SET bytes = o.bytes, moment = o.moment FROM stowage.quarters o
				WHERE q.basis = 'measured' AND o.basis = 'measured' AND abs(q.quarter - o.quarter) = (SELECT max(quarter) - min(quarter) FROM stowage.quarters WHERE basis = 'measured')`,
			[]string{"(measured, 2 of them"},
		},
		"what was measured is said to be adjusted": {
			"UPDATE stowage.quarters SET basis = 'adjusted' WHERE basis = 'measured'",
			[]string{"(adjusted, 4 of them", "(measured, 4 of them"},
		},
		"a quarter is gone": {
			"DELETE FROM stowage.quarters WHERE basis = 'adjusted' AND quarter < 0",
			[]string{"(adjusted, 1 of them, the first of 1969-12-31T23:45:00Z"},
		},
		"a quarter is made up": {
			"INSERT INTO stowage.quarters (workspace, class, basis, quarter, bytes, moment) VALUES ('beta', 'GLACIER', 'measured', 0, 0, 1)",
			[]string{"(measured, 1 of them, the first of 1970-01-01T00:00:00Z"},
		},
		"a quarter has a byte more": {
			"UPDATE stowage.quarters SET bytes = bytes + 1 WHERE basis = 'adjusted' AND quarter >= 0",
			[]string{"(adjusted, 1 of them"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := pgtest.New(t)
			facts := []ledger.Fact{ // the last one comes to 0, and bytes times milliseconds exceed 64 bits
				fact("alpha", "O", 1, 1, math.MaxInt64, ledger.Standard), fact("alpha", "O", 2, 1_000_002, 500, ledger.Standard),
				fact("alpha", "O", 3, 2_000_003, 100, ledger.Standard), fact("alpha", "O", 4, 80_000_007, 0, ledger.Standard),
			}
			_, err := d.Open(t, pgtest.Writer).Book(t.Context(), facts, nil)
			must(t, err)
			early := adjustment("A", 10) // from before there were quarters, for a second
			early.From, early.Until = at(-at(0).UnixMilli()-1), at(-at(0).UnixMilli()+999)
			_, _, err = d.Open(t, pgtest.API).Adjust(t.Context(), early, key("k"))
			must(t, err)
			_, err = d.Admin(t).Exec(t.Context(), tc.damage)
			must(t, err)
			got, err := d.Open(t, pgtest.Checker).Imbalances(t.Context())
			must(t, err)
			if len(got) != len(tc.want) {
				t.Fatalf("imbalances: %+v, want %q", got, tc.want)
			}
			for i, part := range tc.want {
				if !strings.Contains(got[i].What, part) || got[i].A == got[i].B {
					t.Errorf("imbalance %+v, want %q", got[i], part)
				}
			}
		})
	}
}
