package pgstore

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Pauses between attempts: full jitter up to a bound that doubles. Races are over soon; a
// database that restarts is asked again often enough to be found within the second.
const (
	raceBase, raceMost = 5 * time.Millisecond, 250 * time.Millisecond
	lossBase, lossMost = 25 * time.Millisecond, 500 * time.Millisecond
)

// reserve is what is left of the context for the answer.
const reserve = 500 * time.Millisecond

// repeat runs t until it is done, fails for good, or its time is up.
func (db *DB) repeat(ctx context.Context, t transaction, pool func(attempt int) *pgxpool.Pool) error {
	if t.begin == "" {
		t.begin = readCommitted
	}
	ctx, cancel := db.patient(ctx)
	defer cancel()
	ctx, span := db.cfg.Tracer.Start(ctx, "postgres "+t.name)
	attempt := 0
	err := func() error {
		for ; ; attempt++ {
			err := db.once(ctx, pool(attempt), t)
			if err == nil {
				return nil
			}
			kind := classify(err)
			if kind == final || ctx.Err() != nil || !pause(ctx, kind, attempt) {
				return explain(t.name, err)
			}
		}
	}()
	span.Annotate("attempts", attempt+1)
	span.End(err)
	return err
}

// patient bounds a context by the database's patience, and keeps a reserve of what is left.
func (db *DB) patient(ctx context.Context) (context.Context, context.CancelFunc) {
	end := time.Now().Add(db.cfg.Patience)
	if deadline, ok := ctx.Deadline(); ok {
		left := time.Until(deadline)
		if d := deadline.Add(-min(reserve, left/4)); d.Before(end) {
			end = d
		}
	}
	return context.WithDeadline(ctx, end)
}

// pause waits before the next attempt. It reports false when there is no time for one.
func pause(ctx context.Context, k kind, attempt int) bool {
	base, most := raceBase, raceMost
	if k == lost {
		base, most = lossBase, lossMost
	}
	bound := most
	if attempt < 10 {
		bound = min(base<<attempt, most)
	}
	timer := time.NewTimer(rand.N(bound))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// acquireError is the failure to get a connection: nothing was sent.
type acquireError struct{ error }

func (e acquireError) Unwrap() error { return e.error }

// commitError is a commit whose answer was lost: it may be done or undone.
type commitError struct{ error }

func (e commitError) Unwrap() error { return e.error }

// commitFailure marks an error of a commit, unless the server itself has said no.
func commitFailure(err error) error {
	if _, said := asPgError(err); said {
		return err
	}
	return commitError{err}
}

func asCommitError(err error) bool {
	var c commitError
	return errors.As(err, &c)
}
