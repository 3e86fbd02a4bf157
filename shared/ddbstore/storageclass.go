package ddbstore

import "context"

// SetStorageClass records into which storage class S3 has moved the current version of an
// object. Of another version nothing is recorded, and nothing is written twice. A NotFound
// error says that the object is gone.
func (s *Store) SetStorageClass(ctx context.Context, ws, id, version, class string) error {
	return s.repeat(ctx, "set storage class of", id, func() error {
		o, err := s.Object(ctx, ws, id)
		if err != nil || o.Version != version || o.StorageClass == class {
			return err
		}
		rev := o.Rev
		o.Rev++
		o.StorageClass = class
		o.UpdatedAt = latest(s.now(), o.UpdatedAt)
		return lostRace(s.commit(ctx, put(s, anObject, s.schema.Objects, o, unchanged(rev))))
	})
}
