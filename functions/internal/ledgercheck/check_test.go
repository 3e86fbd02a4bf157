package ledgercheck_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/ledgercheck"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(func() int { return ddbtest.Main(m) })) }

// world is a catalog with published objects, and a ledger.
type world struct {
	database *pgtest.Database
	writer   *pgstore.DB
	store    *ddbstore.Store
	handler  *ledgercheck.Handler
	log      bytes.Buffer
	table    string
	objects  []object.Object
}

func published() time.Time { return time.Date(2026, 11, 3, 4, 5, 6, 0, time.UTC) }

func newWorld(t *testing.T) *world {
	t.Helper()
	client := ddbtest.Client(nil)
	w := &world{database: pgtest.New(t), table: ddbtest.NewTable(t, client, catalog.MainTable())}
	w.store = ddbstore.New(client, ddbstore.Config{Table: w.table, Now: published})
	w.writer = w.database.Open(t, pgtest.Writer)
	w.handler = ledgercheck.New(ledgercheck.Parts{
		Books: w.database.Open(t, pgtest.Checker), Catalog: w.store,
		Metrics: observe.NewMetrics(&w.log, "check", time.Now), Log: observe.NewLogger(&w.log, slog.LevelInfo),
		Now: func() time.Time { return published().Add(24 * time.Hour) }, Recheck: time.Millisecond, Look: time.Millisecond,
	})
	quota := workspace.Quota{Bytes: 1 << 40, Objects: 1000, OpenUploads: 100, MaxObjectBytes: 1 << 40}
	for _, ws := range []string{"alpha", "beta"} {
		space := workspace.Workspace{ID: ws, Name: ws, Quota: quota, Shards: 1}
		if err := w.store.CreateWorkspace(t.Context(), space, workspace.Member{Workspace: ws, Sub: "owner", Role: workspace.Owner}); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			w.publish(t, space, i)
		}
	}
	return w
}

// publish uploads an object into the catalog.
func (w *world) publish(t *testing.T, space workspace.Workspace, n int) {
	t.Helper()
	id := fmt.Sprintf("01KB3Z5V0QJ8W4N6T2M9R7%s%03d", strings.ToUpper(space.ID[:1]), n)
	u := upload.Upload{
		Workspace: space.ID, ID: id, ObjectID: id, Path: fmt.Sprintf("docs/%d.txt", n), Size: int64(10 + n), ContentType: "text/plain",
		SHA256: "n4bQgYhMfWWaL+qgxVrQFaO/TxsrC4Is0V1sFbDwCgg=", Mode: upload.Single, IfExists: upload.Fail,
		CreatedBy: "owner", CreatedAt: published(), ExpiresAt: published().Add(time.Hour),
	}
	u, err := w.store.OpenUpload(t.Context(), space, u)
	if err != nil {
		t.Fatal(err)
	}
	o, err := w.store.Publish(t.Context(), u, object.Facts{Size: u.Size, DetectedType: "text/plain", SHA256: u.SHA256, CRC64NVME: "AAAAAAAAAAA=", ETag: "e", S3VersionID: "v", Integrity: object.Recorded})
	if err != nil {
		t.Fatal(err)
	}
	w.objects = append(w.objects, o)
}

// book books what the catalog says of an object, changed.
func (w *world) book(t *testing.T, o object.Object, change func(*ledger.Fact)) {
	t.Helper()
	f := ledger.Fact{Workspace: o.Workspace, Object: o.ID, Rev: o.Rev, At: o.UpdatedAt, Class: ledger.DefaultClass, Bytes: o.Stored}
	if change != nil {
		change(&f)
	}
	if _, err := w.writer.Book(t.Context(), []ledger.Fact{f}, nil); err != nil {
		t.Fatal(err)
	}
}

func (w *world) report(t *testing.T) ledgercheck.Report {
	t.Helper()
	r, err := w.handler.Handle(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestAllIsWell(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, o := range w.objects {
		w.book(t, o, nil)
	}
	if got := w.report(t); got != (ledgercheck.Report{Objects: 6}) {
		t.Errorf("%+v\n%s", got, w.log.String())
	}
}

func TestDifferencesAreFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ghost := w.objects[0]
	ghost.ID = "01KB3Z5V0QJ8W4N6T2M9R7GH05"
	late := w.handler.Now().Add(-time.Minute)
	for i, o := range w.objects {
		switch i {
		case 0: // the ledger never heard of it
		case 1:
			w.book(t, o, func(f *ledger.Fact) { f.Bytes++ })
		case 2:
			w.book(t, o, func(f *ledger.Fact) { f.Class = ledger.Glacier })
		case 3:
			w.book(t, o, nil)
			w.book(t, o, func(f *ledger.Fact) { f.Rev++; f.Bytes++; f.At = f.At.Add(time.Hour) }) // ahead, and long since
		case 4: // ahead, but only just: left for tomorrow
			w.book(t, o, func(f *ledger.Fact) { f.Rev++; f.Bytes++; f.At = late })
		default:
			w.book(t, o, nil)
		}
	}
	w.book(t, ghost, nil)
	got := w.report(t)
	if got != (ledgercheck.Report{Objects: 6, Unsettled: 1, Held: 3, Differences: 5}) {
		t.Errorf("%+v\n%s", got, w.log.String())
	}
	if !strings.Contains(w.log.String(), ghost.ID) || !strings.Contains(w.log.String(), w.objects[0].ID) {
		t.Errorf("the log names not what differs:\n%s", w.log.String())
	}
}

func TestImbalancesAreFound(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, o := range w.objects {
		w.book(t, o, nil)
	}
	admin := w.database.Admin(t)
	for _, sql := range []string{ // as only a superuser could
		"ALTER TABLE stowage.entries DISABLE TRIGGER ALL",
		"DELETE FROM stowage.entries WHERE workspace = 'alpha' AND account = 'supply' AND journal = (SELECT min(journal) FROM stowage.entries WHERE workspace = 'alpha')",
		"UPDATE stowage.quarters SET bytes = bytes + 1 WHERE workspace = 'beta'",
	} {
		if _, err := admin.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	if got := w.report(t); got.Imbalances != 2 {
		t.Errorf("%+v\n%s", got, w.log.String())
	}
}
