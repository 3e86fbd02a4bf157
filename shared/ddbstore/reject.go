package ddbstore

import (
	"context"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// RejectUpload records that the bytes of an upload were refused, and why. Where
// the object has no version yet it becomes a rejected object without a path, so
// that its client finds it; the rejected version of an object that exists
// changes nothing in that object.
//
// The upload keeps its reservation until ReleaseUpload, which is for when the
// bytes are gone. Rejecting again returns the upload and changes nothing. An
// UploadEnded error says that the upload ended in another way, without these
// bytes; a Conflict, that these very bytes were published.
func (s *Store) RejectUpload(ctx context.Context, u upload.Upload, f object.Facts, r object.Reason) (upload.Upload, error) {
	return s.rejectBy(ctx, u, upload.Ingest, f, r)
}

func (s *Store) rejectBy(ctx context.Context, u upload.Upload, by upload.Actor, f object.Facts, r object.Reason) (upload.Upload, error) {
	var rejected upload.Upload
	attempt := 0
	err := s.repeat(ctx, "reject upload", u.ID, func() error {
		var err error
		if attempt > 0 {
			if u, err = s.Upload(ctx, u.Workspace, u.ID); err != nil {
				return err
			}
		}
		attempt++
		rejected, err = s.reject(ctx, u, by, f, r)
		return err
	})
	if err != nil {
		return upload.Upload{}, err
	}
	return rejected, nil
}

func (s *Store) reject(ctx context.Context, u upload.Upload, by upload.Actor, f object.Facts, r object.Reason) (upload.Upload, error) {
	switch {
	case u.EndedAs(upload.Reject):
		return u, nil
	case u.Keeps(f.S3VersionID):
		return upload.Upload{}, fault.New(fault.Conflict, "the version was published")
	}
	if err := holdsAnother(u, f); err != nil {
		return upload.Upload{}, err
	}
	after, err := u.End(upload.Reject, by, s.now())
	if err != nil {
		return upload.Upload{}, err
	}
	after.S3VersionID, after.Reason, after.Holds = f.S3VersionID, &r, false
	verdict := version(after, f, object.Rejected)
	actions := []action{put(s, aVersion, s.schema.Versions, verdict, absent())}

	if u.Holds {
		held, err := s.rejectHeld(ctx, u, r)
		if err != nil {
			return upload.Upload{}, err
		}
		return after, s.settle(ctx, u, after, nil, append(actions, held...)...)
	}
	_, err = s.Object(ctx, u.Workspace, u.ObjectID)
	switch {
	case fault.Is(err, fault.NotFound):
		actions = append(actions, put(s, anObject, s.schema.Objects, rejectedObject(after, f), absent()))
	case err != nil:
		return upload.Upload{}, err
	}
	return after, s.settle(ctx, u, after, nil, actions...)
}

func rejectedObject(u upload.Upload, f object.Facts) object.Object {
	parent, name := object.SplitPath(u.Path)
	return current(object.Object{
		Workspace: u.Workspace,
		ID:        u.ObjectID,
		Path:      u.Path,
		Parent:    parent,
		Name:      name,
		State:     object.Rejected,
		Reason:    u.Reason,
		CreatedAt: u.EndedAt,
		CreatedBy: u.CreatedBy,
	}, u, f)
}
