package ddbstore

import (
	"context"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

// Derivative returns a derivative of an object by its name, or a NotFound error.
// It may be one of a version that is no longer current: see its Version.
func (s *Store) Derivative(ctx context.Context, ws, id, name string) (object.Derivative, error) {
	return get(ctx, s, s.schema.Derivatives, object.Derivative{Workspace: ws, ObjectID: id, Name: name}, "derivative")
}

// RecordPicture adds what was found out about a version to the object whose
// current version it is, to the version itself, and writes its derivatives. It
// returns the derivatives of an older version that they replace: nothing refers to
// their bytes any more.
//
// Recording again changes nothing. A Conflict error says that the version is not
// current by now, or the object not available, and nothing was written; NotFound,
// that the object is gone.
func (s *Store) RecordPicture(ctx context.Context, at object.Object, p object.Picture, derivatives []object.Derivative, by string) (replaced []object.Derivative, err error) {
	p.CapturedAt = stored(p.CapturedAt)
	err = s.repeat(ctx, "record picture", at.ID, func() error {
		replaced = nil
		o, err := s.Object(ctx, at.Workspace, at.ID)
		switch {
		case err != nil:
			return err
		case o.Version != at.Version || o.State != object.Available:
			return fault.New(fault.Conflict, "the object is %s at version %s by now", o.State, o.Version)
		case o.Picture != nil:
			return nil
		}
		v, err := s.Version(ctx, at.Workspace, at.ID, at.Version)
		if err != nil {
			return err
		}
		if replaced, err = s.outdated(ctx, derivatives); err != nil {
			return err
		}
		rev := o.Rev
		o.Rev++
		o.Picture, v.Picture = &p, &p
		o.UpdatedAt, o.UpdatedBy = latest(s.now(), o.UpdatedAt), by
		actions := []action{
			put(s, anObject, s.schema.Objects, o, unchanged(rev)),
			put(s, aVersion, s.schema.Versions, v, present()),
		}
		for _, d := range derivatives {
			d.CreatedAt = stored(d.CreatedAt)
			actions = append(actions, put(s, aDerivative, s.schema.Derivatives, d, condition{}))
		}
		return lostRace(s.commit(ctx, actions...))
	})
	if err != nil {
		return nil, err
	}
	return replaced, nil
}

// outdated returns the derivatives of other versions that have the names of these.
func (s *Store) outdated(ctx context.Context, derivatives []object.Derivative) ([]object.Derivative, error) {
	var old []object.Derivative
	for _, d := range derivatives {
		found, err := s.Derivative(ctx, d.Workspace, d.ObjectID, d.Name)
		switch {
		case fault.Is(err, fault.NotFound):
		case err != nil:
			return nil, err
		case found.Version != d.Version:
			old = append(old, found)
		}
	}
	return old, nil
}
