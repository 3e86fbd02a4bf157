package ddbstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// OpenUpload writes a new upload of w together with its reservation, and returns
// it with its state, key and reservation. It returns a TooLarge error beyond the
// workspace's largest object and a QuotaExceeded error, with the figures, beyond
// what is available. Opening the very same upload again changes nothing.
func (s *Store) OpenUpload(ctx context.Context, w workspace.Workspace, u upload.Upload) (upload.Upload, error) {
	if err := u.Validate(); err != nil {
		return upload.Upload{}, err
	}
	if u.Workspace != w.ID {
		return upload.Upload{}, fault.Invalid("workspace", "the upload belongs to %q, not to %q", u.Workspace, w.ID)
	}
	if u.Size > w.Quota.MaxObjectBytes {
		return upload.Upload{}, fault.New(fault.TooLarge, "the largest object of this workspace has %d bytes", w.Quota.MaxObjectBytes).
			With("size", u.Size).With("limit", w.Quota.MaxObjectBytes)
	}
	u.State, u.Rev = upload.Open, 1
	u.S3Key = object.Key(u.Workspace, u.ObjectID, u.ID)
	u.CreatedAt, u.ExpiresAt = stored(u.CreatedAt), stored(u.ExpiresAt)
	u.Reservation = []workspace.Share{{Shard: s.anyShard(w), Amount: u.Wants()}}

	err := s.repeat(ctx, "open upload", u.ID, func() error {
		err := s.commit(ctx, append(
			s.moves(u.Workspace, workspace.Reserve(u.Reservation)),
			put(s, anUpload, s.schema.Uploads, u, absent()),
		)...)
		switch {
		case refusedBy(err, anUpload):
			u, err = s.reopened(ctx, u)
			return err
		case refusedBy(err, aShard):
			shares, planErr := s.plan(ctx, w, u.Wants())
			if planErr != nil {
				return planErr
			}
			u.Reservation = shares
			return lostRace(err)
		case errors.Is(err, errLostRace):
			u.Reservation = []workspace.Share{{Shard: s.anyShard(w), Amount: u.Wants()}}
		}
		return err
	})
	if err != nil {
		return upload.Upload{}, err
	}
	return u, nil
}

func (s *Store) anyShard(w workspace.Workspace) int {
	return int(s.random(int64(max(w.Shards, 1))))
}

// plan reads what is available and chooses where to reserve.
func (s *Store) plan(ctx context.Context, w workspace.Workspace, want workspace.Amount) ([]workspace.Share, error) {
	shards, err := s.shards(ctx, w)
	if err != nil {
		return nil, err
	}
	shares, ok := workspace.Plan(shards, want, s.anyShard(w))
	if !ok {
		return nil, workspace.Exceeded(shards, want)
	}
	return shares, nil
}

// reopened returns the upload that has u's id. It is u itself when the answer
// to an earlier call was lost; anything else is a Conflict.
func (s *Store) reopened(ctx context.Context, u upload.Upload) (upload.Upload, error) {
	found, err := s.Upload(ctx, u.Workspace, u.ID)
	if err != nil {
		return upload.Upload{}, err
	}
	if found.S3Key != u.S3Key || found.Path != u.Path || found.CreatedBy != u.CreatedBy {
		return upload.Upload{}, fault.New(fault.Conflict, "an upload with the id %s exists", u.ID)
	}
	return found, nil
}

// Upload returns an upload, or a NotFound error.
func (s *Store) Upload(ctx context.Context, ws, id string) (upload.Upload, error) {
	return get(ctx, s, s.schema.Uploads, upload.Upload{Workspace: ws, ID: id}, "upload")
}

// EndUpload aborts or expires an upload. It keeps its reservation until
// ReleaseUpload, which is for when nothing can be stored under its key any more. It
// returns the upload as it is when that has happened before, and an UploadEnded
// error when the upload ended in another way.
func (s *Store) EndUpload(ctx context.Context, ws, id string, e upload.Event, by upload.Actor) (upload.Upload, error) {
	if e != upload.Abort && e != upload.Expire {
		return upload.Upload{}, fmt.Errorf("end upload %s: %s does not end an upload without its bytes", id, e)
	}
	return s.change(ctx, "end upload", ws, id, func(u upload.Upload) (upload.Upload, bool, error) {
		if u.EndedAs(e) {
			return u, false, nil
		}
		ended, err := u.End(e, by, s.now())
		return ended, err == nil, err
	})
}

// ReleaseUpload gives back what an upload that has ended still holds of the
// quota. Call it when its bytes are gone for good. An upload that holds nothing,
// or whose record has expired, is left alone; one that has not ended is a
// Conflict.
func (s *Store) ReleaseUpload(ctx context.Context, ws, id string) error {
	return s.repeat(ctx, "release upload", id, func() error {
		u, err := s.Upload(ctx, ws, id)
		switch {
		case fault.Is(err, fault.NotFound):
			return nil
		case err != nil:
			return err
		case !u.State.Ended():
			return fault.New(fault.Conflict, "the upload is %s and needs its reservation", u.State)
		case len(u.Reservation) == 0:
			return nil
		}
		released := u
		released.Rev++
		released.Reservation = nil
		return s.settle(ctx, u, released, workspace.Release(u.Reservation))
	})
}

// settle writes the upload after a change, moves its quota, and does more, all
// on condition that the upload is still as it was before.
func (s *Store) settle(ctx context.Context, before, after upload.Upload, quota []workspace.Movement, more ...action) error {
	actions := append(more, put(s, anUpload, s.schema.Uploads, after, unchanged(before.Rev)))
	return lostRace(s.commit(ctx, append(actions, s.moves(before.Workspace, quota)...)...))
}
