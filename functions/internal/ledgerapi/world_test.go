package ledgerapi_test

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"
	_ "time/tzdata"

	"github.com/stowage-dev/stowage/functions/internal/ledgerapi"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func TestMain(m *testing.M) { os.Exit(pgtest.Run(func() int { return ddbtest.Main(m) })) }

// lockedLog is what was logged.
type lockedLog struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.String()
}

type world struct {
	database *pgtest.Database
	writer   *pgstore.DB
	catalog  *ddbstore.Store
	deps     ledgerapi.Deps
	handler  http.Handler
	log      *lockedLog
}

func now() time.Time { return time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC) }

// newWorld has the workspaces alpha and beta, each with an owner, a writer and a reader.
func newWorld(tb testing.TB) *world {
	tb.Helper()
	client := ddbtest.Client(nil)
	w := &world{database: pgtest.New(tb), log: &lockedLog{}}
	w.catalog = ddbstore.New(client, ddbstore.Config{Table: ddbtest.NewTable(tb, client, catalog.MainTable()), Now: now})
	for _, ws := range []string{"alpha", "beta"} {
		owner := workspace.Member{Workspace: ws, Sub: ws + "-owner", Role: workspace.Owner}
		quota := workspace.Quota{Bytes: 1 << 40, Objects: 1000, OpenUploads: 100, MaxObjectBytes: 1 << 40, Writes: workspace.Rate{PerSecond: 1_000_000, Burst: 1_000_000}}
		if err := w.catalog.CreateWorkspace(tb.Context(), workspace.Workspace{ID: ws, Name: ws, Quota: quota, Shards: 1}, owner); err != nil {
			tb.Fatal(err)
		}
		for _, role := range []workspace.Role{workspace.Writer, workspace.Reader} {
			if err := w.catalog.PutMember(tb.Context(), workspace.Member{Workspace: ws, Sub: ws + "-" + string(role), Role: role}); err != nil {
				tb.Fatal(err)
			}
		}
	}
	w.writer = w.database.Open(tb, pgtest.Writer)
	db := w.database.Open(tb, pgtest.API)
	w.deps = ledgerapi.Deps{
		Ledger: db, Catalog: w.catalog, Cursors: cursor.NewCodec(pgstore.NewCursorKeys(db, now), rand.Reader),
		Log: slog.New(slog.NewJSONHandler(w.log, nil)), NewID: object.NewIDs(now, rand.Reader), Now: now,
	}
	w.handler = ledgerapi.New(w.deps)
	return w
}

const everyScope = "stowage/read stowage/billing"

// member is the user "<ws>-<role>", with every scope and its one workspace.
func member(ws, role string) httpapi.Claims {
	return httpapi.Claims{"sub": ws + "-" + role, "client_id": "web", "scope": everyScope, "stowage:workspaces": ws + ":" + role}
}

// biller is a machine client, and a member of nothing.
func biller() httpapi.Claims {
	return httpapi.Claims{"sub": "billing", "client_id": "billing", "scope": everyScope}
}

type fields = map[string]any

type reply struct {
	status int
	header http.Header
	json   fields
	body   string
}

func (r reply) items() []fields {
	list, _ := r.json["items"].([]any)
	out := make([]fields, len(list))
	for i, v := range list {
		out[i], _ = v.(fields)
	}
	return out
}

// call sends a request; extra are header names and values.
func (w *world) call(tb testing.TB, who httpapi.Claims, method, path string, body any, extra ...string) reply {
	tb.Helper()
	var text []byte
	if body != nil {
		var err error
		if text, err = json.Marshal(body); err != nil {
			tb.Fatal(err)
		}
	}
	r := httptest.NewRequestWithContext(tb.Context(), method, path, bytes.NewReader(text))
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(extra); i += 2 {
		r.Header.Set(extra[i], extra[i+1])
	}
	if p, ok := httpapi.NewPrincipal(who); ok {
		r = r.WithContext(httpapi.WithPrincipal(r.Context(), p))
	}
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	out := reply{status: rec.Code, header: rec.Header(), body: rec.Body.String()}
	if err := json.Unmarshal(rec.Body.Bytes(), &out.json); err != nil {
		tb.Fatalf("%s %.80s: %d %.200q: %v", method, path, rec.Code, rec.Body, err)
	}
	return out
}

func (w *world) must(tb testing.TB, who httpapi.Claims, method, path string, body any, status int, extra ...string) reply {
	tb.Helper()
	r := w.call(tb, who, method, path, body, extra...)
	if r.status != status {
		tb.Fatalf("%s %s: %d %s, want %d", method, path, r.status, r.body, status)
	}
	return r
}

func (w *world) refused(tb testing.TB, who httpapi.Claims, method, path string, body any, status int, code string, extra ...string) reply {
	tb.Helper()
	r := w.call(tb, who, method, path, body, extra...)
	if r.status != status || r.json["code"] != code || !strings.HasPrefix(r.header.Get("Content-Type"), "application/problem+json") {
		tb.Errorf("%s %s: %d %s, want %d %s", method, path, r.status, r.body, status, code)
	}
	return r
}
