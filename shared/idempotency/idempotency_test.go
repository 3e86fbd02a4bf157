package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/idempotency"
)

func TestOnceAndTheSameAnswer(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	var created []string
	for i := range 3 {
		got, replayed, err := idempotency.Do(t.Context(), b.Store, request("k", "p"), create(&created))
		if err != nil || got.ID != "id-1" || replayed != (i > 0) {
			t.Errorf("call %d: %+v, replayed %t, %v", i, got, replayed, err)
		}
	}
	if len(created) != 1 {
		t.Errorf("created %v", created)
	}
	_, _, err := idempotency.Do(t.Context(), b.Store, request("k", "another"), create(&created))
	wantCode(t, err, fault.IdempotencyReused)

	// Keys of other callers, and of other operations, are other keys.
	for _, scope := range [][]string{{"alpha", "zoe"}, {"alpha", "zoe", "POST /v1/uploads", ""}, {"alphazoe", "", "POST /v1/uploads"}, nil} {
		r := request("k", "p")
		r.Scope = scope
		if _, replayed, err := idempotency.Do(t.Context(), b.Store, r, create(&created)); err != nil || replayed {
			t.Errorf("scope %q: replayed %t, %v", scope, replayed, err)
		}
	}
}

func TestKeysAtTheirLimits(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		key string
		ok  bool
	}{
		{"", false}, {"k", true}, {" ~", true}, {strings.Repeat("k", 255), true}, {strings.Repeat("k", 256), false},
		{"a\x1fb", false}, {"a\x7f", false}, {"ключ", false}, {"a\n", false},
	} {
		err := request(tc.key, "p").Validate()
		if (err == nil) != tc.ok || err != nil && !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("key %q: %v", tc.key, err)
		}
	}
}

func TestLeaseAtItsBoundaries(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		after time.Duration
		code  fault.Code
		wait  int
	}{
		{0, fault.IdempotencyInProgress, 10},
		{lease - time.Millisecond, fault.IdempotencyInProgress, 1},
		{lease + skew, fault.IdempotencyInProgress, 1},
		{lease + skew + time.Millisecond, "", 0},
	} {
		t.Run(tc.after.String(), func(t *testing.T) {
			t.Parallel()
			b := newBench(t)
			first := begin(t, b.Store, request("k", "p"))
			b.move(tc.after)
			second, result, err := b.Begin(t.Context(), request("k", "p"))
			wantCode(t, err, tc.code)
			var f *fault.Error
			if errors.As(err, &f) && f.Details["retryAfter"] != tc.wait {
				t.Errorf("retry after %v, want %d", f.Details["retryAfter"], tc.wait)
			}
			if err == nil && (result != nil || second.ID != first.ID || second.Fence != 2 || second.First() || !first.First()) {
				t.Errorf("first %+v, then %+v", first, second)
			}
			// Another payload is refused whether or not somebody is at work.
			_, _, err = b.Begin(t.Context(), request("k", "other"))
			wantCode(t, err, fault.IdempotencyReused)
		})
	}
}

func TestLeaseEndsWithTheDeadline(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	var left time.Duration
	_, _, err := idempotency.Do(ctx, b.Store, request("k", "p"), func(work context.Context, c idempotency.Claim) (made, error) {
		if ends := c.Lease.Sub(b.now()); ends <= 2*time.Second || ends > 3*time.Second {
			t.Errorf("the lease ends in %s", ends)
		}
		end, ok := work.Deadline()
		left = time.Until(end)
		if !ok || left > 2300*time.Millisecond { // a quarter is kept
			t.Errorf("the effect may take %s (%t)", left, ok)
		}
		return made{c.ID}, nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestLosersAreFenced takes a request over from an owner that was slow, and lets that one
// go on then.
func TestLosersAreFenced(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	slow := begin(t, b.Store, request("k", "p"))
	b.move(lease + 2*skew)
	quick := begin(t, b.over(nil), request("k", "p"))

	guarded := func(c idempotency.Claim) error {
		_, err := ddbtest.Client(nil).TransactWriteItems(t.Context(), &dynamodb.TransactWriteItemsInput{TransactItems: []types.TransactWriteItem{b.Guard(c)}})
		return err
	}
	var canceled *types.TransactionCanceledException
	if err := guarded(slow); !errors.As(err, &canceled) {
		t.Errorf("an owner that was taken over has an effect: %v", err)
	}
	if err := guarded(quick); err != nil {
		t.Errorf("the owner has no effect: %v", err)
	}
	wantCode(t, b.Finish(t.Context(), slow, []byte(`{"id":"slow"}`)), fault.IdempotencyInProgress)
	for name, end := range map[string]func(context.Context, idempotency.Claim) error{"abandon": b.Abandon, "forget": b.Forget} {
		if err := end(t.Context(), slow); err != nil {
			t.Errorf("%s after losing: %v", name, err)
		}
		_, _, err := b.Begin(t.Context(), request("k", "p"))
		wantCode(t, err, fault.IdempotencyInProgress)
	}
	for range 2 { // the answer to the first may have been lost
		if err := b.Finish(t.Context(), quick, []byte(`{"id":"quick"}`)); err != nil {
			t.Error(err)
		}
	}
	wantCode(t, b.Finish(t.Context(), slow, []byte(`{"id":"slow"}`)), fault.IdempotencyInProgress)
	if _, result, err := b.Begin(t.Context(), request("k", "p")); err != nil || string(result) != `{"id":"quick"}` {
		t.Errorf("result is %s, %v", result, err)
	}
	if err := guarded(quick); !errors.As(err, &canceled) {
		t.Errorf("a finished request has another effect: %v", err)
	}
}

func TestFailedEffects(t *testing.T) {
	t.Parallel()
	t.Run("that did nothing free the key", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		refused := fault.New(fault.QuotaExceeded, "full")
		_, _, err := idempotency.Do(t.Context(), b.Store, request("k", "p"), func(context.Context, idempotency.Claim) (made, error) { return made{}, refused })
		if !errors.Is(err, refused) {
			t.Errorf("error is %v", err)
		}
		if c := begin(t, b.Store, request("k", "another")); c.ID != "id-2" || !c.First() {
			t.Errorf("claim is %+v", c)
		}
	})
	t.Run("of unknown outcome keep their id", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		_, _, err := idempotency.Do(t.Context(), b.Store, request("k", "p"), func(context.Context, idempotency.Claim) (made, error) { return made{}, errCrash })
		if !errors.Is(err, errCrash) {
			t.Errorf("error is %v", err)
		}
		_, _, err = b.Begin(t.Context(), request("k", "another"))
		wantCode(t, err, fault.IdempotencyReused)
		if c := begin(t, b.Store, request("k", "p")); c.ID != "id-1" || c.Fence != 2 {
			t.Errorf("claim is %+v", c)
		}
	})
	t.Run("that panic", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_, _, _ = idempotency.Do(t.Context(), b.Store, request("k", "p"), func(context.Context, idempotency.Claim) (made, error) { panic("no") })
		}()
		if c := begin(t, b.Store, request("k", "p")); c.ID != "id-1" {
			t.Errorf("claim is %+v", c)
		}
	})
	t.Run("that run out of time", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		_, _, err := idempotency.Do(ctx, b.Store, request("k", "p"), func(ctx context.Context, _ idempotency.Claim) (made, error) {
			<-ctx.Done()
			return made{}, ctx.Err()
		})
		wantCode(t, err, fault.Unavailable)
		if c := begin(t, b.Store, request("k", "p")); c.ID != "id-1" || c.Fence != 2 {
			t.Errorf("claim is %+v", c)
		}
	})
	t.Run("whose caller has gone", func(t *testing.T) {
		t.Parallel()
		b := newBench(t)
		ctx, cancel := context.WithCancel(t.Context())
		got, _, err := idempotency.Do(ctx, b.Store, request("k", "p"), func(_ context.Context, c idempotency.Claim) (made, error) {
			cancel()
			return made{c.ID}, nil
		})
		if err != nil || got.ID != "id-1" {
			t.Errorf("%+v, %v", got, err)
		}
		if _, result, err := b.Begin(t.Context(), request("k", "p")); err != nil || string(result) != `{"id":"id-1"}` {
			t.Errorf("result is %s, %v", result, err)
		}
	})
}

func TestResultsThatAreNotStored(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	c := begin(t, b.Store, request("k", "p"))
	for _, tc := range []struct {
		name   string
		result string
		ok     bool
	}{
		{"a signed URL", `{"url":"https://s3/x?X-Amz-Signature=0"}`, false},
		{"too large", `"` + strings.Repeat("x", idempotency.ResultBytes-1) + `"`, false},
		{"as large as may be", `"` + strings.Repeat("x", idempotency.ResultBytes-2) + `"`, true},
	} {
		if err := b.Finish(t.Context(), c, []byte(tc.result)); (err == nil) != tc.ok {
			t.Errorf("%s: %v", tc.name, err)
		}
	}
}

// TestRecordsExpireByTheClock looks at results before DynamoDB has deleted them, and asks
// that it is told to, in seconds, and not before.
func TestRecordsExpireByTheClock(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	began := b.now()
	c := begin(t, b.Store, request("k", "p"))
	if err := b.Finish(t.Context(), c, []byte(`{}`)); err != nil {
		t.Fatal(err)
	}
	out, err := ddbtest.Client(nil).Scan(t.Context(), &dynamodb.ScanInput{TableName: &b.table})
	if err != nil || len(out.Items) != 1 {
		t.Fatalf("%d records, %v", len(out.Items), err)
	}
	ttl, _ := out.Items[0]["ttl"].(*types.AttributeValueMemberN)
	if want := fmt.Sprint(began.Add(keep).Unix()); ttl == nil || ttl.Value != want {
		t.Errorf("ttl is %v, want %s", ttl, want)
	}
	b.move(keep)
	if _, result, err := b.Begin(t.Context(), request("k", "p")); err != nil || result == nil {
		t.Errorf("at its end: %s, %v", result, err)
	}
	b.move(time.Millisecond)
	if c := begin(t, b.Store, request("k", "another")); c.ID != "id-3" || !c.First() {
		t.Errorf("after its end: %+v", c)
	}
}

// TestLostAnswers lets the table do each write and loses its answer, so that the SDK sends
// the call again: it must find its own work, not somebody else's.
func TestLostAnswers(t *testing.T) {
	t.Parallel()
	lossy := func() *ddbtest.Transport {
		var calls atomic.Int64
		return &ddbtest.Transport{After: func(string) error {
			if calls.Add(1)%2 == 1 {
				return errors.New("connection reset")
			}
			return nil
		}}
	}
	b := newBench(t)
	s := b.over(lossy())
	var created []string
	got, replayed, err := idempotency.Do(t.Context(), s, request("k", "p"), create(&created))
	if err != nil || replayed || got.ID != "id-1" || len(created) != 1 {
		t.Errorf("%+v, replayed %t, %v, created %v", got, replayed, err, created)
	}
	begin(t, b.Store, request("l", "p"))
	b.move(lease + 2*skew)
	if c := begin(t, s, request("l", "p")); c.Fence != 2 {
		t.Errorf("taken over as %+v", c)
	}
}

// TestTwins lets many begin at the same moment: one has the effect, and each of the others
// is told to wait or gets its result.
func TestTwins(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for round := range 20 {
		r := request(fmt.Sprint("k", round), "p")
		var effects, results, told atomic.Int64
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				got, _, err := idempotency.Do(t.Context(), b.over(nil), r, func(_ context.Context, c idempotency.Claim) (made, error) {
					effects.Add(1)
					return made{c.ID}, nil
				})
				switch {
				case err == nil && got.ID != "":
					results.Add(1)
				case fault.Is(err, fault.IdempotencyInProgress):
					told.Add(1)
				default:
					t.Errorf("%+v, %v", got, err)
				}
			})
		}
		wg.Wait()
		if effects.Load() != 1 || results.Load() < 1 || results.Load()+told.Load() != 12 {
			t.Errorf("%d effects, %d results, %d told to wait", effects.Load(), results.Load(), told.Load())
		}
	}
}

// TestHeirsRace lets many take over the same abandoned request: one does.
func TestHeirsRace(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for round := range 20 {
		r := request(fmt.Sprint("k", round), "p")
		first := begin(t, b.Store, r)
		b.move(lease + 2*skew)
		var owners atomic.Int64
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				c, _, err := b.over(nil).Begin(t.Context(), r)
				switch {
				case err == nil && c.ID == first.ID && c.Fence == 2:
					owners.Add(1)
				case !fault.Is(err, fault.IdempotencyInProgress):
					t.Errorf("%+v, %v", c, err)
				}
			})
		}
		wg.Wait()
		if owners.Load() != 1 {
			t.Errorf("%d took over", owners.Load())
		}
	}
}

func TestBusyTable(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	for exception, code := range map[string]fault.Code{
		"ProvisionedThroughputExceededException": fault.Unavailable,
		"ThrottlingException":                    fault.Unavailable,
		"TransactionConflictException":           fault.Unavailable,
		"InternalServerError":                    fault.Unavailable,
		"ValidationException":                    fault.Internal,
	} {
		s := b.over(&ddbtest.Transport{Intercept: func(string, []byte) *ddbtest.Answer { return ddbtest.Error(exception) }})
		_, _, err := s.Begin(t.Context(), request("k", "p"))
		wantCode(t, err, code)
	}
}
