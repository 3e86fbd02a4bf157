package ddbstore

import (
	"context"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Publish makes verified bytes what their path names: one transaction ends the
// upload, settles its quota, and writes the version, the object and, for a new
// object, its claim on the path.
//
// u is the upload as the caller has read it, f what was verified. Publishing the
// same S3 version again returns the object and changes nothing. When the path
// has another owner, an upload that wants a new version becomes one of that
// object: its current one when it was opened after the one that is, and else a
// part of the history. Any other upload gets a PathTaken error, and nothing was
// written. An UploadEnded error says that the upload has ended without this S3
// version.
func (s *Store) Publish(ctx context.Context, u upload.Upload, f object.Facts) (object.Object, error) {
	var published object.Object
	// Nearly always u is still as it was read and its path is free, which the
	// transaction itself finds out; only after it was refused is it worth
	// reading them.
	look := u.IfExists == upload.NewVersion
	attempt := 0
	err := s.repeat(ctx, "publish", u.ID, func() error {
		var err error
		if attempt > 0 {
			look = true
			if u, err = s.Upload(ctx, u.Workspace, u.ID); err != nil {
				return err
			}
		}
		attempt++
		published, err = s.publish(ctx, u, f, look)
		return err
	})
	if err != nil {
		return object.Object{}, err
	}
	return published, nil
}

func (s *Store) publish(ctx context.Context, u upload.Upload, f object.Facts, look bool) (object.Object, error) {
	if u.Keeps(f.S3VersionID) {
		return s.Object(ctx, u.Workspace, u.ObjectID)
	}
	if err := holdsAnother(u, f); err != nil {
		return object.Object{}, err
	}
	after, err := u.End(upload.Publish, upload.Ingest, s.now())
	if err != nil {
		return object.Object{}, err
	}
	after.S3VersionID = f.S3VersionID
	after.Reservation, after.Reason, after.Holds = nil, nil, false
	if u.Holds {
		return s.publishHeld(ctx, u, after, f)
	}

	if !look {
		return s.publishNew(ctx, u, after, f)
	}
	owner, err := s.PathOwner(ctx, u.Workspace, u.Path)
	switch {
	case fault.Is(err, fault.NotFound):
		if after.ObjectID, err = s.unusedID(ctx, u); err != nil {
			return object.Object{}, err
		}
		return s.publishNew(ctx, u, after, f)
	case err != nil:
		return object.Object{}, err
	case u.IfExists == upload.NewVersion:
		after.ObjectID = owner
		return s.publishVersion(ctx, u, after, f)
	}
	return object.Object{}, s.pathTaken(ctx, u)
}

// publishNew makes the upload the first version of a new object.
func (s *Store) publishNew(ctx context.Context, before, after upload.Upload, f object.Facts) (object.Object, error) {
	quota, err := settled(before, f, workspace.Amount{Bytes: f.Size, Objects: 1})
	if err != nil {
		return object.Object{}, err
	}
	parent, name := object.SplitPath(after.Path)
	o := current(object.Object{
		Workspace: after.Workspace,
		ID:        after.ObjectID,
		Path:      after.Path,
		Parent:    parent,
		Name:      name,
		State:     object.Available,
		Stored:    f.Size,
		CreatedAt: after.EndedAt,
		CreatedBy: after.CreatedBy,
	}, after, f)
	claim := object.Claim{Workspace: o.Workspace, Path: o.Path, ObjectID: o.ID}
	return o, s.settle(ctx, before, after, quota,
		put(s, aPath, s.schema.Paths, claim, absent()),
		put(s, anObject, s.schema.Objects, o, absent()),
		put(s, aVersion, s.schema.Versions, version(after, f, object.Available), absent()),
	)
}

// publishVersion makes the upload a version of the object that after names.
func (s *Store) publishVersion(ctx context.Context, before, after upload.Upload, f object.Facts) (object.Object, error) {
	quota, err := settled(before, f, workspace.Amount{Bytes: f.Size})
	if err != nil {
		return object.Object{}, err
	}
	o, err := s.Object(ctx, after.Workspace, after.ObjectID)
	switch {
	case fault.Is(err, fault.NotFound), err == nil && !o.State.OwnsPath():
		return object.Object{}, errLostRace // the path was freed since it was read
	case err != nil:
		return object.Object{}, err
	case o.State == object.Quarantined:
		return s.takeOver(ctx, before, after, f, o)
	}
	rev := o.Rev
	if after.ID > o.Version {
		o = current(o, after, f)
	} else { // what it holds has changed, and those who keep books are to learn it
		o.Rev++
		o.UpdatedAt = latest(after.EndedAt, o.UpdatedAt)
	}
	o.Stored += f.Size
	return o, s.settle(ctx, before, after, quota,
		put(s, anObject, s.schema.Objects, o, unchanged(rev)),
		put(s, aVersion, s.schema.Versions, version(after, f, object.Available), absent()))
}

// pathTaken is the error of an upload whose path has an owner. The owner may be
// this very upload, published by somebody else since it was read.
func (s *Store) pathTaken(ctx context.Context, u upload.Upload) error {
	now, err := s.Upload(ctx, u.Workspace, u.ID)
	if err != nil {
		return err
	}
	if now.Rev != u.Rev {
		return errLostRace
	}
	return fault.New(fault.PathTaken, "another object owns the path")
}

// unusedID returns the id for the new object of u: the one it was opened for,
// unless that object exists, deleted or elsewhere by now. Then it is the
// upload's own, which is as unique and the same at every attempt.
func (s *Store) unusedID(ctx context.Context, u upload.Upload) (string, error) {
	_, err := s.Object(ctx, u.Workspace, u.ObjectID)
	switch {
	case fault.Is(err, fault.NotFound):
		return u.ObjectID, nil
	case err != nil:
		return "", err
	default:
		return u.ID, nil
	}
}

// settled returns how the quota moves when kept of what u has reserved is kept.
func settled(u upload.Upload, f object.Facts, kept workspace.Amount) ([]workspace.Movement, error) {
	moves, err := workspace.Settle(u.Reservation, kept)
	if err != nil {
		return nil, fault.Wrap(fault.SizeMismatch, err, "the object has %d bytes and %d were declared", f.Size, u.Size)
	}
	return moves, nil
}

// current returns o with the upload as its current version. The upload's tags
// and metadata replace the object's where it brought any.
func current(o object.Object, u upload.Upload, f object.Facts) object.Object {
	o.Rev++
	o.Version = u.ID
	o.Size = f.Size
	o.ContentType, o.DetectedType = u.ContentType, f.DetectedType
	o.SHA256, o.CRC64NVME, o.ETag, o.Integrity = f.SHA256, f.CRC64NVME, f.ETag, f.Integrity
	o.S3Key, o.S3VersionID = u.S3Key, f.S3VersionID
	o.Picture, o.StorageClass = nil, "" // those of the version before
	if len(u.Tags) > 0 {
		o.Tags = u.Tags
	}
	if len(u.Metadata) > 0 {
		o.Metadata = u.Metadata
	}
	o.UpdatedAt, o.UpdatedBy = latest(u.EndedAt, o.UpdatedAt), u.CreatedBy
	return o
}

// latest keeps an object's times in the order of its revs when clocks differ.
func latest(a, b time.Time) time.Time {
	if a.Before(b) {
		return b
	}
	return a
}

func version(u upload.Upload, f object.Facts, state object.State) object.Version {
	return object.Version{
		Workspace:    u.Workspace,
		ObjectID:     u.ObjectID,
		ID:           u.ID,
		State:        state,
		Size:         f.Size,
		ContentType:  u.ContentType,
		DetectedType: f.DetectedType,
		SHA256:       f.SHA256,
		CRC64NVME:    f.CRC64NVME,
		ETag:         f.ETag,
		S3Key:        u.S3Key,
		S3VersionID:  f.S3VersionID,
		Integrity:    f.Integrity,
		Reason:       u.Reason,
		CreatedAt:    u.EndedAt,
		CreatedBy:    u.CreatedBy,
	}
}
