// Package sweeper ends what was left behind: uploads that nobody finished, reservations
// that nobody gave back, and bytes that belong to nobody.
//
// It runs on a schedule and sweeps in passes. A pass over uploads reads the expiry index,
// hour by hour and shard by shard; a pass over bytes reads what the bucket holds, from S3
// Inventory where there is a report. When the time of an invocation is nearly up, the place
// is saved and the next invocation goes on from there.
//
// Everything is safe to do twice and by several sweepers at a time: the upload's state,
// which only conditional writes change, decides what may be deleted, and it is read again
// right before. A saved place only says where to look; losing it costs a longer pass.
package sweeper

import (
	"context"
	"fmt"
	"iter"
	"log/slog"
	"time"

	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/upload"
)

// Config is what the function is told by its environment.
type Config struct {
	Table  string
	Bucket string
	// InventoryBucket and InventoryPrefix say where S3 Inventory reports on Bucket.
	// Both are empty where it does not.
	InventoryBucket string
	InventoryPrefix string
}

// ParseConfig reads the configuration; the error names all that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{
		Table:           s.Required("STOWAGE_TABLE"),
		Bucket:          s.Required("STOWAGE_BUCKET"),
		InventoryBucket: s.Optional("STOWAGE_INVENTORY_BUCKET", ""),
	}
	if cfg.InventoryBucket != "" {
		cfg.InventoryPrefix = s.Required("STOWAGE_INVENTORY_PREFIX")
	}
	return cfg, s.Err()
}

// Index lists uploads that hold quota. It may lag behind.
type Index interface {
	DueUploads(ctx context.Context, hour time.Time, shard int, until time.Time, page catalog.Page) ([]upload.Pending, string, error)
}

// Catalog knows whose bytes are whose. Its reads are strongly consistent.
type Catalog interface {
	Upload(ctx context.Context, workspace, id string) (upload.Upload, error)
	Version(ctx context.Context, workspace, objectID, version string) (object.Version, error)
}

// Ender ends uploads, or lets them wait. Each method is one conditional write.
type Ender interface {
	EndUpload(ctx context.Context, workspace, id string, event upload.Event, by upload.Actor) (upload.Upload, error)
	PostponeUpload(ctx context.Context, workspace, id string, until time.Time) (upload.Upload, error)
}

// Closer makes sure that an upload that has ended holds neither bytes nor quota.
type Closer interface {
	Close(ctx context.Context, u upload.Upload) error
}

// Versions are what is stored, whatever the catalog says.
type Versions interface {
	// Held returns the versions at a key, the latest first.
	Held(ctx context.Context, key string) ([]object.Stored, error)
	// DeleteVersion removes a version for good. It may be gone already.
	DeleteVersion(ctx context.Context, at object.Location) error
}

// Contents lists all versions, from the one after a mark on. The list may be old: a
// version in it may be gone.
type Contents interface {
	Versions(ctx context.Context, after string) iter.Seq2[object.Stored, error]
}

// Multiparts are the multipart uploads that S3 keeps parts of.
type Multiparts interface {
	Multiparts(ctx context.Context, after string) iter.Seq2[object.Parts, error]
	AbortParts(ctx context.Context, p object.Parts) error
}

// Checkpoints keep the place of a pass between invocations.
type Checkpoints interface {
	Checkpoint(ctx context.Context, sweep string) (upload.Checkpoint, error)
	SaveCheckpoint(ctx context.Context, c upload.Checkpoint) error
}

// Deps is what a Handler works with.
type Deps struct {
	Index       Index
	Catalog     Catalog
	Ender       Ender
	Closer      Closer
	Versions    Versions
	Contents    Contents
	Multiparts  Multiparts
	Checkpoints Checkpoints
	Metrics     *observe.Metrics
	Log         *slog.Logger
	Now         func() time.Time
}

// Names of the sweeps.
const (
	Uploads = "uploads"
	Bytes   = "bytes"
)

// Request says what to sweep. It is the schedule's input.
type Request struct {
	Sweep string `json:"sweep"`
}

// Report says how far an invocation came.
type Report struct {
	Sweep string `json:"sweep"`
	// Complete passes have looked at everything. Others go on with the next invocation.
	Complete bool `json:"complete"`
	// Looked counts what was looked at, Failed what has to be looked at again.
	Looked int `json:"looked"`
	Failed int `json:"failed"`
}

// Handler sweeps. It is safe for concurrent use.
type Handler struct{ Deps }

// New returns a Handler.
func New(deps Deps) *Handler { return &Handler{deps} }

// reserve is kept before the end of an invocation to save the place: at most a quarter
// of the time there is.
const reserve = 10 * time.Second

// Handle sweeps until a pass is complete or the time is nearly up. What could not be dealt
// with is logged and counted, and looked at again; an error says that the sweep itself
// could not go on.
func (h *Handler) Handle(ctx context.Context, req Request) (Report, error) {
	work, cancel := withReserve(ctx)
	defer cancel()
	r := run{Handler: h, Report: Report{Sweep: req.Sweep}, now: h.Now().UTC()}
	var err error
	switch req.Sweep {
	case Uploads:
		err = r.uploads(ctx, work)
	case Bytes:
		err = r.bytes(ctx, work)
	default:
		return Report{}, fmt.Errorf("sweep is %q, want %s or %s", req.Sweep, Uploads, Bytes)
	}
	sweep := observe.Dimension{Name: "sweep", Value: req.Sweep}
	h.Metrics.Add("SweepLooked", r.Looked, sweep)
	h.Metrics.Add("SweepFailures", r.Failed)
	if r.Complete {
		h.Metrics.Add("SweepPasses", 1, sweep)
	}
	h.Log.LogAttrs(ctx, slog.LevelInfo, "swept", slog.String("sweep", req.Sweep), slog.Bool("complete", r.Complete),
		slog.Int("looked", r.Looked), slog.Int("failed", r.Failed))
	if err != nil {
		return r.Report, fmt.Errorf("sweep %s: %w", req.Sweep, err)
	}
	return r.Report, nil
}

func withReserve(ctx context.Context) (context.Context, context.CancelFunc) {
	deadline, ok := ctx.Deadline()
	if !ok {
		return context.WithCancel(ctx)
	}
	return context.WithDeadline(ctx, deadline.Add(-min(reserve, time.Until(deadline)/4)))
}
