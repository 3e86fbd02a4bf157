package ddbstore

import (
	"context"
	"time"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

// UndeleteObject brings a deleted object back to its path. It has kept its bytes and
// its quota, so that there is always room for it; but its path can have found another
// owner: a PathTaken error. ifRev is as in DeleteObject. An object that owns its path
// is returned as it is, and a rejected one, of which nothing is left, is a Conflict.
//
// An object that was deleted while it waited for a scanner's verdict, and still does,
// comes back into quarantine.
func (s *Store) UndeleteObject(ctx context.Context, ws, id string, ifRev int64, by string) (object.Object, error) {
	var undeleted object.Object
	err := s.repeat(ctx, "undelete object", id, func() error {
		o, err := s.Object(ctx, ws, id)
		switch {
		case err != nil:
			return err
		case o.State.OwnsPath():
			undeleted = o
			return nil
		case ifRev != 0 && o.Rev != ifRev:
			return fault.New(fault.PreconditionFailed, "the object has rev %d, not %d", o.Rev, ifRev).With("rev", o.Rev)
		case o.State != object.Deleted:
			return fault.New(fault.Conflict, "the object is %s: there is nothing to bring back", o.State)
		}
		rev := o.Rev
		o.Rev++
		if o.State, err = s.stateOf(ctx, o); err != nil {
			return err
		}
		o.UpdatedAt, o.UpdatedBy = latest(s.now(), o.UpdatedAt), by
		o.DeletedAt = time.Time{}
		undeleted = o
		err = s.commit(ctx,
			put(s, anObject, s.schema.Objects, o, unchanged(rev)),
			put(s, aPath, s.schema.Paths, object.Claim{Workspace: ws, Path: o.Path, ObjectID: id}, absent()))
		if refusedBy(err, aPath) && !refusedBy(err, anObject) {
			return fault.New(fault.PathTaken, "another object owns the path")
		}
		return lostRace(err)
	})
	if err != nil {
		return object.Object{}, err
	}
	return undeleted, nil
}

// stateOf is the state of an object that owns its path, by its current version: a
// version is written when it is published, and not while it waits for a scanner.
func (s *Store) stateOf(ctx context.Context, o object.Object) (object.State, error) {
	_, err := s.Version(ctx, o.Workspace, o.ID, o.Version)
	switch {
	case fault.Is(err, fault.NotFound):
		return object.Quarantined, nil
	case err != nil:
		return "", err
	default:
		return object.Available, nil
	}
}

// Versions returns the versions of an object, the latest first, and where the next page
// begins: "" when there is none. Rejected ones are among them until their record
// expires.
func (s *Store) Versions(ctx context.Context, ws, id string, page catalog.Page) ([]object.Version, string, error) {
	q := query[object.Version]{
		entity: s.schema.Versions, of: object.Version{Workspace: ws, ObjectID: id}, limit: page.Limit,
		sortPrefix: catalog.VersionSortPrefix, latestFirst: true,
	}
	if page.After != "" {
		if !object.IsID(page.After) {
			return nil, "", errEnd()
		}
		q.start = s.schema.Versions.Key(object.Version{Workspace: ws, ObjectID: id, ID: page.After}).Item()
	}
	return list(ctx, s, q, func(v object.Version) string { return v.ID })
}
