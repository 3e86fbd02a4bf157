package bus_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/bus"
)

const (
	queueARN    = "arn:aws:sqs:eu-west-1:000000000000:jobs"
	functionARN = "arn:aws:lambda:eu-west-1:000000000000:function:worker"
	dlqARN      = "arn:aws:sqs:eu-west-1:000000000000:dead"
	ruleARN     = "arn:aws:events:eu-west-1:000000000000:rule/app/orders"
	busARN      = "arn:aws:events:eu-west-1:000000000000:event-bus/app"
)

// targets records what arrives, and fails as told.
type targets struct {
	mu       sync.Mutex
	fail     func(target string, attempt int) error
	attempts map[string]int
	payloads map[string][]string
	times    []time.Time
	dead     []deadLetter
}

type deadLetter struct {
	Queue, Body string
	Attributes  map[string]string
}

func (r *targets) deliver(_ context.Context, target string, payload []byte) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.attempts == nil {
		r.attempts, r.payloads = map[string]int{}, map[string][]string{}
	}
	r.attempts[target]++
	r.times = append(r.times, time.Now())
	if r.fail != nil {
		if err := r.fail(target, r.attempts[target]); err != nil {
			return err
		}
	}
	r.payloads[target] = append(r.payloads[target], string(payload))
	return nil
}

func (r *targets) deadLetter(_ context.Context, queue string, body []byte, attributes map[string]string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.dead = append(r.dead, deadLetter{queue, string(body), attributes})
	return nil
}

func (r *targets) got(target string) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.payloads[target])
}

func config(tb testing.TB, r *targets) bus.Config {
	tb.Helper()
	dir := tb.TempDir()
	n := 0
	return bus.Config{
		Account: "000000000000", Region: "eu-west-1",
		Buses: []bus.EventBus{{Name: "app", ARN: busARN}},
		Rules: []bus.Rule{{
			Name: "orders", ARN: ruleARN, Bus: "app", Pattern: json.RawMessage(`{"source":["shop"]}`),
			Targets: []bus.Target{{ID: "queue", ARN: queueARN}},
		}},
		StateDir: dir, EventsPath: filepath.Join(dir, "events.jsonl"),
		Deliver: r.deliver, DeadLetter: r.deadLetter,
		NewID: func() string { n++; return fmt.Sprintf("id-%d", n) },
	}
}

func start(tb testing.TB, cfg bus.Config) *bus.Bus {
	tb.Helper()
	b, err := bus.New(cfg)
	if err != nil {
		tb.Fatal(err)
	}
	if err := b.Start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := b.Close(); err != nil {
			tb.Errorf("Close: %v", err)
		}
	})
	return b
}

func put(tb testing.TB, b *bus.Bus, e bus.Entry) string {
	tb.Helper()
	id, err := b.Put(tb.Context(), e)
	if err != nil {
		tb.Fatal(err)
	}
	return id
}

func order(detail string) bus.Entry {
	return bus.Entry{Bus: "app", Source: "shop", DetailType: "Order", Detail: json.RawMessage(detail)}
}

func TestAMatchingEventReachesItsTargetAsAWSWritesIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var r targets
		cfg := config(t, &r)
		b := start(t, cfg)
		e := order(`{"n": 1, "s": "<&>"}`)
		e.Resources = []string{"arn:x"}
		e.Time = time.Date(2026, 3, 1, 12, 0, 0, 999, time.FixedZone("", 3600))
		put(t, b, e)
		put(t, b, bus.Entry{Bus: "app", Source: "other", DetailType: "Order", Detail: json.RawMessage(`{}`)})
		put(t, b, bus.Entry{Source: "shop", DetailType: "Order", Detail: json.RawMessage(`{}`)}) // the default bus
		synctest.Wait()
		want := `{"version":"0","id":"id-1","detail-type":"Order","source":"shop","account":"000000000000","time":"2026-03-01T11:00:00Z","region":"eu-west-1","resources":["arn:x"],"detail":{"n":1,"s":"<&>"}}`
		if diff := cmp.Diff([]string{want}, r.got(queueARN)); diff != "" {
			t.Errorf("delivered (-want +got):\n%s", diff)
		}
		lines, err := os.ReadFile(cfg.EventsPath)
		if err != nil {
			t.Fatal(err)
		}
		if all := strings.Split(strings.TrimSpace(string(lines)), "\n"); len(all) != 3 || all[0] != want {
			t.Errorf("events file: got %d lines, first %s", len(all), all[0])
		}
	})
}

func TestAFailingTargetIsRetriedUntilItSucceeds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := targets{fail: func(_ string, attempt int) error {
			if attempt < 4 {
				return errors.New("busy")
			}
			return nil
		}}
		cfg := config(t, &r)
		cfg.Backoff = func(retry int) time.Duration { return time.Duration(retry) * time.Minute }
		b := start(t, cfg)
		begin := time.Now()
		put(t, b, order(`{}`))
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		var got []time.Duration
		for _, at := range r.times {
			got = append(got, at.Sub(begin))
		}
		want := []time.Duration{0, time.Minute, 3 * time.Minute, 6 * time.Minute}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("attempts (-want +got):\n%s", diff)
		}
	})
}

func TestWhatCannotBeDeliveredGoesToTheDeadLetterQueue(t *testing.T) {
	two := 2
	none := 0
	tests := []struct {
		name     string
		policy   bus.RetryPolicy
		err      error
		attempts int
		want     map[string]string
	}{
		{"retries are used up", bus.RetryPolicy{MaxAttempts: &two}, errors.New("busy"), 3, map[string]string{
			"ERROR_CODE": "ERROR_FROM_TARGET", "ERROR_MESSAGE": "busy", "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts", "RETRY_ATTEMPTS": "2"}},
		{"no retries", bus.RetryPolicy{MaxAttempts: &none}, context.DeadlineExceeded, 1, map[string]string{
			"ERROR_CODE": "TIMEOUT", "ERROR_MESSAGE": "context deadline exceeded", "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts", "RETRY_ATTEMPTS": "0"}},
		{"the event is too old", bus.RetryPolicy{MaxAge: 3 * time.Minute}, errors.New("busy"), 4, map[string]string{
			"ERROR_CODE": "ERROR_FROM_TARGET", "ERROR_MESSAGE": "busy", "EXHAUSTED_RETRY_CONDITION": "MaximumEventAgeInSeconds", "RETRY_ATTEMPTS": "3"}},
		{"the default policy", bus.RetryPolicy{}, errors.New("busy"), 186, map[string]string{
			"ERROR_CODE": "ERROR_FROM_TARGET", "ERROR_MESSAGE": "busy", "EXHAUSTED_RETRY_CONDITION": "MaximumRetryAttempts", "RETRY_ATTEMPTS": "185"}},
		{"retrying cannot help", bus.RetryPolicy{}, fmt.Errorf("deliver: %w", &bus.TargetError{Code: "NO_PERMISSIONS", Permanent: true, Err: errors.New("denied")}), 1, map[string]string{
			"ERROR_CODE": "NO_PERMISSIONS", "ERROR_MESSAGE": "deliver: NO_PERMISSIONS: denied", "RETRY_ATTEMPTS": "0"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := targets{fail: func(string, int) error { return tt.err }}
				cfg := config(t, &r)
				cfg.Backoff = func(int) time.Duration { return time.Minute }
				cfg.Rules[0].Targets[0].Retry = tt.policy
				cfg.Rules[0].Targets[0].DeadLetterARN = dlqARN
				cfg.Rules[0].Targets[0].InputPath = "$.detail"
				b := start(t, cfg)
				put(t, b, order(`{"n":1}`))
				time.Sleep(24 * time.Hour)
				synctest.Wait()
				if r.attempts[queueARN] != tt.attempts || len(r.dead) != 1 {
					t.Fatalf("got %d attempts and %d dead letters, want %d and 1", r.attempts[queueARN], len(r.dead), tt.attempts)
				}
				tt.want["RULE_ARN"], tt.want["TARGET_ARN"] = ruleARN, queueARN
				if diff := cmp.Diff(tt.want, r.dead[0].Attributes); diff != "" {
					t.Errorf("attributes (-want +got):\n%s", diff)
				}
				if r.dead[0].Queue != dlqARN || !strings.Contains(r.dead[0].Body, `"detail":{"n":1}`) {
					t.Errorf("got %s on %s, want the whole event on %s", r.dead[0].Body, r.dead[0].Queue, dlqARN)
				}
			})
		})
	}
}

func TestOneFailingTargetHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := targets{fail: func(target string, _ int) error {
			if target == functionARN {
				return errors.New("busy")
			}
			return nil
		}}
		cfg := config(t, &r)
		cfg.Rules[0].Targets = append(cfg.Rules[0].Targets, bus.Target{ID: "worker", ARN: functionARN})
		b := start(t, cfg)
		for range 100 {
			put(t, b, order(`{}`))
		}
		synctest.Wait()
		if got := len(r.got(queueARN)); got != 100 {
			t.Errorf("the other target got %d of 100", got)
		}
	})
}

func TestPendingDeliveriesSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		down := targets{fail: func(string, int) error { return errors.New("down") }}
		cfg := config(t, &down)
		cfg.Backoff = func(int) time.Duration { return time.Minute }
		b := start(t, cfg)
		put(t, b, order(`{"n":1}`))
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		if _, err := b.Put(t.Context(), order(`{}`)); err == nil {
			t.Error("a closed bus took an event")
		}
		var up targets
		cfg.Deliver = up.deliver
		cfg.Rules = nil // what is under way does not need its rule
		start(t, cfg)
		time.Sleep(time.Minute)
		synctest.Wait()
		if got := up.got(queueARN); len(got) != 1 || !strings.Contains(got[0], `"n":1`) {
			t.Errorf("after the restart: got %q", got)
		}
	})
}

// TestADeliveryCutShortByAStopIsNotAFailure: it is repeated in full after the restart.
func TestADeliveryCutShortByAStopIsNotAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		none := 0
		var r targets
		cfg := config(t, &r)
		cfg.Rules[0].Targets[0].Retry.MaxAttempts = &none
		cfg.Deliver = func(ctx context.Context, _ string, _ []byte) error {
			<-ctx.Done()
			return ctx.Err()
		}
		b := start(t, cfg)
		put(t, b, order(`{}`))
		synctest.Wait()
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
		cfg.Deliver = r.deliver
		start(t, cfg)
		synctest.Wait()
		if got := r.got(queueARN); len(got) != 1 {
			t.Errorf("after the restart: got %d deliveries, want 1", len(got))
		}
	})
}

func TestNewRefuses(t *testing.T) {
	tooMany, negative := 186, -1
	rule := func(change func(r *bus.Rule)) func(*bus.Config) {
		return func(c *bus.Config) { change(&c.Rules[0]) }
	}
	target := func(change func(t *bus.Target)) func(*bus.Config) {
		return func(c *bus.Config) { change(&c.Rules[0].Targets[0]) }
	}
	tests := []struct {
		name   string
		change func(*bus.Config)
		says   string
	}{
		{"no Deliver", func(c *bus.Config) { c.Deliver = nil }, "Deliver"},
		{"an unknown operator", rule(func(r *bus.Rule) { r.Pattern = json.RawMessage(`{"a":[{"regex":"x"}]}`) }), `rule orders: event pattern, field a: unknown operator "regex"`},
		{"neither pattern nor schedule", rule(func(r *bus.Rule) { r.Pattern = nil }), "neither"},
		{"an unknown bus", rule(func(r *bus.Rule) { r.Bus = "nope" }), `event bus "nope"`},
		{"a bad schedule", rule(func(r *bus.Rule) { r.Bus, r.Schedule = "", "rate(1 minutes)" }), "rate(1 minutes)"},
		{"a one-time schedule", rule(func(r *bus.Rule) { r.Bus, r.Schedule = "", "at(2030-01-01T00:00:00)" }), "takes rate or cron"},
		{"a schedule on a custom bus", rule(func(r *bus.Rule) { r.Schedule = "rate(1 minute)" }), "default bus"},
		{"a target without an id", target(func(t *bus.Target) { t.ID = "" }), "id must be set"},
		{"a target without an ARN", target(func(t *bus.Target) { t.ARN = "" }), "no ARN"},
		{"two inputs", target(func(t *bus.Target) { t.Input, t.InputPath = "{}", "$.detail" }), "only one of"},
		{"an input that is not JSON", target(func(t *bus.Target) { t.Input = "hello" }), "not JSON"},
		{"a bad path", target(func(t *bus.Target) { t.InputPath = "detail" }), "must begin with $"},
		{"a bad transformer", target(func(t *bus.Target) { t.InputTransformer = &bus.InputTransformer{Template: "<x>"} }), "<x> has no path"},
		{"too many retries", target(func(t *bus.Target) { t.Retry.MaxAttempts = &tooMany }), "between 0 and 185"},
		{"negative retries", target(func(t *bus.Target) { t.Retry.MaxAttempts = &negative }), "between 0 and 185"},
		{"too short an age", target(func(t *bus.Target) { t.Retry.MaxAge = 59 * time.Second }), "between 1m0s and 24h"},
		{"too long an age", target(func(t *bus.Target) { t.Retry.MaxAge = 24*time.Hour + time.Second }), "between 1m0s and 24h"},
		{"a dead-letter queue without a way there", func(c *bus.Config) {
			c.DeadLetter = nil
			c.Rules[0].Targets[0].DeadLetterARN = dlqARN
		}, "DeadLetter is not set"},
		{"an archive of an unknown bus", func(c *bus.Config) { c.Archives = []bus.Archive{{Name: "a", SourceARN: "nope"}} }, "archive a"},
		{"an archive with a bad pattern", func(c *bus.Config) {
			c.Archives = []bus.Archive{{Name: "a", SourceARN: busARN, Pattern: json.RawMessage(`{}`)}}
		}, "archive a"},
		{"an archive outside its folder", func(c *bus.Config) { c.Archives = []bus.Archive{{Name: "../a", SourceARN: busARN}} }, "archive ../a"},
		{"an unknown time zone", func(c *bus.Config) {
			c.Schedules = []bus.Schedule{{Name: "s", Expression: "rate(1 hour)", TimeZone: "Mars/Olympus", Target: bus.Target{ARN: queueARN}}}
		}, "schedule s: time zone"},
		{"a schedule with a path", func(c *bus.Config) {
			c.Schedules = []bus.Schedule{{Name: "s", Expression: "rate(1 hour)", Target: bus.Target{ARN: queueARN, InputPath: "$"}}}
		}, "takes Input"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			cfg := config(t, &targets{})
			tt.change(&cfg)
			if _, err := bus.New(cfg); err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want an error that says %q", err, tt.says)
			}
		})
	}
}
