package sources_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/sources"
)

// broker has the queues work, dead and work.fifo.
func broker(tb testing.TB) *queue.Broker {
	tb.Helper()
	visibility := 30 * time.Second
	b, err := queue.Open(queue.Config{Queues: []queue.Queue{
		{Name: "work", ARN: queuePrefix + "work", RedriveTarget: queuePrefix + "dead", MaxReceiveCount: 3, VisibilityTimeout: &visibility},
		{Name: "dead", ARN: queuePrefix + "dead"},
		{Name: "work.fifo", ARN: queuePrefix + "work.fifo", FIFO: true, ContentBasedDeduplication: true},
	}})
	if err != nil {
		tb.Fatal(err)
	}
	return b
}

func send(tb testing.TB, b *queue.Broker, name string, messages ...string) {
	tb.Helper()
	for _, body := range messages {
		m := queue.Message{Body: body}
		if strings.HasSuffix(name, ".fifo") {
			m.GroupID = body[:1]
		}
		if _, err := b.Send(context.Background(), queuePrefix+name, m); err != nil {
			tb.Fatal(err)
		}
	}
}

func stats(tb testing.TB, b *queue.Broker, name string) queue.Stats {
	tb.Helper()
	s, err := b.Stats(queuePrefix + name)
	if err != nil {
		tb.Fatal(err)
	}
	return s
}

// poll runs a mapping of the queue work, which change may alter, in a bubble of
// its own time.
func poll(t *testing.T, f sources.Invoker, b *queue.Broker, change func(*sources.Config, *sources.QueueMapping)) {
	t.Helper()
	m := sources.QueueMapping{ID: "mapping", QueueARN: queuePrefix + "work", FunctionARN: functionARN}
	cfg := sources.Config{Invoker: f, Broker: b, Region: "eu-west-1"}
	if change != nil {
		change(&cfg, &m)
	}
	cfg.Queues = []sources.QueueMapping{m}
	runner(t, cfg)
}

func TestQueueMessagesHaveLambdasShape(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker(t)
		_, err := b.Send(context.Background(), queuePrefix+"work", queue.Message{
			Body: "hello", Attributes: map[string]queue.Attribute{"kind": queue.StringAttribute("x"), "raw": {DataType: "Binary", BinaryValue: []byte{1, 2}}},
		})
		if err != nil {
			t.Fatal(err)
		}
		f := succeeding()
		poll(t, f, b, nil)
		f.waitFor(t, 1)
		synctest.Wait()
		var event events.SQSEvent
		strict(t, f.event(0), &event)
		m := event.Records[0]
		if m.Body != "hello" || m.EventSource != "aws:sqs" || m.EventSourceARN != queuePrefix+"work" || m.AWSRegion != "eu-west-1" || m.MessageId == "" ||
			m.ReceiptHandle == "" || m.Md5OfBody != "5d41402abc4b2a76b9719d911017c592" || m.Md5OfMessageAttributes == "" ||
			m.Attributes["ApproximateReceiveCount"] != "1" || m.Attributes["SentTimestamp"] == "" || m.Attributes["SenderId"] == "" ||
			*m.MessageAttributes["kind"].StringValue != "x" || m.MessageAttributes["kind"].DataType != "String" || string(m.MessageAttributes["raw"].BinaryValue) != "\x01\x02" {
			t.Errorf("message %+v", m)
		}
		if s := stats(t, b, "work"); s.Visible+s.InFlight != 0 {
			t.Errorf("it was not deleted: %+v", s)
		}
	})
}

func TestPartialFailureComesAgainAndDies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker(t)
		f := scriptedFunction(func(batch []record) (string, string, error) {
			var ids []string
			for _, r := range batch {
				if r.Body == "bad" {
					ids = append(ids, r.MessageID)
				}
			}
			return failures(ids...), "", nil
		})
		send(t, b, "work", "good", "bad", "fine")
		poll(t, f, b, func(_ *sources.Config, m *sources.QueueMapping) { m.ReportBatchItemFailures = true })
		start := time.Now()
		f.waitFor(t, 1)
		for n := range 2 {
			<-f.called
			if after := time.Since(start); after != time.Duration(n+1)*30*time.Second {
				t.Errorf("receive %d after %s", n+2, after)
			}
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := fmt.Sprint(f.seen()); got != "[[good bad fine] [bad] [bad]]" {
			t.Errorf("batches %s", got)
		}
		if s := stats(t, b, "dead"); s.Visible != 1 {
			t.Errorf("dead letters %+v", s)
		}
	})
}

func TestWholeBatchFails(t *testing.T) {
	for name, answer := range map[string]struct{ payload, functionError string }{
		"function error": {`{"errorMessage":"x"}`, "Unhandled"},
		"unknown id":     {failures("not-a-message"), ""},
		"empty id":       {failures(""), ""},
		"no object":      {`[1]`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := broker(t)
				first := true
				f := scriptedFunction(func([]record) (string, string, error) {
					if first {
						first = false
						return answer.payload, answer.functionError, nil
					}
					return "", "", nil
				})
				send(t, b, "work", "a", "b")
				poll(t, f, b, func(cfg *sources.Config, m *sources.QueueMapping) {
					m.ReportBatchItemFailures = true
					cfg.QueueRetryDelay = ptr(5 * time.Second)
				})
				start := time.Now()
				f.waitFor(t, 2)
				if after := time.Since(start); after != 5*time.Second {
					t.Errorf("came again after %s", after)
				}
				synctest.Wait()
				if got := fmt.Sprint(f.seen()); got != "[[a b] [a b]]" {
					t.Errorf("batches %s", got)
				}
				if s := stats(t, b, "work"); s.Visible+s.InFlight != 0 {
					t.Errorf("left %+v", s)
				}
			})
		})
	}
}

func TestFailuresAreIgnoredUnlessTheMappingReportsThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker(t)
		f := scriptedFunction(func(batch []record) (string, string, error) { return failures(batch[0].MessageID), "", nil })
		send(t, b, "work", "a")
		poll(t, f, b, nil)
		f.waitFor(t, 1)
		synctest.Wait()
		if s := stats(t, b, "work"); s.Visible+s.InFlight != 0 {
			t.Errorf("left %+v", s)
		}
	})
}

func TestQueueBatching(t *testing.T) {
	bodies := func(n int) []string {
		var all []string
		for i := range n {
			all = append(all, fmt.Sprint(i))
		}
		return all
	}
	tests := map[string]struct {
		size   int
		window time.Duration
		sent   int
		want   []int // sizes of the batches
		after  time.Duration
	}{
		"default size":     {0, 0, 25, []int{10, 10, 5}, 0},
		"one by one":       {1, 0, 3, []int{1, 1, 1}, 0},
		"window, not full": {100, 5 * time.Second, 25, []int{25}, 5 * time.Second},
		"window, full":     {20, 5 * time.Second, 20, []int{20}, 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := broker(t)
				f := succeeding()
				send(t, b, "work", bodies(tt.sent)...)
				start := time.Now()
				poll(t, f, b, func(_ *sources.Config, m *sources.QueueMapping) { m.BatchSize, m.Window = tt.size, tt.window })
				f.waitFor(t, len(tt.want))
				if after := time.Since(start); after != tt.after {
					t.Errorf("it took %s, want %s", after, tt.after)
				}
				var got []int
				for _, batch := range f.seen() {
					got = append(got, len(batch))
				}
				slices.SortFunc(got, func(a, b int) int { return b - a })
				if !slices.Equal(got, tt.want) {
					t.Errorf("batches of %v, want %v", got, tt.want)
				}
			})
		})
	}
}

func TestEventsFitIntoAnInvocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker(t)
		f := succeeding()
		for range 8 {
			send(t, b, "work", strings.Repeat("x", 1<<20))
		}
		poll(t, f, b, nil)
		f.waitFor(t, 2)
		synctest.Wait()
		if len(f.event(0)) > lambda.MaxSyncPayload || len(f.names()) != 8 || len(f.seen()) != 2 {
			t.Errorf("%d records in %d events, the first of %d bytes", len(f.names()), len(f.seen()), len(f.event(0)))
		}
	})
}

func TestMaximumConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker(t)
		var mu sync.Mutex
		running, most := 0, 0
		f := scriptedFunction(func([]record) (string, string, error) {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return "", "", nil
		})
		for i := range 12 {
			send(t, b, "work", fmt.Sprint(i))
		}
		poll(t, f, b, func(_ *sources.Config, m *sources.QueueMapping) { m.BatchSize, m.MaxConcurrency = 1, 3 })
		start := time.Now()
		time.Sleep(500 * time.Millisecond)
		if s := stats(t, b, "work"); s.InFlight != 3 {
			t.Errorf("%d messages are held, 3 are worked on", s.InFlight)
		}
		f.waitFor(t, 12)
		if most != 3 || time.Since(start) != 4*time.Second {
			t.Errorf("%d at a time, %s in all", most, time.Since(start))
		}
	})
}

func TestQueueFilter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker(t)
		f := succeeding()
		send(t, b, "work", `{"kind":"keep","n":1}`, `{"kind":"drop"}`, `plain`, `{"kind":"keep","n":2}`)
		poll(t, f, b, func(_ *sources.Config, m *sources.QueueMapping) { m.Filters = []string{`{"body":{"kind":["keep"]}}`} })
		f.waitFor(t, 1)
		synctest.Wait()
		if got := f.names(); !slices.Equal(got, []string{`{"kind":"keep","n":1}`, `{"kind":"keep","n":2}`}) {
			t.Errorf("got %q", got)
		}
		if s := stats(t, b, "work"); s.Visible+s.InFlight != 0 {
			t.Errorf("what does not match was not deleted: %+v", s)
		}
	})
}

func TestQueueFilterOnPlainText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker(t)
		f := succeeding()
		send(t, b, "work", `plain`, `{"body":"plain"}`)
		poll(t, f, b, func(_ *sources.Config, m *sources.QueueMapping) { m.Filters = []string{`{"body":["plain"]}`} })
		f.waitFor(t, 1)
		synctest.Wait()
		if got := f.names(); !slices.Equal(got, []string{"plain"}) {
			t.Errorf("got %q", got)
		}
	})
}

func TestThrottledBatchWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker(t)
		free := time.Now().Add(3 * time.Second)
		f := scriptedFunction(func([]record) (string, string, error) {
			if time.Now().Before(free) {
				return "", "", lambda.ErrThrottled
			}
			return "", "", nil
		})
		send(t, b, "work", "a")
		start := time.Now()
		poll(t, f, b, nil)
		f.waitFor(t, 1)
		if after := time.Since(start); after < 3*time.Second || after > 4*time.Second {
			t.Errorf("it ran after %s", after)
		}
	})
}

func TestFIFOMappingKeepsOrderOverFailures(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker(t)
		failed := map[string]bool{}
		var mu sync.Mutex
		f := scriptedFunction(func(batch []record) (string, string, error) {
			mu.Lock()
			defer mu.Unlock()
			for i, r := range batch { // stop at the first failure, as a handler of a FIFO queue should
				if strings.HasSuffix(r.Body, "2") && !failed[r.Body] {
					failed[r.Body] = true
					var ids []string
					for _, left := range batch[i:] {
						ids = append(ids, left.MessageID)
					}
					return failures(ids...), "", nil
				}
			}
			return "", "", nil
		})
		send(t, b, "work.fifo", "a1", "b1", "a2", "b2", "a3", "b3")
		poll(t, f, b, func(_ *sources.Config, m *sources.QueueMapping) {
			m.QueueARN, m.BatchSize, m.ReportBatchItemFailures = queuePrefix+"work.fifo", 2, true
		})
		time.Sleep(5 * time.Minute)
		synctest.Wait()
		order := map[string][]string{}
		for _, name := range f.names() {
			order[name[:1]] = append(order[name[:1]], name[1:])
		}
		for g, got := range order {
			if strings.Join(slices.Compact(got), "") != "123" && strings.Join(got, "") != "12323" {
				t.Errorf("group %s came as %v", g, got)
			}
		}
	})
}

func TestDisabledMappingReceivesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := broker(t)
		f := succeeding()
		send(t, b, "work", "a")
		poll(t, f, b, func(_ *sources.Config, m *sources.QueueMapping) { m.Disabled = true })
		time.Sleep(time.Hour)
		if len(f.names()) != 0 {
			t.Error("it was invoked")
		}
	})
}
