package sweeper

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/upload"
)

const (
	// firstLook is how far back the first pass of all looks. It is longer than an upload
	// can live.
	firstLook = 40 * 24 * time.Hour
	// settled is how far back every pass looks: the index lags, and clocks differ.
	settled = 2 * time.Hour
	// pageSize is how many uploads are read at a time.
	pageSize = 100
	// patience is for how long an upload whose bytes have arrived is left alone before
	// it is looked at again.
	patience = 6 * time.Hour
)

// uploadsMark is the place of a pass over uploads.
type uploadsMark struct {
	// Since is the hour before which the index is known to hold nothing. Nothing can
	// come to lie there any more: an upload is put into the index under a time to come,
	// or, when it ends, the present.
	Since time.Time `json:"since"`
	// Hour, Shard and After are where a pass that is under way goes on; Hour is zero
	// when none is.
	Hour  time.Time `json:"hour,omitzero"`
	Shard int       `json:"shard,omitempty"`
	After string    `json:"after,omitempty"`
	// Left is the first hour in which the pass has left something.
	Left time.Time `json:"left,omitzero"`
}

// uploads makes a pass over what is due: from the first hour that may hold something to
// the present one.
func (r *run) uploads(ctx, work context.Context) error {
	mark := uploadsMark{Since: hourOf(r.now.Add(-firstLook))}
	if err := r.load(ctx, &mark); err != nil {
		return err
	}
	if mark.Hour.IsZero() {
		mark.Hour, mark.Shard, mark.After, mark.Left = mark.Since, 0, "", time.Time{}
	}
	for !mark.Hour.After(r.now) {
		err := r.page(work, &mark)
		if err != nil || stopped(work) {
			if saveErr := r.save(ctx, mark); saveErr != nil {
				return saveErr
			}
			if stopped(work) {
				return nil // and the next invocation goes on
			}
			return err
		}
	}
	next := hourOf(r.now.Add(-settled))
	if !mark.Left.IsZero() && mark.Left.Before(next) {
		next = mark.Left
	}
	if next.After(mark.Since) {
		mark.Since = next
	}
	r.Complete = true
	return r.save(ctx, uploadsMark{Since: mark.Since})
}

func hourOf(t time.Time) time.Time { return t.UTC().Truncate(time.Hour) }

// page deals with one page of the index and moves the mark behind it, unless the time was
// up before all of it was looked at.
func (r *run) page(work context.Context, mark *uploadsMark) error {
	found, next, err := r.Index.DueUploads(work, mark.Hour, mark.Shard, r.now, catalog.Page{Limit: pageSize, After: mark.After})
	if err != nil {
		if fault.Is(err, fault.InvalidArgument) {
			mark.After = "" // a place that is none
		}
		return err
	}
	all := each(work, r, found, func(p upload.Pending) []slog.Attr {
		return []slog.Attr{slog.String("workspace", p.Workspace), slog.String("upload", p.ID)}
	}, r.upload)
	if stopped(work) {
		return nil
	}
	if !all && mark.Left.IsZero() {
		mark.Left = mark.Hour
	}
	switch mark.After = next; {
	case next != "":
	case mark.Shard+1 < catalog.ExpiryShards:
		mark.Shard++
	default:
		mark.Hour, mark.Shard = mark.Hour.Add(time.Hour), 0
	}
	return nil
}

// upload ends and closes one upload, if it is still due.
func (r *run) upload(ctx context.Context, p upload.Pending) error {
	u, err := r.Catalog.Upload(ctx, p.Workspace, p.ID)
	switch {
	case fault.Is(err, fault.NotFound):
		return nil // the index lags behind
	case err != nil:
		return err
	case len(u.Reservation) == 0, u.Due().After(r.now):
		return nil
	}
	if !u.State.Ended() {
		if u, err = r.expire(ctx, u); err != nil || !u.State.Ended() || len(u.Reservation) == 0 {
			return err
		}
	}
	if err := r.Closer.Close(ctx, u); err != nil {
		return err
	}
	r.Metrics.Add("SweepClosedUploads", 1)
	r.Log.LogAttrs(ctx, slog.LevelInfo, "upload closed", slog.String("uploadState", string(u.State)))
	return nil
}

// expire ends an upload whose time is up, and returns it as it is then. An upload whose
// bytes have arrived was not left behind by its client: it waits for their verification,
// for as long as their notification can be redriven.
func (r *run) expire(ctx context.Context, u upload.Upload) (upload.Upload, error) {
	if u.State == upload.Quarantined {
		// It is the scanner's, for as long as that takes: it is not opened, nor thrown away.
		r.Metrics.Add("SweepUnscannedUploads", 1)
		r.Log.LogAttrs(ctx, slog.LevelWarn, "bytes wait for a scanner's verdict")
		return r.Ender.PostponeUpload(ctx, u.Workspace, u.ID, r.now.Add(patience))
	}
	held, err := r.Versions.Held(ctx, u.S3Key)
	if err != nil {
		return u, fmt.Errorf("look for the bytes of upload %s: %w", u.ID, err)
	}
	if len(held) > 0 && r.now.Sub(held[0].ModifiedAt) < limits.UnverifiedBytes {
		r.Metrics.Add("SweepUnverifiedUploads", 1)
		r.Log.LogAttrs(ctx, slog.LevelWarn, "bytes wait for their verification", slog.Time("since", held[0].ModifiedAt))
		return r.Ender.PostponeUpload(ctx, u.Workspace, u.ID, r.now.Add(patience))
	}
	ended, err := r.Ender.EndUpload(ctx, u.Workspace, u.ID, upload.Expire, upload.Sweeper)
	switch {
	case fault.Is(err, fault.UploadEnded): // in another way, a moment ago
		return r.Catalog.Upload(ctx, u.Workspace, u.ID)
	case err != nil:
		return u, err
	}
	r.Metrics.Add("SweepExpiredUploads", 1)
	return ended, nil
}
