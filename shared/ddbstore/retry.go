package ddbstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
)

// Retry bounds how a write that lost a race is repeated: the n-th pause is a
// random time up to Base * 2^n, and at most Cap (full jitter).
// https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
type Retry struct {
	Base     time.Duration
	Cap      time.Duration
	Attempts int
}

// DefaultRetry lets two hundred writers of one item through, and gives up
// after about five seconds.
func DefaultRetry() Retry {
	return Retry{Base: 5 * time.Millisecond, Cap: 400 * time.Millisecond, Attempts: 30}
}

// errLostRace marks a write that changed nothing because another one got in
// between, or because DynamoDB had too much to do: read again and try again.
var errLostRace = errors.New("lost a race with another write")

// repeat runs try until it returns anything but errLostRace.
func (s *Store) repeat(ctx context.Context, operation, key string, try func() error) error {
	var err error
	for n := range s.retry.Attempts {
		if err = try(); !errors.Is(err, errLostRace) {
			return err
		}
		if pauseErr := s.pause(ctx, n); pauseErr != nil {
			return fmt.Errorf("%s %s: %w", operation, key, pauseErr)
		}
	}
	return fault.Wrap(fault.Unavailable, fmt.Errorf("%s %s: %d attempts: %w", operation, key, s.retry.Attempts, err),
		"too many writes at the same moment: try again")
}

// pause waits before the attempt after the n-th.
func (s *Store) pause(ctx context.Context, n int) error {
	ceiling := s.retry.Cap
	if n < 30 {
		ceiling = min(ceiling, s.retry.Base<<n)
	}
	timer := time.NewTimer(time.Duration(s.random(int64(ceiling) + 1)))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // the caller names the operation
	}
}
