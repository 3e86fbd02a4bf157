package pgstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/pgstore/internal/queries"
)

// Ages of a ring.
const (
	ringAge   = 10 * time.Minute // after which a rotation is noticed in any case
	renewWait = 30 * time.Second // between looks on account of unknown keys
)

// CursorKeys are the keys of the API's cursors: the newest two of the database, of which
// the newest seals. It is safe for concurrent use.
type CursorKeys struct {
	db  *DB
	now func() time.Time

	mu     sync.Mutex
	ring   *cursor.Ring
	readAt time.Time
}

var _ cursor.Keys = (*CursorKeys)(nil)

// NewCursorKeys returns the keys that db holds.
func NewCursorKeys(db *DB, now func() time.Time) *CursorKeys { return &CursorKeys{db: db, now: now} }

// Ring implements cursor.Keys.
func (k *CursorKeys) Ring(ctx context.Context) (*cursor.Ring, error) { return k.get(ctx, ringAge) }

// Renew implements cursor.Keys.
func (k *CursorKeys) Renew(ctx context.Context) (*cursor.Ring, error) { return k.get(ctx, renewWait) }

// get returns a ring that is not older than an age.
func (k *CursorKeys) get(ctx context.Context, age time.Duration) (*cursor.Ring, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.ring != nil && k.now().Sub(k.readAt) < age {
		return k.ring, nil
	}
	var secrets [][]byte
	err := k.db.read(ctx, transaction{name: "CursorKeys", single: true, do: func(ctx context.Context, q *queries.Queries) error {
		var err error
		if secrets, err = q.CursorKeys(ctx); err != nil {
			return fmt.Errorf("read the cursor keys: %w", err)
		}
		return nil
	}})
	if err != nil {
		return nil, err
	}
	if len(secrets) == 0 {
		return nil, fault.Wrap(fault.Unavailable, errors.New("the database holds no cursor key: db-migrate makes one"), "the service is not ready yet")
	}
	ring, err := cursor.NewRing(secrets...)
	if err != nil {
		return nil, err
	}
	k.ring, k.readAt = ring, k.now()
	return ring, nil
}
