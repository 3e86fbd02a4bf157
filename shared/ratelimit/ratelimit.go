// Package ratelimit bounds how often each workspace may do something, over all processes
// that let it, by a token bucket in the catalog.
//
// A request costs one conditional write at most. That write has to say whether the bucket
// is full or part empty, which is only known afterwards: the limiter guesses by what it saw
// last, and what a wrong guess let through unpaid is paid with the next request. So each
// process can be behind by what it let through once, and never by more.
//
// A Limiter is safe for concurrent use.
package ratelimit

import (
	"context"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/shared/workspace"
)

const (
	// ratesFor is how long the rate of a workspace is kept before it is read again.
	ratesFor = time.Minute
	// maxWorkspaces bounds what a process remembers.
	maxWorkspaces = 10_000
)

// Catalog keeps workspaces and their buckets.
type Catalog interface {
	Workspace(ctx context.Context, ws string) (workspace.Workspace, error)
	// Spend makes one write, as of a full bucket or as of one that is not. It reports
	// whether the tokens were taken, and the bucket.
	Spend(ctx context.Context, ws string, spend workspace.Spending, full bool) (workspace.Bucket, bool, error)
}

// Limiter limits the writes of workspaces.
type Limiter struct {
	catalog Catalog
	now     func() time.Time
	random  func(n int64) int64

	mu   sync.Mutex
	seen map[string]*seen
}

// seen is what a process knows of a workspace.
type seen struct {
	rate   workspace.Rate
	readAt time.Time
	bucket workspace.Bucket
	debt   int64 // tokens let through and not yet paid
}

// New returns a Limiter. random returns a number in [0, n).
func New(catalog Catalog, now func() time.Time, random func(n int64) int64) *Limiter {
	return &Limiter{catalog: catalog, now: now, random: random, seen: map[string]*seen{}}
}

// Allow takes cost tokens of a workspace. Where they are not there it returns after how
// long to try again, at random a little later than they will be, so that those who were
// refused together do not come back together: 0 says that the request may go on.
//
// A NotFound error says that there is no such workspace. After any other error nothing is
// known about the rate.
func (l *Limiter) Allow(ctx context.Context, ws string, cost int64) (time.Duration, error) {
	known, err := l.recall(ctx, ws)
	if err != nil {
		return 0, err
	}
	spend := workspace.NewSpending(known.rate, cost+known.debt, l.now())
	bucket, spent, err := l.catalog.Spend(ctx, ws, spend, spend.IsFull(known.bucket))
	if err != nil {
		l.owe(ws, known.debt)
		return 0, err
	}
	if spent {
		l.learn(ws, bucket, 0)
		return 0, nil
	}
	wait := spend.Wait(bucket)
	if wait == 0 {
		l.learn(ws, bucket, cost+known.debt) // the guess was wrong
		return 0, nil
	}
	l.learn(ws, bucket, known.debt)
	return wait + time.Duration(l.random(int64(max(wait/2, time.Millisecond)))), nil
}

// recall returns what is known of a workspace, and takes over its debt.
func (l *Limiter) recall(ctx context.Context, ws string) (seen, error) {
	l.mu.Lock()
	if s, ok := l.seen[ws]; ok && l.now().Sub(s.readAt) < ratesFor {
		known := *s
		s.debt = 0
		l.mu.Unlock()
		return known, nil
	}
	l.mu.Unlock()
	w, err := l.catalog.Workspace(ctx, ws)
	if err != nil {
		return seen{}, err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) >= maxWorkspaces {
		clear(l.seen)
	}
	s := l.seen[ws]
	if s == nil {
		s = &seen{}
		l.seen[ws] = s
	}
	s.rate, s.readAt = w.Quota.Writes.Or(workspace.DefaultWrites()), l.now()
	known := *s
	s.debt = 0
	return known, nil
}

func (l *Limiter) learn(ws string, bucket workspace.Bucket, debt int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if s := l.seen[ws]; s != nil {
		s.bucket.Spent = max(s.bucket.Spent, bucket.Spent)
		s.debt += debt
	}
}

func (l *Limiter) owe(ws string, debt int64) { l.learn(ws, workspace.Bucket{}, debt) }
