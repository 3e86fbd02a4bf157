package ddbstore_test

import (
	"encoding/base64"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func TestMain(m *testing.M) { os.Exit(ddbtest.Main(m)) }

// bench is a table of its own with a Store on it, and a clock that never
// tells the same time twice.
type bench struct {
	*ddbstore.Store
	t     *testing.T
	table string
	tick  atomic.Int64
}

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{t: t, table: ddbtest.NewTable(t, ddbtest.Client(nil), catalog.MainTable())}
	b.Store = b.over(nil)
	return b
}

// over returns another Store on the same table, whose calls go over transport.
func (b *bench) over(transport http.RoundTripper) *ddbstore.Store {
	return ddbstore.New(ddbtest.Client(transport), ddbstore.Config{
		Table: b.table,
		Now:   b.now,
		Retry: ddbstore.Retry{Base: time.Millisecond, Cap: 50 * time.Millisecond, Attempts: 100},
	})
}

func (b *bench) now() time.Time {
	return time.Date(2026, 11, 3, 15, 4, 5, 0, time.UTC).Add(time.Duration(b.tick.Add(1)) * time.Millisecond)
}

// workspace creates a workspace with a quota over 4 shards.
func (b *bench) workspace(id string, q workspace.Quota) workspace.Workspace {
	b.t.Helper()
	return b.sharded(id, q, 4)
}

func (b *bench) sharded(id string, q workspace.Quota, shards int) workspace.Workspace {
	b.t.Helper()
	w := workspace.Workspace{ID: id, Name: id, CreatedAt: b.now(), CreatedBy: "owner", UpdatedAt: b.now(), Quota: q, Shards: shards}
	if err := b.CreateWorkspace(b.t.Context(), w, workspace.Member{Workspace: id, Sub: "owner", Role: workspace.Owner}); err != nil {
		b.t.Fatalf("create workspace %s: %v", id, err)
	}
	w.Rev = 1
	return w
}

func roomy() workspace.Quota {
	return workspace.Quota{Bytes: 1000, Objects: 100, OpenUploads: 100, MaxObjectBytes: 1000}
}

func newID() string { return ulid.Make().String() }

// digest is the base64 of a SHA-256, as good as any.
func digest() string {
	raw := make([]byte, 32)
	for i := range raw {
		raw[i] = byte(rand.IntN(256))
	}
	return base64.StdEncoding.EncodeToString(raw)
}

// upload returns what a client declares.
func (b *bench) upload(ws, path string, size int64) upload.Upload {
	return upload.Upload{
		Workspace: ws, ID: newID(), ObjectID: newID(), Path: path,
		Size: size, ContentType: "text/plain", SHA256: digest(),
		Mode: upload.Single, IfExists: upload.Fail,
		CreatedBy: "owner", CreatedAt: b.now(), ExpiresAt: b.now().Add(time.Hour),
	}
}

// open opens an upload that must be accepted.
func (b *bench) open(w workspace.Workspace, u upload.Upload) upload.Upload {
	b.t.Helper()
	opened, err := b.OpenUpload(b.t.Context(), w, u)
	if err != nil {
		b.t.Fatalf("open upload at %s: %v", u.Path, err)
	}
	return opened
}

// facts are what verification finds of an upload whose bytes are as declared.
func facts(u upload.Upload) object.Facts {
	return object.Facts{
		Size: u.Size, DetectedType: "text/plain", SHA256: u.SHA256, CRC64NVME: "AAAAAAAAAAA=",
		ETag: "etag", S3VersionID: "s3-" + u.ID, Integrity: object.Verified,
	}
}

// publish publishes an upload that must be accepted.
func (b *bench) publish(u upload.Upload) object.Object {
	b.t.Helper()
	o, err := b.Publish(b.t.Context(), u, facts(u))
	if err != nil {
		b.t.Fatalf("publish %s: %v", u.Path, err)
	}
	return o
}

// usage returns where a workspace's quota is.
func (b *bench) usage(ws string) workspace.Usage {
	b.t.Helper()
	u, err := b.Usage(b.t.Context(), ws)
	if err != nil {
		b.t.Fatalf("usage of %s: %v", ws, err)
	}
	return u
}

// wantUsage checks what is reserved and stored, and that nothing was lost.
func (b *bench) wantUsage(ws string, reserved, stored workspace.Amount) {
	b.t.Helper()
	u := b.usage(ws)
	if u.Reserved != reserved || u.Stored != stored {
		b.t.Errorf("usage of %s: reserved %+v, stored %+v, want %+v and %+v", ws, u.Reserved, u.Stored, reserved, stored)
	}
	if u.Total() != u.Limit {
		b.t.Errorf("usage of %s: available, reserved and stored are %+v together, the quota is %+v", ws, u.Total(), u.Limit)
	}
}

func wantCode(t *testing.T, err error, code fault.Code) {
	t.Helper()
	if got := fault.CodeOf(err); got != code {
		t.Errorf("error is %v (code %q), want code %q", err, got, code)
	}
}

func amount(bytes, objects, uploads int64) workspace.Amount {
	return workspace.Amount{Bytes: bytes, Objects: objects, Uploads: uploads}
}

func path(i int) string { return fmt.Sprintf("folder/file-%03d.txt", i) }
