package sources_test

import (
	"context"
	"path/filepath"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/sources"
)

// arrivals is a real function behind a real host; it tells when an event reached
// the function's code.
type arrivals struct {
	host *lambda.Host
	at   chan time.Time
}

func realFunction(tb testing.TB) *arrivals {
	tb.Helper()
	h := lambda.New(lambda.Config{Functions: []lambda.Function{{Name: "fn", ARN: functionARN, Command: []string{functionBinary}}}})
	if err := h.Start(context.Background()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := h.Close(); err != nil {
			tb.Error(err)
		}
	})
	return &arrivals{h, make(chan time.Time, 1000)}
}

func (a *arrivals) Invoke(ctx context.Context, function string, payload []byte) (lambda.Response, error) {
	response, err := a.host.Invoke(ctx, function, payload)
	if err == nil {
		nanoseconds, parseErr := strconv.ParseInt(string(response.Payload), 10, 64)
		if parseErr != nil {
			return response, parseErr
		}
		a.at <- time.Unix(0, nanoseconds)
	}
	return response, err
}

// measure sends one event at a time, at rest in between, and reports how long it
// took to reach the function.
func measure(b *testing.B, a *arrivals, rest time.Duration, send func()) {
	b.Helper()
	send() // the process starts
	receive(b, a.at)
	var latencies []time.Duration
	for b.Loop() {
		time.Sleep(rest)
		start := time.Now()
		send()
		latencies = append(latencies, receive(b, a.at).Sub(start))
	}
	slices.Sort(latencies)
	b.ReportMetric(float64(latencies[len(latencies)/2].Microseconds()), "p50-us")
	b.ReportMetric(float64(latencies[len(latencies)*95/100].Microseconds()), "p95-us")
}

func BenchmarkMessageToHandler(b *testing.B) {
	broker, err := queue.Open(queue.Config{Path: filepath.Join(b.TempDir(), "queues.db"), Queues: []queue.Queue{{Name: "work", ARN: queuePrefix + "work"}}})
	if err != nil {
		b.Fatal(err)
	}
	a := realFunction(b)
	runner(b, sources.Config{Broker: broker, Invoker: a, Queues: []sources.QueueMapping{{ID: "m", QueueARN: queuePrefix + "work", FunctionARN: functionARN}}})
	measure(b, a, 10*time.Millisecond, func() { send(b, broker, "work", "hello") })
}

// BenchmarkRecordToHandler has the put in its figure: about 1.3 ms.
func BenchmarkRecordToHandler(b *testing.B) {
	for name, rest := range map[string]time.Duration{"busy": time.Millisecond, "after a quiet second": time.Second} {
		for kind, wake := range map[string]bool{"polled": false, "woken": true} {
			b.Run(name+" "+kind, func(b *testing.B) {
				table := table(b)
				a := realFunction(b)
				cfg := streamConfig(a, mapping(table))
				r, _ := runner(b, cfg)
				n := 0
				measure(b, a, rest, func() {
					n++
					put(b, table, "a", n)
					if wake {
						r.Wake(table)
					}
				})
			})
		}
	}
}
