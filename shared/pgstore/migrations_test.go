package pgstore_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/migrate"
	"github.com/stowage-dev/stowage/shared/pgstore/migrations"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

var update = flag.Bool("update", false, "record anew what the code of the newest schema sends: testdata/sent-<version>.json")

// sent is one statement that the code of a version sends.
type sent struct {
	Role string `json:"role"`
	SQL  string `json:"sql"`
	Args []arg  `json:"args,omitempty"`
}

// arg is an argument with its Go type, by which pgx encodes it.
type arg struct {
	Type  string          `json:"type"`
	Value json.RawMessage `json:"value"`
}

func argOf(tb testing.TB, v any) arg {
	tb.Helper()
	text, err := json.Marshal(v)
	if err != nil {
		tb.Fatal(err)
	}
	return arg{fmt.Sprintf("%T", v), text}
}

func (a arg) value(tb testing.TB, workspace string) any {
	tb.Helper()
	text := bytes.ReplaceAll(a.Value, []byte("recorded"), []byte(workspace))
	decode := func(into any) {
		if err := json.Unmarshal(text, into); err != nil {
			tb.Fatal(err)
		}
	}
	switch a.Type {
	case "string":
		var v string
		decode(&v)
		return v
	case "*string":
		var v *string
		decode(&v)
		return v
	case "[]string":
		var v []string
		decode(&v)
		return v
	case "bool":
		var v bool
		decode(&v)
		return v
	case "int32":
		var v int32
		decode(&v)
		return v
	case "int64":
		var v int64
		decode(&v)
		return v
	case "*int64":
		var v *int64
		decode(&v)
		return v
	case "[]int64":
		var v []int64
		decode(&v)
		return v
	case "*float32":
		var v *float32
		decode(&v)
		return v
	case "time.Time":
		var v time.Time
		decode(&v)
		return v
	case "*time.Time":
		var v *time.Time
		decode(&v)
		return v
	case "[]time.Time":
		var v []time.Time
		decode(&v)
		return v
	case "[]uint8":
		var v []byte
		decode(&v)
		return v
	default:
		tb.Fatalf("arguments of type %s are not replayed yet", a.Type)
		return nil
	}
}

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

// record runs through all that the code does on a version of the schema, and returns what it
// sent.
func record(t *testing.T, version int64) []sent {
	t.Helper()
	d, err := pgtest.Shared().Create(t.Context(), version)
	must(t, err)
	var all []sent
	open := func(role string) *pgstore.DB {
		cfg := d.Config(role)
		cfg.Watch = func(sql string, args []any) {
			s := sent{Role: role, SQL: sql}
			for _, a := range args {
				s.Args = append(s.Args, argOf(t, a))
			}
			all = append(all, s)
		}
		db, err := pgstore.Open(cfg)
		must(t, err)
		t.Cleanup(db.Close)
		return db
	}
	ctx, ws := t.Context(), "recorded"
	writer, api, check := open(pgtest.Writer), open(pgtest.API), open(pgtest.Checker)
	facts := []ledger.Fact{fact(ws, "O1", 1, 0, 1000, ledger.Standard), fact(ws, "O1", 3, 2_000_000, 0, ledger.Standard), fact(ws, "O2", 1, 0, 5, ledger.Glacier)}
	_, err = writer.Book(ctx, facts, nil)
	must(t, err)
	_, err = writer.Book(ctx, []ledger.Fact{fact(ws, "O1", 2, 1_000_000, 700, ledger.Standard)}, nil)
	must(t, err)
	for _, f := range []pgstore.EntryFilter{{}, {Class: ledger.Standard, From: at(0)}, {Account: ledger.Adjusted}, {Object: "O1", Account: ledger.Stored, Class: ledger.Standard, From: at(0), Until: at(1e9)}} {
		_, _, err = api.Entries(ctx, ws, f, 0, 10)
		must(t, err)
	}
	p, err := ledger.ParsePeriod("2026-10", time.UTC)
	must(t, err)
	_, err = api.Statement(ctx, ws, p, p.End)
	must(t, err)
	a := adjustment("A1", 10)
	a.Workspace, a.Until = ws, at(5_000_000)
	_, _, err = api.Adjust(ctx, a, key("k"))
	must(t, err)
	_, _, err = api.Adjust(ctx, a, key("k"))
	must(t, err)
	_, err = pgstore.NewCursorKeys(api, time.Now).Ring(ctx)
	must(t, err)
	_, err = check.Imbalances(ctx)
	must(t, err)
	_, err = check.Holdings(ctx, []pgstore.ObjectID{{Workspace: ws, ID: "O1"}})
	must(t, err)
	_, err = check.Totals(ctx)
	must(t, err)
	_, err = check.HeldAfter(ctx, ws, "", 10)
	must(t, err)
	if version >= 2 {
		recordSearch(t, writer, api, ws)
	}
	return all
}

func recordSearch(t *testing.T, writer, api *pgstore.DB, ws string) {
	t.Helper()
	text := "the text of a file"
	doc := document(ws, "O1", 1, "A", "annual report.txt")
	doc.Body, doc.Tags, doc.Metadata = &text, map[string]string{"k": "v"}, map[string]string{"m": "n"}
	_, err := writer.Book(t.Context(), nil, toDocs(doc))
	must(t, err)
	size := int64(1)
	hits, _, err := api.Find(t.Context(), ws, parse(t, "report"), pgstore.FindFilter{Folder: "docs", ContentType: "text/*", MinSize: &size, Tags: map[string]string{"k": "v"}, After: at(0)},
		&pgstore.FindPosition{Rank: 2, Object: ""}, 10)
	must(t, err)
	if len(hits) != 1 {
		t.Errorf("found %+v", hits)
	}
	_, err = api.Nearest(t.Context(), ws, []string{"reprot"})
	must(t, err)
	_, err = writer.Book(t.Context(), nil, toDocs(purged(ws, "O1", 2)))
	must(t, err)
}

func sentFile(version int64) string {
	return filepath.Join("testdata", fmt.Sprintf("sent-%05d.json", version))
}

func readSent(t *testing.T, version int64) []sent {
	t.Helper()
	text, err := os.ReadFile(sentFile(version))
	if err != nil {
		t.Fatalf("%v: run go test ./shared/pgstore -run TestSentIsKept -update", err)
	}
	var all []sent
	must(t, json.Unmarshal(text, &all))
	return all
}

// TestSentIsKept keeps what the code of the newest schema sends, for when there is a newer
// one; it covers every query.
func TestSentIsKept(t *testing.T) {
	t.Parallel()
	latest := migrations.Latest()
	if *update {
		for version := int64(1); version <= latest; version++ {
			if version < latest && exists(sentFile(version)) {
				continue // that code is gone: only the newest is recorded anew
			}
			text, err := json.MarshalIndent(record(t, version), "", " ")
			must(t, err)
			must(t, os.WriteFile(sentFile(version), append(text, '\n'), 0o644))
		}
		return
	}
	kept, now := map[string]bool{}, map[string]bool{}
	for _, s := range readSent(t, latest) {
		kept[s.SQL] = true
	}
	for _, s := range record(t, latest) {
		now[s.SQL] = true
		if !kept[s.SQL] {
			t.Errorf("%s does not know of\n%s\nrun go test ./shared/pgstore -run TestSentIsKept -update", sentFile(latest), s.SQL)
		}
	}
	for _, name := range queryNames(t) {
		covered := slices.ContainsFunc(slices.Collect(mapKeys(now)), func(sql string) bool { return strings.HasPrefix(sql, "-- name: "+name) })
		if !covered && name != "AddCursorKey" && name != "DropOldCursorKeys" { // which the migrations themselves send
			t.Errorf("no recording covers the query %s", name)
		}
	}
}

func mapKeys(m map[string]bool) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

func queryNames(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("queries/*.sql")
	must(t, err)
	var names []string
	for _, f := range files {
		text, err := os.ReadFile(f)
		must(t, err)
		for _, m := range regexp.MustCompile(`(?m)^-- name: (\w+)`).FindAllSubmatch(text, -1) {
			names = append(names, string(m[1]))
		}
	}
	return names
}

// TestEveryMigrationOnACopyWithData: each migration runs on a database that the code before
// it has filled, leaves what is there as it is, and that code works on.
func TestEveryMigrationOnACopyWithData(t *testing.T) {
	t.Parallel()
	for version := int64(1); version <= migrations.Latest(); version++ {
		t.Run(fmt.Sprint(version), func(t *testing.T) {
			t.Parallel()
			d := pgtest.NewAt(t, pgtest.Shared(), version)
			recorded := readSent(t, version)
			replay(t, d, recorded, "before")
			admin := d.Admin(t)
			was := books(t, admin, "before")
			if len(was) < 10 {
				t.Fatalf("there are only %d rows before the migration", len(was))
			}
			result, err := migrate.Run(t.Context(), d.Config(pgtest.Master), slog.New(slog.DiscardHandler))
			if err != nil || result.From != version || result.To != migrations.Latest() {
				t.Fatalf("%+v, %v", result, err)
			}
			if is := books(t, admin, "before"); fmt.Sprint(was) != fmt.Sprint(is) {
				t.Errorf("the books were\n%v\nand are\n%v", was, is)
			}
			replay(t, d, recorded, "after")
			if before, after := strings.ReplaceAll(fmt.Sprint(was), "before", ""), strings.ReplaceAll(fmt.Sprint(books(t, admin, "after")), "after", ""); before != after {
				t.Errorf("the same statements made\n%v\nbefore the migration, and\n%v\nafter it", before, after)
			}
		})
	}
}

// replay sends recorded statements for another workspace, as the roles that sent them.
func replay(t *testing.T, d *pgtest.Database, recorded []sent, workspace string) {
	t.Helper()
	conns := map[string]*pgx.Conn{}
	for _, s := range recorded {
		conn := conns[s.Role]
		if conn == nil {
			cfg, before, err := d.Config(s.Role).Connector()
			must(t, err)
			must(t, before(t.Context(), cfg))
			conn, err = pgx.ConnectConfig(t.Context(), cfg)
			must(t, err)
			defer func() { _ = conn.Close(t.Context()) }()
			conns[s.Role] = conn
		}
		args := make([]any, len(s.Args))
		for i, a := range s.Args {
			args[i] = a.value(t, workspace)
		}
		rows, err := conn.Query(t.Context(), s.SQL, args...)
		must(t, err)
		rows.Close()
		if err := rows.Err(); err != nil {
			t.Fatalf("%s\n%v", s.SQL, err)
		}
	}
}

// TestMigrationThatWasInterrupted: what was built in part is built anew.
func TestMigrationThatWasInterrupted(t *testing.T) {
	t.Parallel()
	const version = 3 // runs outside a transaction
	d := pgtest.NewAt(t, pgtest.Shared(), version)
	admin := d.Admin(t)
	for _, sql := range []string{
		"DELETE FROM public.goose_db_version WHERE version_id = 3",
		"UPDATE pg_index SET indisvalid = false, indisready = false WHERE indexrelid = 'stowage.entries_of_class'::regclass",
		"DROP INDEX stowage.entries_of_adjustments",
	} {
		_, err := admin.Exec(t.Context(), sql)
		must(t, err)
	}
	result, err := migrate.To(t.Context(), d.Config(pgtest.Master), slog.New(slog.DiscardHandler), version)
	if err != nil || result.From != version-1 || result.To != version {
		t.Fatalf("%+v, %v", result, err)
	}
	var good int
	must(t, admin.QueryRow(t.Context(), "SELECT count(*) FROM pg_index WHERE indrelid = 'stowage.entries'::regclass AND indisvalid AND indisready").Scan(&good))
	if good != 4 {
		t.Errorf("%d indexes of the entries are good, want 4", good)
	}
}

// TestNewerSchema: what has rolled back finds a schema that is ahead, and leaves it so.
func TestNewerSchema(t *testing.T) {
	t.Parallel()
	d := pgtest.New(t)
	result, err := migrate.To(t.Context(), d.Config(pgtest.Master), slog.New(slog.DiscardHandler), 1)
	if err != nil || result.From != migrations.Latest() || result.To != migrations.Latest() {
		t.Errorf("%+v, %v", result, err)
	}
	if len(migrations.Hash()) != 64 {
		t.Errorf("hash is %q", migrations.Hash())
	}
}
