package ratelimit_test

import (
	"context"
	"fmt"

	"github.com/stowage-dev/stowage/shared/ratelimit"
	"github.com/stowage-dev/stowage/shared/workspace"
)

func ExampleLimiter_Allow() {
	clock := newClock()
	catalog := &counting{rate: workspace.Rate{PerSecond: 2, Burst: 1}}
	limiter := ratelimit.New(catalog, clock.now, never)
	for range 2 {
		wait, err := limiter.Allow(context.Background(), "alpha", 1)
		fmt.Println(wait, err)
	}
	// Output:
	// 0s <nil>
	// 500ms <nil>
}
