package ingest

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/scan"
	"github.com/stowage-dev/stowage/shared/upload"
)

// hold keeps a verified version in quarantine and then has it scanned: in this order, so
// that a crash in between is made good by the next delivery.
func (h *Handler) hold(ctx context.Context, u upload.Upload, at object.Location, facts object.Facts) error {
	if _, err := h.Settler.Hold(ctx, u, facts); err != nil {
		return h.rejectFor(ctx, u, at, facts, refusedPath(err))
	}
	h.Metrics.Add("IngestQuarantined", 1)
	h.Log.LogAttrs(ctx, slog.LevelInfo, "version waits for the scanner")
	return h.submit(ctx, at, facts.Size)
}

func (h *Handler) submit(ctx context.Context, at object.Location, size int64) error {
	if err := h.Scanner.Submit(ctx, scan.Request{Key: at.Key, VersionID: at.VersionID, Size: size}); err != nil {
		return fmt.Errorf("have %s scanned: %w", at, err)
	}
	return nil
}

// verdict acts on what a scanner says of a version. It may say so before S3 has told of
// the version, and more than once.
func (h *Handler) verdict(ctx context.Context, v scan.Verdict) error {
	at := v.Location()
	ctx = observe.With(ctx, slog.String("key", at.Key), slog.String("version", at.VersionID))
	key, err := object.ParseKey(at.Key)
	if err != nil {
		h.Metrics.Add("IngestForeignKeys", 1)
		h.Log.LogAttrs(ctx, slog.LevelWarn, "verdict on a key that is not content")
		return nil //nolint:nilerr // a key that is not ours is nothing to fail for
	}
	ctx = observe.With(ctx, slog.String("workspace", key.Workspace), slog.String("upload", key.Version))
	h.Metrics.Add("ScanVerdicts", 1, observe.Dimension{Name: "result", Value: string(v.Result)})
	u, err := h.Catalog.Upload(ctx, key.Workspace, key.Version)
	switch {
	case fault.Is(err, fault.NotFound):
		return poisonf("no upload is known for %s: %w", at, err)
	case err != nil:
		return err
	case u.S3Key != at.Key:
		return poisonf("upload %s writes to %s, not to %s", u.ID, u.S3Key, at)
	case decided(u, at):
		return h.known(ctx, u, v)
	case !v.Result.Conclusive():
		return h.inconclusive(ctx, u, v)
	}
	return h.decide(ctx, key, u, at, &v)
}

// known deals with a verdict on a version that was decided on before. Malware in what was
// published is for a person: a scanner has learned of it too late, or was switched on
// after it.
func (h *Handler) known(ctx context.Context, u upload.Upload, v scan.Verdict) error {
	if v.Result == scan.Infected && u.Keeps(v.VersionID) {
		h.Metrics.Add("ScanMalwareInAvailable", 1)
		h.Log.LogAttrs(ctx, slog.LevelError, "malware in an object that is available", slog.String("object", u.ObjectID), slog.Any("threats", v.Threats))
		return nil
	}
	if u.State != upload.Available && u.S3VersionID == v.VersionID {
		return h.clear(ctx, u, v.Location()) // which the first delivery may not have come to
	}
	h.Metrics.Add("IngestRepeats", 1)
	return nil
}

// inconclusive leaves a version in quarantine, and says so: to who watches the metric, and
// to who reads the upload.
func (h *Handler) inconclusive(ctx context.Context, u upload.Upload, v scan.Verdict) error {
	h.Metrics.Add("ScanInconclusive", 1)
	h.Log.LogAttrs(ctx, slog.LevelError, "scanner came to no verdict", slog.String("result", string(v.Result)), slog.String("detail", v.Detail))
	return h.Settler.NoteUpload(ctx, u.Workspace, u.ID, object.Reason{Code: fault.ScanInconclusive, Detail: v.Reason()})
}
