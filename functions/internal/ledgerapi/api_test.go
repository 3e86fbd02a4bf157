package ledgerapi_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/ledgerapi"
	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/migrate"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
	"github.com/stowage-dev/stowage/shared/search"
)

// objectID is a ULID that ends with n.
func objectID(n int) string { return fmt.Sprintf("01KB3Z5V0QJ8W4N6T2M9R7%04d", n) }

// stored books that an object of a workspace holds bytes from hours before now on.
func (w *world) stored(tb testing.TB, ws string, n int, hours int, bytes int64, path string) {
	tb.Helper()
	at := now().Add(-time.Duration(hours) * time.Hour)
	f := ledger.Fact{Workspace: ws, Object: objectID(n), Rev: 1, At: at, Class: ledger.Standard, Bytes: bytes}
	doc := search.Document{
		Workspace: ws, Object: f.Object, Rev: 1, Version: f.Object, State: "available", Path: path, Parent: "docs",
		ContentType: "text/plain", Size: bytes, UpdatedAt: at, Tags: map[string]string{"department": "finance"},
	}
	if _, err := w.writer.Book(tb.Context(), []ledger.Fact{f}, []search.Document{doc}); err != nil {
		tb.Fatal(err)
	}
}

func adjust(bytes int64) fields {
	return fields{"class": "STANDARD", "bytes": bytes, "from": now().Add(-2 * time.Hour), "until": now().Add(-time.Hour), "reason": "a test"}
}

func TestJourney(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored(t, "alpha", 1, 10, 1<<30, "docs/annual report.txt")
	w.stored(t, "beta", 2, 10, 5<<30, "docs/annual secret.txt")
	reader, owner := member("alpha", "reader"), member("alpha", "owner")

	entries := w.must(t, reader, "GET", "/v1/ledger/entries", nil, 200).items()
	if len(entries) != 2 || entries[0]["object"] != objectID(1) || entries[0]["account"] != "supply" || entries[1]["bytes"] != float64(1<<30) {
		t.Errorf("entries are %v", entries)
	}
	day := w.must(t, reader, "GET", "/v1/ledger/statement?period=2026-11-22", nil, 200)
	line := day.json["lines"].([]any)[0].(fields)
	if got := line["total"].(fields)["byteHours"]; got != fmt.Sprint(10<<30) || day.json["complete"] != false {
		t.Errorf("statement is %s", day.body)
	}
	booked := w.must(t, owner, "POST", "/v1/ledger/adjustments", adjust(-1<<30), 201, "Idempotency-Key", "k1")
	again := w.must(t, owner, "POST", "/v1/ledger/adjustments", adjust(-1<<30), 201, "Idempotency-Key", "k1")
	if booked.json["id"] == "" || booked.body != again.body {
		t.Errorf("booked %s, then %s", booked.body, again.body)
	}
	w.refused(t, owner, "POST", "/v1/ledger/adjustments", adjust(-5), 422, "idempotency_mismatch", "Idempotency-Key", "k1")
	w.refused(t, owner, "POST", "/v1/ledger/adjustments", adjust(-1), 409, "conflict", "Idempotency-Key", "k2")
	after := w.must(t, reader, "GET", "/v1/ledger/statement?period=2026-11-22", nil, 200)
	line = after.json["lines"].([]any)[0].(fields)
	if got := line["total"].(fields)["byteHours"]; got != fmt.Sprint(9<<30) {
		t.Errorf("after the adjustment: %s", after.body)
	}

	hits := w.must(t, reader, "GET", "/v1/search?q=annual", nil, 200)
	if items := hits.items(); len(items) != 1 || items[0]["id"] != objectID(1) || strings.Contains(hits.body, "secret") {
		t.Errorf("found %s", hits.body)
	}
	typo := w.must(t, reader, "GET", "/v1/search?q=annuall+repotr&tag=department:finance&folder=docs&contentType=text/*&minSize=1", nil, 200)
	if typo.json["corrected"] != "annual report" || len(typo.items()) != 1 {
		t.Errorf("a typo finds %s", typo.body)
	}
	if none := w.must(t, reader, "GET", "/v1/search?q=xyzzy", nil, 200); len(none.items()) != 0 || none.json["corrected"] != nil {
		t.Errorf("nothing finds %s", none.body)
	}
}

func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 7 {
		w.stored(t, "alpha", i, 10, 100, fmt.Sprintf("docs/annual report %d.txt", i))
	}
	reader := member("alpha", "reader")
	for path, want := range map[string]int{
		"/v1/ledger/entries?limit=3": 14, "/v1/ledger/entries?account=stored&limit=2": 7,
		"/v1/search?q=report&limit=3": 7, "/v1/search?q=reprot&limit=3": 7,
	} {
		seen, next := map[any]bool{}, ""
		for range 20 {
			page := w.must(t, reader, "GET", path+"&cursor="+next, nil, 200)
			for _, i := range page.items() {
				if seen[i["id"]] {
					t.Errorf("%s: %v twice", path, i["id"])
				}
				seen[i["id"]] = true
			}
			if page.json["nextCursor"] == nil {
				break
			}
			next, _ = page.json["nextCursor"].(string)
		}
		if len(seen) != want {
			t.Errorf("%s: %d items, want %d", path, len(seen), want)
		}
		first := w.must(t, reader, "GET", path, nil, 200)
		stolen, _ := first.json["nextCursor"].(string)
		w.refused(t, member("beta", "reader"), "GET", path+"&cursor="+stolen, nil, 400, "invalid_argument")
		w.refused(t, reader, "GET", strings.Replace(path, "limit", "from=2026-01-01T00:00:00Z&limit", 1)+"&cursor="+stolen, nil, 400, "invalid_argument")
		w.refused(t, reader, "GET", path+"&cursor="+stolen[:len(stolen)-2]+"AA", nil, 400, "invalid_argument")
	}
}

// TestPagesOfALongCorrection: what was looked for instead may be longer than what may be
// asked for, and still has all its pages.
func TestPagesOfALongCorrection(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var typed, meant []string
	for n := range search.MaxQueryWords {
		word := strings.Repeat(string(rune('a'+n)), 30)
		typed, meant = append(typed, word), append(meant, word+"x")
	}
	for n := range 3 {
		w.stored(t, "alpha", n, 10, 100, strings.Join(meant, " "))
	}
	path := "/v1/search?limit=1&q=" + strings.Join(typed, "+")
	page := w.must(t, member("alpha", "reader"), "GET", path, nil, 200)
	for n := range 3 {
		if corrected, _ := page.json["corrected"].(string); len(corrected) <= search.MaxQueryBytes || len(page.items()) != 1 {
			t.Fatalf("page %d is %s", n, page.body)
		}
		if next, ok := page.json["nextCursor"].(string); ok {
			page = w.must(t, member("alpha", "reader"), "GET", path+"&cursor="+next, nil, 200)
		}
	}
	if page.json["nextCursor"] != nil {
		t.Errorf("after the last page comes %s", page.body)
	}
}

func TestAccess(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored(t, "alpha", 1, 10, 100, "docs/a.txt")
	noScope := member("alpha", "owner")
	noScope["scope"] = "stowage/write"
	readOnly := member("alpha", "owner")
	readOnly["scope"] = "stowage/read"
	both := member("alpha", "reader")
	both["stowage:workspaces"] = "alpha:reader beta:reader"
	for _, path := range []string{"/v1/ledger/entries", "/v1/ledger/statement?period=2026-11", "/v1/search?q=a"} {
		w.refused(t, nil, "GET", path, nil, 401, "unauthenticated")
		w.refused(t, noScope, "GET", path, nil, 403, "forbidden")
		w.refused(t, member("alpha", "reader"), "GET", path, nil, 403, "forbidden", "Stowage-Workspace", "beta")
		w.refused(t, both, "GET", path, nil, 400, "workspace_required")
		w.refused(t, both, "GET", path, nil, 403, "forbidden", "Stowage-Workspace", "beta") // the token says so, the catalog not
		w.must(t, both, "GET", path, nil, 200, "Stowage-Workspace", "alpha")
		w.refused(t, biller(), "GET", path, nil, 403, "forbidden", "Stowage-Workspace", "alpha")
	}
	const path = "/v1/ledger/adjustments"
	w.refused(t, nil, "POST", path, adjust(1), 401, "unauthenticated", "Idempotency-Key", "k")
	w.refused(t, readOnly, "POST", path, adjust(1), 403, "forbidden", "Idempotency-Key", "k")
	w.refused(t, member("alpha", "writer"), "POST", path, adjust(1), 403, "forbidden", "Idempotency-Key", "k")
	w.refused(t, member("alpha", "owner"), "POST", path, adjust(1), 403, "forbidden", "Idempotency-Key", "k", "Stowage-Workspace", "beta")
	w.refused(t, biller(), "POST", path, adjust(1), 404, "not_found", "Idempotency-Key", "k", "Stowage-Workspace", "gamma")
	w.refused(t, biller(), "POST", path, adjust(1), 403, "forbidden", "Idempotency-Key", "k")
	w.must(t, biller(), "POST", path, adjust(1), 201, "Idempotency-Key", "k", "Stowage-Workspace", "alpha")
}

func TestBadInput(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	reader, owner := member("alpha", "reader"), member("alpha", "owner")
	for _, path := range []string{
		"/v1/ledger/entries?account=gold", "/v1/ledger/entries?class=gold", "/v1/ledger/entries?object=x", "/v1/ledger/entries?limit=0",
		"/v1/ledger/entries?limit=1001", "/v1/ledger/entries?cursor=x", "/v1/ledger/entries?from=yesterday", "/v1/ledger/entries?from=0001-01-02T00:00:00Z",
		"/v1/ledger/entries?workspace=beta",
		"/v1/ledger/statement", "/v1/ledger/statement?period=2026-13", "/v1/ledger/statement?period=2027-01", "/v1/ledger/statement?period=2026-11-22&zone=Mars/Olympus",
		"/v1/ledger/statement?period=2026-11&zone=../../etc/passwd", "/v1/ledger/statement?period=2026-11&zone=Local", "/v1/ledger/statement?period=1999",
		"/v1/search", "/v1/search?q=", "/v1/search?q=-a", "/v1/search?q=%22%22", "/v1/search?q=a&tag=x", "/v1/search?q=a&tag=x:1&tag=x:2",
		"/v1/search?q=a&minSize=-1", "/v1/search?q=a&limit=101", "/v1/search?q=a&folder=../x", "/v1/search?q=a&contentType=a%00b", "/v1/search?q=a&updatedAfter=9999-01-01T00:00:00Z",
	} {
		w.refused(t, reader, "GET", path, nil, 400, "invalid_argument")
	}
	// What was wrong stands where it stands in the request, in words, too.
	if r := w.call(t, reader, "GET", "/v1/ledger/statement?period=2026-13", nil); !strings.HasPrefix(fmt.Sprint(r.json["detail"]), "query.period: ") {
		t.Errorf("detail %v", r.json["detail"])
	}
	for name, change := range map[string]func(fields){
		"class":  func(f fields) { f["class"] = "GOLD" },
		"none":   func(f fields) { delete(f, "class") },
		"zero":   func(f fields) { f["bytes"] = 0 },
		"huge":   func(f fields) { f["bytes"] = int64(1)<<60 + 1 },
		"future": func(f fields) { f["from"] = now().Add(time.Hour); delete(f, "until") },
		"until":  func(f fields) { f["until"] = f["from"] },
		"reason": func(f fields) { f["reason"] = " " },
		"extra":  func(f fields) { f["workspace"] = "beta" },
		"text":   func(f fields) { f["bytes"] = "1" },
	} {
		body := adjust(1)
		change(body)
		if r := w.call(t, owner, "POST", "/v1/ledger/adjustments", body, "Idempotency-Key", name); r.status != 400 || r.json["code"] != "invalid_argument" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	w.refused(t, owner, "POST", "/v1/ledger/adjustments", adjust(1), 400, "invalid_argument")
	w.refused(t, owner, "POST", "/v1/ledger/adjustments", adjust(1), 400, "invalid_argument", "Idempotency-Key", "ü")
}

// TestConcurrentAdjustmentsOfOneKey: sent at once, one is booked and all are told of it.
func TestConcurrentAdjustmentsOfOneKey(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored(t, "alpha", 1, 10, 100, "docs/a.txt")
	owner := member("alpha", "owner")
	var wg sync.WaitGroup
	bodies := make([]string, 12)
	for i := range bodies {
		wg.Go(func() {
			bodies[i] = w.call(t, owner, "POST", "/v1/ledger/adjustments", adjust(-100), "Idempotency-Key", "same").body
		})
	}
	wg.Wait()
	for _, b := range bodies {
		if b != bodies[0] || !strings.Contains(b, `"id"`) {
			t.Errorf("answers %s and %s", bodies[0], b)
		}
	}
	if entries := w.must(t, owner, "GET", "/v1/ledger/entries?account=adjusted", nil, 200).items(); len(entries) != 2 {
		t.Errorf("booked %v", entries)
	}
}

// TestAdjustmentsThatGoOn: those that begin earlier are measured against those that begin
// now, and no number of them keeps a statement from being drawn up.
func TestAdjustmentsThatGoOn(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.stored(t, "alpha", 1, 240, 100, "docs/a.txt")
	reader, owner := member("alpha", "reader"), member("alpha", "owner")
	from := func(days int, bytes int64) fields {
		return fields{"class": "STANDARD", "bytes": bytes, "from": now().AddDate(0, 0, -days), "reason": "a test"}
	}
	const path = "/v1/ledger/adjustments"
	w.must(t, owner, "POST", path, from(0, -100), 201, "Idempotency-Key", "now")
	w.refused(t, owner, "POST", path, from(1, -100), 409, "conflict", "Idempotency-Key", "yesterday")
	w.must(t, owner, "POST", path, from(0, 1<<60), 201, "Idempotency-Key", "day 0")
	for day := 1; day <= 9; day++ {
		w.refused(t, owner, "POST", path, from(day, 1<<60), 409, "conflict", "Idempotency-Key", fmt.Sprintf("day %d", day))
	}
	w.must(t, reader, "GET", "/v1/ledger/statement?period=2026-11", nil, 200)
}

// TestDatabaseAsleep: a database that takes no time to say nothing is a 503 with Retry-After.
func TestDatabaseAsleep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	cfg := w.database.Config(pgtest.API)
	cfg.Host = l.Addr().String()
	cfg.Patience, cfg.ConnectTimeout = 500*time.Millisecond, 200*time.Millisecond
	w.deps.Ledger = pgtest.Open(t, cfg)
	w.handler = ledgerapi.New(w.deps)
	for _, path := range []string{"/v1/ledger/entries", "/v1/ledger/statement?period=2026-11", "/v1/search?q=a"} {
		r := w.refused(t, member("alpha", "reader"), "GET", path, nil, 503, "unavailable")
		if r.header.Get("Retry-After") == "" || strings.Contains(r.body, l.Addr().String()) {
			t.Errorf("%s: %s %v", path, r.body, r.header)
		}
	}
}

// TestOddTimesOfDay: days with 23 and 25 hours say so.
func TestOddTimesOfDay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for day, hours := range map[string]float64{"2026-03-29": 23, "2026-10-25": 25, "2026-11-01": 24} {
		r := w.must(t, member("alpha", "reader"), "GET", "/v1/ledger/statement?zone=Europe/Berlin&period="+day, nil, 200)
		if r.json["hours"] != hours || r.json["complete"] != true {
			t.Errorf("%s: %s", day, r.body)
		}
	}
}

var update = flag.Bool("update", false, "write docs/openapi-relational.json instead of comparing with it")

const documentFile = "../../../docs/openapi-relational.json"

func TestDocumentIsKept(t *testing.T) {
	t.Parallel()
	got, err := ledgerapi.Document()
	if err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile(documentFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	kept, err := os.ReadFile(documentFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, kept) {
		t.Errorf("docs/openapi-relational.json is not what the code says: run go test ./functions/internal/ledgerapi -run TestDocumentIsKept -update")
	}
}

// TestGuideIsComplete: docs/api.md names every route, and every code that one can fail with.
func TestGuideIsComplete(t *testing.T) {
	t.Parallel()
	guide, err := os.ReadFile("../../../docs/api.md")
	if err != nil {
		t.Fatal(err)
	}
	text, err := ledgerapi.Document()
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Paths map[string]map[string]struct {
			Responses map[string]struct{ Description string }
		}
	}
	if err := json.Unmarshal(text, &doc); err != nil {
		t.Fatal(err)
	}
	code := regexp.MustCompile("`[a-z_]+`")
	for path, operations := range doc.Paths {
		for method, operation := range operations {
			if route := "| `" + strings.ToUpper(method) + " " + path + "` |"; !strings.Contains(string(guide), route) {
				t.Errorf("docs/api.md has no row for %s", route)
			}
			for status, response := range operation.Responses {
				for _, c := range code.FindAllString(response.Description, -1) {
					if row := "| " + status + " | " + c + " |"; !strings.Contains(string(guide), row) {
						t.Errorf("docs/api.md has no row %s", row)
					}
				}
			}
		}
	}
}

// TestCursorKeysAreRotated: after a rotation an instance that reads the keys anew seals with
// the new one and still opens what the one before it sealed, and after the next no more.
func TestCursorKeysAreRotated(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i := range 3 {
		w.stored(t, "alpha", i, 10, 100, fmt.Sprintf("docs/%d.txt", i))
	}
	admin := w.database.Admin(t)
	rotate := func() {
		t.Helper()
		if _, err := admin.Exec(t.Context(), "UPDATE stowage.cursor_keys SET created_at = created_at - interval '31 days'"); err != nil {
			t.Fatal(err)
		}
		if rotated, err := migrate.Rotate(t.Context(), w.database.Config(pgtest.Master), slog.New(slog.DiscardHandler)); err != nil || !rotated {
			t.Fatalf("rotated: %t, %v", rotated, err)
		}
		// As another instance has them: this one's clock stands still.
		w.deps.Cursors = cursor.NewCodec(pgstore.NewCursorKeys(w.database.Open(t, pgtest.API), now), rand.Reader)
		w.handler = ledgerapi.New(w.deps)
	}
	reader := member("alpha", "reader")
	const path = "/v1/ledger/entries?limit=2"
	sealed := func() string {
		t.Helper()
		next, _ := w.must(t, reader, "GET", path, nil, 200).json["nextCursor"].(string)
		return path + "&cursor=" + next
	}
	first := sealed()
	second := w.must(t, reader, "GET", first, nil, 200).body
	rotate()
	if got := w.must(t, reader, "GET", first, nil, 200).body; !samePage(t, got, second) {
		t.Errorf("after a rotation the cursor leads to %s, before to %s", got, second)
	}
	between := sealed()
	rotate()
	w.refused(t, reader, "GET", first, nil, 400, "invalid_argument")
	w.must(t, reader, "GET", between, nil, 200)
}

// samePage compares the items of two pages: cursors are sealed anew each time.
func samePage(t *testing.T, a, b string) bool {
	t.Helper()
	var one, other struct{ Items []fields }
	if err := errors.Join(json.Unmarshal([]byte(a), &one), json.Unmarshal([]byte(b), &other)); err != nil {
		t.Fatal(err)
	}
	return len(one.Items) > 0 && reflect.DeepEqual(one.Items, other.Items)
}
