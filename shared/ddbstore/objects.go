package ddbstore

import (
	"context"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

// Object returns an object in any state, or a NotFound error.
func (s *Store) Object(ctx context.Context, ws, id string) (object.Object, error) {
	return get(ctx, s, s.schema.Objects, object.Object{Workspace: ws, ID: id}, "object")
}

// Version returns one version of an object, or a NotFound error.
func (s *Store) Version(ctx context.Context, ws, id, version string) (object.Version, error) {
	return get(ctx, s, s.schema.Versions, object.Version{Workspace: ws, ObjectID: id, ID: version}, "version")
}

// PathOwner returns the id of the object that owns a path, or a NotFound error
// when the path is free.
func (s *Store) PathOwner(ctx context.Context, ws, path string) (string, error) {
	claim, err := get(ctx, s, s.schema.Paths, object.Claim{Workspace: ws, Path: path}, "path")
	return claim.ObjectID, err
}

// DeleteObject deletes an object softly: it frees the path and keeps the bytes,
// and their quota, until the object is purged. ifRev, unless it is 0, is the rev
// that the object must have: a PreconditionFailed error says that it has
// another. Deleting a deleted object returns it and changes nothing; a rejected
// one, which owns neither path nor bytes, is a Conflict.
func (s *Store) DeleteObject(ctx context.Context, ws, id string, ifRev int64, by string) (object.Object, error) {
	var deleted object.Object
	err := s.repeat(ctx, "delete object", id, func() error {
		o, err := s.Object(ctx, ws, id)
		switch {
		case err != nil:
			return err
		case o.State == object.Deleted:
			deleted = o
			return nil
		case ifRev != 0 && o.Rev != ifRev:
			return fault.New(fault.PreconditionFailed, "the object has rev %d, not %d", o.Rev, ifRev).With("rev", o.Rev)
		case o.State == object.Rejected:
			return fault.New(fault.Conflict, "the object was rejected: there is nothing to delete")
		}
		rev, owner := o.Rev, object.Claim{Workspace: ws, Path: o.Path, ObjectID: id}
		o.Rev++
		o.State = object.Deleted
		o.UpdatedAt, o.UpdatedBy = latest(s.now(), o.UpdatedAt), by
		o.DeletedAt = o.UpdatedAt
		deleted = o
		return lostRace(s.commit(ctx,
			put(s, anObject, s.schema.Objects, o, unchanged(rev)),
			remove(s, aPath, s.schema.Paths, owner, s.ownedBy(owner)),
		))
	})
	if err != nil {
		return object.Object{}, err
	}
	return deleted, nil
}

// ownedBy holds while the claim is the one that the path has.
func (s *Store) ownedBy(claim object.Claim) condition {
	return equal("object", s.schema.Paths.Encode(claim)["object"])
}
