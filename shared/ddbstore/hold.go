package ddbstore

import (
	"context"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Hold keeps verified bytes in quarantine until a scanner has looked at them: one
// transaction puts the upload into the state Quarantined and gives back its place
// among the open ones, but not its bytes. When the path is free it also writes the
// object, in quarantine, and its claim on the path. A path's owner of which the upload
// wants to become a version stays as it is until Publish: what is not yet scanned takes
// the place of nothing.
//
// Holding the same S3 version again returns the upload and changes nothing. A PathTaken
// error says that another object owns the path, UploadEnded that the upload has ended
// or holds another version of its key, and Conflict that this very version was
// published.
func (s *Store) Hold(ctx context.Context, u upload.Upload, f object.Facts) (upload.Upload, error) {
	var held upload.Upload
	attempt := 0
	err := s.repeat(ctx, "hold", u.ID, func() error {
		var err error
		if attempt > 0 {
			if u, err = s.Upload(ctx, u.Workspace, u.ID); err != nil {
				return err
			}
		}
		attempt++
		held, err = s.hold(ctx, u, f)
		return err
	})
	if err != nil {
		return upload.Upload{}, err
	}
	return held, nil
}

func (s *Store) hold(ctx context.Context, u upload.Upload, f object.Facts) (upload.Upload, error) {
	switch {
	case u.Waits(f.S3VersionID):
		return u, nil
	case u.Keeps(f.S3VersionID):
		return upload.Upload{}, fault.New(fault.Conflict, "the version was published")
	}
	if err := holdsAnother(u, f); err != nil {
		return upload.Upload{}, err
	}
	to, err := upload.Transition(u.State, upload.Hold, upload.Ingest)
	if err != nil {
		return upload.Upload{}, err
	}
	after := u
	slot, rest := workspace.Divide(u.Reservation, workspace.Amount{Uploads: u.Wants().Uploads})
	after.State, after.S3VersionID, after.Reservation = to, f.S3VersionID, rest
	after.Rev++

	_, err = s.PathOwner(ctx, u.Workspace, u.Path)
	switch {
	case fault.Is(err, fault.NotFound):
		if after.ObjectID, err = s.unusedID(ctx, u); err != nil {
			return upload.Upload{}, err
		}
		after.Holds = true
		o := s.quarantined(after, f)
		return after, s.settle(ctx, u, after, workspace.Release(slot),
			put(s, aPath, s.schema.Paths, object.Claim{Workspace: o.Workspace, Path: o.Path, ObjectID: o.ID}, absent()),
			put(s, anObject, s.schema.Objects, o, absent()))
	case err != nil:
		return upload.Upload{}, err
	case u.IfExists == upload.NewVersion:
		return after, s.settle(ctx, u, after, workspace.Release(slot))
	}
	return upload.Upload{}, s.pathTaken(ctx, u)
}

// quarantined is the object of an upload that waits for a scanner.
func (s *Store) quarantined(u upload.Upload, f object.Facts) object.Object {
	parent, name := object.SplitPath(u.Path)
	now := s.now()
	u.EndedAt = now
	return current(object.Object{
		Workspace: u.Workspace,
		ID:        u.ObjectID,
		Path:      u.Path,
		Parent:    parent,
		Name:      name,
		State:     object.Quarantined,
		CreatedAt: now,
		CreatedBy: u.CreatedBy,
	}, u, f)
}

// holdsAnother is the error of a version whose upload waits for a scanner with another
// version of its key.
func holdsAnother(u upload.Upload, f object.Facts) error {
	if u.State == upload.Quarantined && u.S3VersionID != f.S3VersionID {
		return fault.New(fault.UploadEnded, "the upload is %s with another version of its key", u.State).With("state", string(u.State))
	}
	return nil
}

// publishHeld publishes the upload for which its object is in quarantine. In the
// meantime that object can have been deleted, and then stays it; and another version
// can have taken its place.
func (s *Store) publishHeld(ctx context.Context, before, after upload.Upload, f object.Facts) (object.Object, error) {
	o, err := s.Object(ctx, before.Workspace, before.ObjectID)
	if err != nil {
		return object.Object{}, err
	}
	rev, tags, metadata := o.Rev, o.Tags, o.Metadata
	first := o.Version == before.ID
	kept := workspace.Amount{Bytes: f.Size}
	if first {
		kept.Objects = 1
	}
	switch {
	case first && o.State == object.Quarantined:
		o = current(o, after, f)
		o.State, o.Tags, o.Metadata = object.Available, tags, metadata
	case o.State == object.Available && after.ID > o.Version:
		o = current(o, after, f)
	default:
		o.Rev++
		o.UpdatedAt = latest(after.EndedAt, o.UpdatedAt)
	}
	o.Stored += f.Size
	quota, err := settled(before, f, kept)
	if err != nil {
		return object.Object{}, err
	}
	return o, s.settle(ctx, before, after, quota,
		put(s, anObject, s.schema.Objects, o, unchanged(rev)),
		put(s, aVersion, s.schema.Versions, version(after, f, object.Available), absent()))
}

// takeOver makes an upload the current version of an object whose first version still
// waits for a scanner. That one becomes a part of the history, if it is clean.
func (s *Store) takeOver(ctx context.Context, before, after upload.Upload, f object.Facts, o object.Object) (object.Object, error) {
	quota, err := settled(before, f, workspace.Amount{Bytes: f.Size, Objects: 1})
	if err != nil {
		return object.Object{}, err
	}
	rev := o.Rev
	o = current(o, after, f)
	o.State = object.Available
	o.Stored = f.Size
	return o, s.settle(ctx, before, after, quota,
		put(s, anObject, s.schema.Objects, o, unchanged(rev)),
		put(s, aVersion, s.schema.Versions, version(after, f, object.Available), absent()))
}

// rejectHeld returns what the rejection of an upload does to the object that waits for
// it: nothing when another version has taken its place.
func (s *Store) rejectHeld(ctx context.Context, u upload.Upload, why object.Reason) ([]action, error) {
	o, err := s.Object(ctx, u.Workspace, u.ObjectID)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && o.Version != u.ID:
		return nil, nil
	case err != nil:
		return nil, err
	}
	rev, owned := o.Rev, o.State.OwnsPath()
	o.Rev++
	o.State, o.Reason = object.Rejected, &why
	o.UpdatedAt, o.UpdatedBy = latest(s.now(), o.UpdatedAt), u.CreatedBy
	o.DeletedAt = time.Time{}
	actions := []action{put(s, anObject, s.schema.Objects, o, unchanged(rev))}
	if owned {
		claim := object.Claim{Workspace: o.Workspace, Path: o.Path, ObjectID: o.ID}
		actions = append(actions, remove(s, aPath, s.schema.Paths, claim, s.ownedBy(claim)))
	}
	return actions, nil
}

// NoteUpload records why an upload that has not ended waits, such as for a scanner that
// came to no verdict. One that has ended is left alone.
func (s *Store) NoteUpload(ctx context.Context, ws, id string, why object.Reason) error {
	_, err := s.change(ctx, "note on upload", ws, id, func(u upload.Upload) (upload.Upload, bool, error) {
		if u.State.Ended() || u.Reason != nil && *u.Reason == why {
			return u, false, nil
		}
		u.Reason = &why
		u.Rev++
		return u, true, nil
	})
	return err
}
