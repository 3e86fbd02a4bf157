package idempotency

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
)

// Do runs effect for a request that nobody has done yet, and stores what it
// returns. For one that was done it returns what was stored, with replayed set,
// and runs nothing. T must be small when encoded as JSON and hold no credential.
//
// Errors are those of Begin, of effect, and of Finish: after the last of these the
// effect has happened, and the same request again finds out by its Claim.ID.
//
// A panic of effect is passed on; the request may be tried again.
func Do[T any](ctx context.Context, s *Store, r Request, effect func(context.Context, Claim) (T, error)) (result T, replayed bool, err error) {
	claim, stored, err := s.Begin(ctx, r)
	if err != nil {
		return result, false, err
	}
	if claim == nil {
		if err := json.Unmarshal(stored, &result); err != nil {
			return result, false, fmt.Errorf("decode stored result as %T: %w", result, err)
		}
		return result, true, nil
	}
	settled := false
	defer func() {
		if !settled { // effect panicked
			_ = s.settle(ctx, *claim, s.Abandon) // the lease ends by itself
		}
	}()
	result, err = run(ctx, s, *claim, effect)
	settled = true
	return result, false, err
}

// run has the effect and settles the claim accordingly.
func run[T any](ctx context.Context, s *Store, c Claim, effect func(context.Context, Claim) (T, error)) (T, error) {
	work, cancel := s.withReserve(ctx)
	defer cancel()
	result, err := effect(work, c)
	var none T
	switch {
	case fault.Permanent(err):
		return none, errors.Join(err, s.settle(ctx, c, s.Forget))
	case err != nil:
		return none, errors.Join(err, s.settle(ctx, c, s.Abandon))
	}
	encoded, err := json.Marshal(result)
	if err != nil {
		return none, fmt.Errorf("encode result %T: %w", result, err)
	}
	return result, s.settle(ctx, c, func(ctx context.Context, c Claim) error { return s.Finish(ctx, c, encoded) })
}

// withReserve ends the effect's context before the lease ends.
func (s *Store) withReserve(ctx context.Context) (context.Context, context.CancelFunc) {
	left := s.lease(ctx)
	return context.WithTimeout(ctx, left-min(s.cfg.Reserve, left/4))
}

// settleTime bounds the call that ends a claim whose context has ended already.
const settleTime = 2 * time.Second

// settle ends a claim. That the caller has gone away is no reason not to.
func (s *Store) settle(ctx context.Context, c Claim, end func(context.Context, Claim) error) error {
	if ctx.Err() != nil {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(context.WithoutCancel(ctx), settleTime)
		defer cancel()
	}
	return end(ctx, c)
}
