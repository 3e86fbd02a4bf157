package sweeper

import (
	"context"
	"iter"
	"log/slog"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

const (
	// passEvery is the least time between the beginnings of two passes over bytes. S3
	// Inventory reports once a day.
	passEvery = 20 * time.Hour
	// fresh is how old bytes must be to be looked at: whoever brought them is still at
	// work on them.
	fresh = time.Hour
	// looksBack is for how long a pass looks at a version again. When it is older,
	// every verdict on it has been reached: limits.UnknownBytes is the longest wait.
	looksBack = limits.UnknownBytes + 10*24*time.Hour
	// chunk is how many versions are dealt with before the place is noted.
	chunk = 256
)

// bytesMark is the place of a pass over bytes.
type bytesMark struct {
	// Done is when the last pass that was completed had begun, Since the age from which
	// on it and those before it have left nothing.
	Done  time.Time `json:"done,omitzero"`
	Since time.Time `json:"since,omitzero"`
	// Began is when the pass under way began. It is zero when none is.
	Began time.Time `json:"began,omitzero"`
	// Parts is set when the pass has come to the multipart uploads.
	Parts bool   `json:"parts,omitempty"`
	After string `json:"after,omitempty"`
	// Left is set when the pass has left something that has to be looked at again.
	Left bool `json:"left,omitempty"`
}

// bytes goes on with a pass over all that the bucket holds, or begins one when the last
// one was long enough ago.
func (r *run) bytes(ctx, work context.Context) error {
	var mark bytesMark
	if err := r.load(ctx, &mark); err != nil {
		return err
	}
	if mark.Began.IsZero() {
		if r.now.Sub(mark.Done) < passEvery {
			r.Complete = true
			return nil
		}
		mark = bytesMark{Done: mark.Done, Since: mark.Since, Began: r.now}
	}
	if err := r.pass(work, &mark); err != nil {
		if fault.Is(err, fault.NotFound) || fault.Is(err, fault.InvalidArgument) {
			mark = bytesMark{Done: mark.Done, Since: mark.Since} // the report is gone: begin anew
		}
		if saveErr := r.save(ctx, mark); saveErr != nil {
			return saveErr
		}
		return err
	}
	if stopped(work) {
		return r.save(ctx, mark) // and the next invocation goes on
	}
	r.Complete = true
	next := bytesMark{Done: mark.Began, Since: mark.Since}
	if !mark.Left {
		next.Since = mark.Began.Add(-looksBack)
	}
	return r.save(ctx, next)
}

// pass looks at the versions and then at the multipart uploads.
func (r *run) pass(work context.Context, mark *bytesMark) error {
	if !mark.Parts {
		versions := r.Contents.Versions(work, mark.After)
		err := sweepAll(work, r, mark, versions, func(v object.Stored) string { return v.Mark }, aboutVersion,
			func(ctx context.Context, v object.Stored) error { return r.version(ctx, v, mark.Since) })
		if err != nil || stopped(work) {
			return err
		}
		mark.Parts, mark.After = true, ""
	}
	parts := r.Multiparts.Multiparts(work, mark.After)
	return sweepAll(work, r, mark, parts, func(p object.Parts) string { return p.Mark }, aboutParts, r.parts)
}

func aboutVersion(v object.Stored) []slog.Attr {
	return []slog.Attr{slog.String("key", v.Key), slog.String("version", v.VersionID)}
}

func aboutParts(p object.Parts) []slog.Attr { return []slog.Attr{slog.String("key", p.Key)} }

// sweepAll deals with all of a listing, chunk by chunk, and moves the mark behind each.
func sweepAll[T any](work context.Context, r *run, mark *bytesMark, all iter.Seq2[T, error], markOf func(T) string, about func(T) []slog.Attr, deal func(context.Context, T) error) error {
	pending := make([]T, 0, chunk)
	flush := func() bool {
		complete := each(work, r, pending, about, deal)
		if stopped(work) {
			return false
		}
		mark.Left = mark.Left || !complete
		if len(pending) > 0 {
			mark.After = markOf(pending[len(pending)-1])
		}
		pending = pending[:0]
		return true
	}
	for item, err := range all {
		if err != nil {
			if stopped(work) {
				return nil
			}
			return err
		}
		if pending = append(pending, item); len(pending) == chunk && !flush() {
			return nil
		}
	}
	flush()
	return nil
}

// version deletes a version that belongs to nobody.
func (r *run) version(ctx context.Context, v object.Stored, since time.Time) error {
	if v.ModifiedAt.After(r.now.Add(-fresh)) || v.ModifiedAt.Before(since) {
		return nil
	}
	key, err := object.ParseKey(v.Key)
	if err != nil {
		r.Metrics.Add("SweepForeignKeys", 1)
		r.Log.LogAttrs(ctx, slog.LevelWarn, "key is not of an upload")
		return nil //nolint:nilerr // what is not ours is left alone
	}
	u, err := r.Catalog.Upload(ctx, key.Workspace, key.Version)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && u.S3Key != v.Key:
		return r.unknown(ctx, key, v)
	case err != nil:
		return err
	case !u.State.Ended(), u.Keeps(v.VersionID):
		return nil
	case u.State != upload.Available && v.Seal():
		return r.seal(ctx, u, v)
	case u.State != upload.Available:
		// Close deletes the version together with any other, seals the key and gives
		// back what may still be held.
		if err := r.Closer.Close(ctx, u); err != nil {
			return err
		}
		r.deleted(ctx, v, "upload is "+string(u.State))
		return nil
	default:
		return r.delete(ctx, v, "another version was published")
	}
}

// seal removes a seal once no signed request can be under way any more.
func (r *run) seal(ctx context.Context, u upload.Upload, v object.Stored) error {
	if r.now.Before(u.ExpiresAt.Add(limits.SealLife)) {
		return nil
	}
	if err := r.Versions.DeleteVersion(ctx, v.Location); err != nil {
		return err
	}
	r.Metrics.Add("SweepRemovedSeals", 1)
	return nil
}

// unknown deals with a version of which no upload is known: it is an object's whose
// upload's record has expired, or nobody's.
func (r *run) unknown(ctx context.Context, key object.KeyParts, v object.Stored) error {
	known, err := r.Catalog.Version(ctx, key.Workspace, key.ObjectID, key.Version)
	switch {
	case err == nil && known.State == object.Available && known.S3Key == v.Key && known.S3VersionID == v.VersionID:
		return nil
	case err != nil && !fault.Is(err, fault.NotFound):
		return err
	case r.now.Sub(v.ModifiedAt) < limits.UnknownBytes:
		r.Metrics.Add("SweepBytesWithoutUpload", 1)
		r.Log.LogAttrs(ctx, slog.LevelWarn, "bytes without an upload", slog.Int64("size", v.Size), slog.Time("since", v.ModifiedAt))
		return nil
	default:
		return r.delete(ctx, v, "no upload is known")
	}
}

func (r *run) delete(ctx context.Context, v object.Stored, why string) error {
	if err := r.Versions.DeleteVersion(ctx, v.Location); err != nil {
		return err
	}
	r.deleted(ctx, v, why)
	return nil
}

func (r *run) deleted(ctx context.Context, v object.Stored, why string) {
	r.Metrics.Add("SweepDeletedVersions", 1)
	r.Log.LogAttrs(ctx, slog.LevelInfo, "version deleted for good", slog.Int64("size", v.Size), slog.String("because", why))
}

// parts aborts a multipart upload that no upload waits for.
func (r *run) parts(ctx context.Context, p object.Parts) error {
	if p.BegunAt.After(r.now.Add(-fresh)) {
		return nil
	}
	key, err := object.ParseKey(p.Key)
	if err != nil {
		r.Metrics.Add("SweepForeignKeys", 1)
		return nil //nolint:nilerr // what is not ours is left alone
	}
	u, err := r.Catalog.Upload(ctx, key.Workspace, key.Version)
	switch {
	case err != nil && !fault.Is(err, fault.NotFound):
		return err
	case err == nil && !u.State.Ended() && u.S3UploadID == p.UploadID:
		return nil
	}
	if err := r.Multiparts.AbortParts(ctx, p); err != nil {
		return err
	}
	r.Metrics.Add("SweepAbortedMultiparts", 1)
	r.Log.LogAttrs(ctx, slog.LevelInfo, "parts discarded")
	return nil
}
