package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"time"
)

const (
	firstBackoff = 100 * time.Millisecond
	maxBackoff   = 10 * time.Second
)

// retry sends until the answer is final or the attempts are used up. With
// repeatable false only an answer that says "not done, try later" (429, 503 with
// Retry-After) is sent again.
func (c *Client) retry(ctx context.Context, repeatable bool, send func() (*http.Response, error)) (*http.Response, error) {
	for attempt := 1; ; attempt++ {
		res, err := send()
		wait, again := backoff(attempt, repeatable, res, err)
		if !again || attempt >= c.opts.MaxAttempts || ctx.Err() != nil {
			return res, err
		}
		if res != nil {
			drain(res.Body)
		}
		if err := sleep(ctx, wait); err != nil {
			return nil, err
		}
	}
}

func backoff(attempt int, repeatable bool, res *http.Response, err error) (time.Duration, bool) {
	// Full jitter: https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
	wait := time.Duration(rand.Int64N(int64(min(maxBackoff, firstBackoff<<(attempt-1)))) + 1)
	if err != nil {
		return wait, repeatable && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded)
	}
	retryAfter, asked := retryAfter(res)
	if asked {
		wait += retryAfter
	}
	switch res.StatusCode {
	case http.StatusTooManyRequests:
		return wait, true
	case http.StatusConflict: // the same request, by its key, is still in progress
		return wait, repeatable && asked
	case http.StatusServiceUnavailable:
		return wait, repeatable || asked
	case http.StatusInternalServerError, http.StatusBadGateway, http.StatusGatewayTimeout:
		return wait, repeatable
	default:
		return 0, false
	}
}

func retryAfter(res *http.Response) (time.Duration, bool) {
	seconds, err := strconv.Atoi(res.Header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		return 0, false
	}
	return min(time.Duration(seconds)*time.Second, time.Minute), true
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return fmt.Errorf("wait before the next attempt: %w", context.Cause(ctx))
	case <-timer.C:
		return nil
	}
}
