package tenancy

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/shared/workspace"
)

const (
	// membershipAge bounds how long a role outlives its removal.
	membershipAge = time.Minute
	// membershipCount bounds the cache's memory.
	membershipCount = 10_000
)

// memberships caches members. Only ones that exist are kept, so that a new member is let
// in at once.
type memberships struct {
	catalog Catalog
	now     func() time.Time

	mu   sync.Mutex
	held map[membershipKey]membership
}

type membershipKey struct{ workspace, sub string }

type membership struct {
	member workspace.Member
	readAt time.Time
}

func newMemberships(catalog Catalog, now func() time.Time) *memberships {
	return &memberships{catalog: catalog, now: now, held: make(map[membershipKey]membership)}
}

func (c *memberships) get(ctx context.Context, ws, sub string) (workspace.Member, error) {
	key, now := membershipKey{ws, sub}, c.now()
	c.mu.Lock()
	found, ok := c.held[key]
	c.mu.Unlock()
	if ok && now.Sub(found.readAt) < membershipAge {
		return found.member, nil
	}
	member, err := c.catalog.Member(ctx, ws, sub)
	if err != nil {
		c.forget(ws, sub)
		return workspace.Member{}, fmt.Errorf("read member %s of %s: %w", sub, ws, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.held) >= membershipCount {
		clear(c.held)
	}
	c.held[key] = membership{member: member, readAt: now}
	return member, nil
}

// forget makes the next get read again.
func (c *memberships) forget(ws, sub string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.held, membershipKey{ws, sub})
}
