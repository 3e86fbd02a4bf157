package pgstore_test

import (
	"bytes"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

const runbook = "../../docs/runbooks/ledger.md"

// runFile runs a file of SQL that the runbook has written, on a database, with the rows of
// another one where it has them copied.
func runFile(t *testing.T, name string, live, before *pgx.Conn) {
	t.Helper()
	text, err := os.ReadFile(runbook)
	must(t, err)
	_, script, found := strings.Cut(string(text), "cat > "+name+" <<'SQL'\n")
	if !found {
		t.Fatalf("%s writes no %s", runbook, name)
	}
	script, _, _ = strings.Cut(script, "\n   SQL\n")
	copied := regexp.MustCompile(`^\\copy (stowage\.(\w+)) FROM '(\w+)\.copy'$`)
	for line := range strings.Lines(script) {
		line = strings.TrimSpace(line)
		c := copied.FindStringSubmatch(line)
		if c == nil {
			_, err := live.Exec(t.Context(), line)
			must(t, err)
			continue
		}
		if c[2] != c[3] {
			t.Errorf("%s puts the rows of %s into %s", name, c[3], c[2])
		}
		var rows bytes.Buffer
		_, err := before.PgConn().CopyTo(t.Context(), &rows, "COPY "+c[1]+" TO STDOUT")
		must(t, err)
		_, err = live.PgConn().CopyFrom(t.Context(), &rows, "COPY "+c[1]+" FROM STDIN")
		must(t, err)
	}
}

// TestARestoredCatalogIsFoundAgain: the catalog and the ledger were put back to a moment;
// what an object becomes from then on has revs that it has had once before.
func TestARestoredCatalogIsFoundAgain(t *testing.T) {
	t.Parallel()
	live, before := pgtest.New(t), pgtest.New(t)
	was := func(d *pgtest.Database, rev int64, path string) {
		t.Helper()
		doc := document("alpha", "O", rev, "V", path)
		_, err := d.Open(t, pgtest.Writer).Book(t.Context(), []ledger.Fact{fact("alpha", "O", rev, rev*1_000_000, 10*rev, ledger.Standard)}, toDocs(doc))
		must(t, err)
	}
	for _, d := range []*pgtest.Database{live, before} {
		was(d, 1, "docs/barometer.txt")
	}
	was(live, 2, "docs/compass.txt")
	was(live, 3, "docs/sextant.txt") // is undone
	to, from := live.Admin(t), before.Admin(t)
	runFile(t, "back.sql", to, from)
	if diff := cmp.Diff(books(t, from, "alpha"), books(t, to, "alpha")); diff != "" {
		t.Errorf("the ledger is not that of before (-want +got):\n%s", diff)
	}
	runFile(t, "search.sql", to, from)
	paths := func(word string) (all []string) {
		t.Helper()
		hits, _, err := live.Open(t, pgtest.API).Find(t.Context(), "alpha", parse(t, word), pgstore.FindFilter{}, nil, 10)
		must(t, err)
		for _, h := range hits {
			all = append(all, h.Path)
		}
		return all
	}
	if got := paths("barometer"); len(got) != 1 || len(paths("sextant")) > 0 {
		t.Errorf("of before %q is found", got)
	}
	was(live, 1, "docs/barometer.txt") // as the backfill does
	was(live, 2, "docs/telescope.txt")
	if got := paths("telescope"); len(got) != 1 || len(paths("barometer")) > 0 {
		t.Errorf("of after %q is found", got)
	}
	meant, err := live.Open(t, pgtest.API).Nearest(t.Context(), "alpha", []string{"sextnat", "telescpoe"})
	must(t, err)
	if diff := cmp.Diff(map[string]string{"telescpoe": "telescope"}, meant); diff != "" {
		t.Errorf("corrections (-want +got):\n%s", diff)
	}
	if off, err := live.Open(t, pgtest.Checker).Imbalances(t.Context()); err != nil || len(off) > 0 {
		t.Errorf("imbalances: %+v, %v", off, err)
	}
}
