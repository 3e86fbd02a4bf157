package boot

import (
	"math"
	"runtime"
	"runtime/debug"
	"testing"
)

// TestUseMemory changes settings of the whole process: it runs alone.
func TestUseMemory(t *testing.T) {
	percent, limit, threads := debug.SetGCPercent(100), debug.SetMemoryLimit(-1), runtime.GOMAXPROCS(0)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(threads)
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	for _, tc := range []struct {
		name    string
		env     map[string]string
		percent int
		limit   int64
	}{
		{"not in Lambda", nil, 100, math.MaxInt64},
		{"no number", map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "much"}, 100, math.MaxInt64},
		{"none", map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "0"}, 100, math.MaxInt64},
		{"in Lambda", map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512"}, 400, 384 << 20},
		{"with a percentage", map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "GOGC": "50"}, 100, 384 << 20},
		{"with a limit", map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "512", "GOMEMLIMIT": "1GiB"}, 400, math.MaxInt64},
	} {
		t.Run(tc.name, func(t *testing.T) {
			debug.SetGCPercent(100)
			debug.SetMemoryLimit(math.MaxInt64)
			useMemory(func(name string) (string, bool) { v, ok := tc.env[name]; return v, ok })
			if percent, limit := debug.SetGCPercent(100), debug.SetMemoryLimit(-1); percent != tc.percent || limit != tc.limit {
				t.Errorf("percent %d, limit %d; want %d, %d", percent, limit, tc.percent, tc.limit)
			}
		})
	}
}

func TestThreadsAreThoseThatAFunctionHasProcessorsFor(t *testing.T) {
	threads, percent, limit := runtime.GOMAXPROCS(0), debug.SetGCPercent(100), debug.SetMemoryLimit(-1)
	t.Cleanup(func() {
		runtime.GOMAXPROCS(threads)
		debug.SetGCPercent(percent)
		debug.SetMemoryLimit(limit)
	})
	two := min(2, runtime.NumCPU())
	for _, tc := range []struct {
		env  map[string]string
		want int
	}{
		{nil, 7},
		{map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128"}, 1},
		{map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}, 1},
		{map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1770"}, two},
		{map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "10240"}, min(6, runtime.NumCPU())},
		{map[string]string{"AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128", "GOMAXPROCS": "7"}, 7},
	} {
		runtime.GOMAXPROCS(7)
		useMemory(func(name string) (string, bool) { v, ok := tc.env[name]; return v, ok })
		if got := runtime.GOMAXPROCS(0); got != tc.want {
			t.Errorf("%v: %d threads, want %d", tc.env, got, tc.want)
		}
	}
}
