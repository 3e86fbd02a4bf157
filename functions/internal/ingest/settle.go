package ingest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/scan"
	"github.com/stowage-dev/stowage/shared/upload"
)

// ingest deals with one thing that happened to one version.
func (h *Handler) ingest(ctx context.Context, r record) error {
	key, err := object.ParseKey(r.at.Key)
	if err != nil {
		h.Metrics.Add("IngestForeignKeys", 1)
		h.Log.LogAttrs(ctx, slog.LevelWarn, "S3 event for a key that is not content", slog.String("event", r.event))
		return nil //nolint:nilerr // a key that is not ours is nothing to fail for
	}
	family, what := r.family()
	var deal func(context.Context, object.KeyParts, record) error
	switch {
	case family == created:
		deal = h.settle
	case (family == removed || family == expired) && what != markerCreated:
		deal = h.gone
	case family == transitioned:
		deal = h.moved
	default:
		h.passOver(ctx, family, what)
		return nil
	}
	if r.at.VersionID == "" {
		return poisonf("S3 record of %s names no version", r.at.Key)
	}
	ctx = observe.With(ctx, slog.String("workspace", key.Workspace), slog.String("upload", key.Version))
	return deal(ctx, key, r)
}

// settle does what is left to do for a version, by the state of its upload.
func (h *Handler) settle(ctx context.Context, key object.KeyParts, r record) error {
	at := r.at
	u, err := h.Catalog.Upload(ctx, key.Workspace, key.Version)
	switch {
	case fault.Is(err, fault.NotFound):
		// The bytes stay in quarantine: who knows whose they are.
		return poisonf("no upload is known for %s: %w", at, err)
	case err != nil:
		return err
	case u.S3Key != at.Key:
		return poisonf("upload %s writes to %s, not to %s", u.ID, u.S3Key, at)
	case seals(u, r):
		h.Metrics.Add("IngestSeals", 1)
		return nil
	case decided(u, at):
		return h.clear(ctx, u, at)
	case u.Waits(at.VersionID) && h.Scanner != nil:
		h.Metrics.Add("IngestRepeats", 1)
		return h.submit(ctx, at, r.size) // which the first delivery may not have come to
	}
	return h.decide(ctx, key, u, at, nil)
}

// decided reports whether it is already known that a version is not the upload's, or that
// it is: the upload has ended, or waits with another version for a scanner.
func decided(u upload.Upload, at object.Location) bool {
	return u.State.Ended() || u.State == upload.Quarantined && !u.Waits(at.VersionID)
}

// decide verifies a version of an upload that was undecided when it was read, and does
// what follows from that and from the scanner's verdict, if there is one.
func (h *Handler) decide(ctx context.Context, key object.KeyParts, u upload.Upload, at object.Location, v *scan.Verdict) error {
	err := h.verifyAndPublish(ctx, u, at, v)
	var gone lost
	switch {
	case fault.Is(err, fault.UploadEnded), fault.Is(err, fault.Conflict):
		return h.clearDecided(ctx, key, at)
	case errors.As(err, &gone):
		return h.explain(ctx, key, at, gone)
	}
	return err
}

// explain deals with a version that went while it was looked at. Another delivery of
// the same event may have rejected it; nobody else removes versions of open uploads.
func (h *Handler) explain(ctx context.Context, key object.KeyParts, at object.Location, gone lost) error {
	u, err := h.Catalog.Upload(ctx, key.Workspace, key.Version)
	if err != nil {
		return err
	}
	if !decided(u, at) {
		return poisonf("%s was removed before it was verified: %w", at, gone)
	}
	return h.clear(ctx, u, at)
}

// verifyAndPublish decides on a version. Without a verdict it only has it scanned, where
// there is a scanner.
func (h *Handler) verifyAndPublish(ctx context.Context, u upload.Upload, at object.Location, v *scan.Verdict) error {
	if v != nil && v.Result != scan.Clean {
		facts := object.Facts{Size: u.Size, S3VersionID: at.VersionID}
		return h.rejectFor(ctx, u, at, facts, refusal{fault.New(fault.MalwareFound, "%s", v.Reason())})
	}
	facts, err := h.verify(ctx, u, at)
	if err != nil {
		return h.rejectFor(ctx, u, at, facts, err)
	}
	if v == nil && h.Scanner != nil {
		return h.hold(ctx, u, at, facts)
	}
	if err := h.Quarantine.SetVerdict(ctx, at, object.VerdictAvailable); err != nil {
		return missing(err)
	}
	o, err := h.Settler.Publish(ctx, u, facts)
	if err != nil {
		return h.rejectFor(ctx, u, at, facts, refusedPath(err))
	}
	h.Metrics.Add("IngestPublished", 1)
	h.Metrics.Observe("IngestPublishedBytes", observe.Bytes, float64(facts.Size))
	h.Log.LogAttrs(ctx, slog.LevelInfo, "object published", slog.String("object", o.ID), slog.Int64("rev", o.Rev))
	return nil
}

// refusedPath makes a path that is taken a verdict.
func refusedPath(err error) error {
	if fault.Is(err, fault.PathTaken) {
		return refusal{err}
	}
	return err
}

// rejectFor rejects the upload when err is a refusal, and passes on any other error.
func (h *Handler) rejectFor(ctx context.Context, u upload.Upload, at object.Location, facts object.Facts, err error) error {
	var no refusal
	if !errors.As(err, &no) {
		return err
	}
	why := object.Reason{Code: fault.CodeOf(no.error), Detail: no.Error()}
	u, err = h.Settler.RejectUpload(ctx, u, facts, why)
	if err != nil {
		return err
	}
	h.Metrics.Add("IngestRejected", 1, observe.Dimension{Name: "code", Value: string(why.Code)})
	h.Log.LogAttrs(ctx, slog.LevelWarn, "upload rejected", slog.String("code", string(why.Code)), slog.String("detail", why.Detail))
	return h.clear(ctx, u, at)
}

// clearDecided reads an upload again that was decided on while its version was looked at.
func (h *Handler) clearDecided(ctx context.Context, key object.KeyParts, at object.Location) error {
	u, err := h.Catalog.Upload(ctx, key.Workspace, key.Version)
	if err != nil {
		return err
	}
	if !decided(u, at) {
		return fmt.Errorf("upload %s is %s, after it was said to have ended", u.ID, u.State)
	}
	return h.clear(ctx, u, at)
}

// seals reports whether a version does no more than keep its key closed: an empty one of
// an upload that has ended without an object, and that holds no quota any more or is
// being closed by whoever ended it.
func seals(u upload.Upload, r record) bool {
	return r.size == 0 && u.State.Ended() && u.State != upload.Available && u.S3VersionID != r.at.VersionID
}

// clear deals with a version whose upload has ended, or waits with another version: it
// stays only if it is the one that was published. Quota is given back after the bytes are gone and the key is
// closed, never before.
func (h *Handler) clear(ctx context.Context, u upload.Upload, at object.Location) error {
	if u.Keeps(at.VersionID) {
		h.Metrics.Add("IngestRepeats", 1)
		return nil
	}
	if err := h.Quarantine.Delete(ctx, at); err != nil {
		return err
	}
	h.Metrics.Add("IngestDeletedVersions", 1)
	h.Log.LogAttrs(ctx, slog.LevelInfo, "version deleted for good", slog.String("uploadState", string(u.State)))
	if len(u.Reservation) == 0 || u.S3VersionID != "" && u.S3VersionID != at.VersionID {
		return nil // nothing is held, or it is held for another version of the key
	}
	if err := h.Sealer.Seal(ctx, u.S3Key); err != nil {
		return err
	}
	return h.Settler.ReleaseUpload(ctx, u.Workspace, u.ID)
}
