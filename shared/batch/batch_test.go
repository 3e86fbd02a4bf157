package batch_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/batch"
)

// permanent is an error that says of itself that it will not go away.
type permanent struct{ error }

func (permanent) Permanent() bool { return true }

func (p permanent) Unwrap() error { return p.error }

// box keeps dead letters in memory, by identity.
type box struct {
	mu      sync.Mutex
	letters map[string]batch.Letter
	err     error
}

func newBox() *box { return &box{letters: map[string]batch.Letter{}} }

func (b *box) Put(_ context.Context, l batch.Letter) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.err != nil {
		return b.err
	}
	b.letters[l.ID] = l
	return nil
}

// watch is an observer that remembers.
type watch struct {
	mu       sync.Mutex
	handling int
	outcomes map[string]batch.Outcome
	errs     map[string]error
}

func newWatch() *watch {
	return &watch{outcomes: map[string]batch.Outcome{}, errs: map[string]error{}}
}

func (w *watch) Handling(ctx context.Context, _ []string) (context.Context, func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.handling++
	return ctx, func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.handling--
	}
}

func (w *watch) Settled(_ context.Context, id string, o batch.Outcome, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.outcomes[id], w.errs[id] = o, err
}

func messages(fifo bool, groups ...string) events.SQSEvent {
	arn := "arn:aws:sqs:eu-west-1:123456789012:work"
	if fifo {
		arn += ".fifo"
	}
	var ev events.SQSEvent
	for i, g := range groups {
		ev.Records = append(ev.Records, events.SQSMessage{
			MessageId: fmt.Sprintf("m%d", i), Body: fmt.Sprintf("body %d", i), EventSourceARN: arn,
			Attributes: map[string]string{"MessageGroupId": g, "SentTimestamp": "1700000000123"},
		})
	}
	return ev
}

func TestSQS(t *testing.T) {
	boom, away := errors.New("boom"), errors.New("the database is away")
	givesUp := []batch.Option{batch.GiveUpAfter(5, func(err error) bool { return errors.Is(err, away) }), batch.DeadLetter(newBox())}
	delivered := func(times int) events.SQSEvent {
		ev := messages(false, "a")
		ev.Records[0].Attributes["ApproximateReceiveCount"] = strconv.Itoa(times)
		return ev
	}
	for name, tc := range map[string]struct {
		ev      events.SQSEvent
		fails   map[string]error // by message id
		opts    []batch.Option
		back    []string
		handled []string
	}{
		"nothing to do": {
			ev: events.SQSEvent{}, back: []string{}, handled: nil,
		},
		"all succeed": {
			ev: messages(false, "a", "b"), back: []string{}, handled: []string{"m0", "m1"},
		},
		"a standard queue goes on after a failure, whatever the groups": {
			ev:    messages(false, "a", "a", "a"),
			fails: map[string]error{"m0": boom},
			back:  []string{"m0"}, handled: []string{"m0", "m1", "m2"},
		},
		"a FIFO queue holds back what is behind a failure in its group": {
			ev:    messages(true, "a", "a", "b", "a"),
			fails: map[string]error{"m1": boom},
			back:  []string{"m1", "m3"}, handled: []string{"m0", "m1", "m2"},
		},
		"a permanent failure without dead letters is handed back": {
			ev:    messages(true, "a", "a"),
			fails: map[string]error{"m0": permanent{boom}},
			back:  []string{"m0", "m1"}, handled: []string{"m0"},
		},
		"a dead letter frees its group": {
			ev:    messages(true, "a", "a"),
			fails: map[string]error{"m0": fmt.Errorf("wrapped: %w", permanent{boom})},
			opts:  []batch.Option{batch.DeadLetter(newBox())},
			back:  []string{}, handled: []string{"m0", "m1"},
		},
		"dead letters that cannot be written are failures": {
			ev:    messages(false, "a", "a"),
			fails: map[string]error{"m0": permanent{boom}},
			opts:  []batch.Option{batch.DeadLetter(&box{err: errors.New("no bucket")})},
			back:  []string{"m0"}, handled: []string{"m0", "m1"},
		},
		"the end of time is never permanent": {
			ev:    messages(false, "a"),
			fails: map[string]error{"m0": permanent{fmt.Errorf("get: %w", context.DeadlineExceeded)}},
			opts:  []batch.Option{batch.DeadLetter(newBox())},
			back:  []string{"m0"}, handled: []string{"m0"},
		},
		"the caller says what is permanent": {
			ev:    messages(false, "a"),
			fails: map[string]error{"m0": boom},
			opts: []batch.Option{
				batch.DeadLetter(newBox()),
				batch.PermanentIf(func(err error) bool { return errors.Is(err, boom) }),
			},
			back: []string{}, handled: []string{"m0"},
		},
		"a failure that nobody knows comes back": {
			ev:    delivered(4),
			fails: map[string]error{"m0": boom},
			opts:  givesUp,
			back:  []string{"m0"}, handled: []string{"m0"},
		},
		"a number of times": {
			ev:    delivered(5),
			fails: map[string]error{"m0": boom},
			opts:  givesUp,
			back:  []string{}, handled: []string{"m0"},
		},
		"and not more often": {
			ev:    delivered(6),
			fails: map[string]error{"m0": boom},
			opts:  givesUp,
			back:  []string{}, handled: []string{"m0"},
		},
		"a transient one comes back however often it has": {
			ev:    delivered(1000),
			fails: map[string]error{"m0": fmt.Errorf("book: %w", away)},
			opts:  givesUp,
			back:  []string{"m0"}, handled: []string{"m0"},
		},
		"the end of time does so too": {
			ev:    delivered(1000),
			fails: map[string]error{"m0": fmt.Errorf("book: %w", context.DeadlineExceeded)},
			opts:  givesUp,
			back:  []string{"m0"}, handled: []string{"m0"},
		},
		"what does not tell how often it came is not given up": {
			ev:    messages(false, "a"),
			fails: map[string]error{"m0": boom},
			opts:  givesUp,
			back:  []string{"m0"}, handled: []string{"m0"},
		},
		"without dead letters nothing is given up": {
			ev:    delivered(6),
			fails: map[string]error{"m0": boom},
			opts:  givesUp[:1],
			back:  []string{"m0"}, handled: []string{"m0"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			var handled []string
			resp, err := batch.SQS(t.Context(), tc.ev, func(_ context.Context, m events.SQSMessage) error {
				handled = append(handled, m.MessageId)
				return tc.fails[m.MessageId]
			}, tc.opts...)
			if err != nil {
				t.Fatal(err)
			}
			back := []string{}
			for _, f := range resp.BatchItemFailures {
				back = append(back, f.ItemIdentifier)
			}
			if diff := cmp.Diff(tc.back, back); diff != "" {
				t.Errorf("handed back (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.handled, handled); diff != "" {
				t.Errorf("handled (-want +got):\n%s", diff)
			}
		})
	}
}

// TestNothingFailedIsAnEmptyList: Lambda takes an empty list for success; so that
// nobody has to wonder about null, that is never sent.
func TestNothingFailedIsAnEmptyList(t *testing.T) {
	ok := func(context.Context, events.SQSMessage) error { return nil }
	resp, err := batch.SQS(t.Context(), messages(false, "a"), ok)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(resp)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(text), `{"batchItemFailures":[]}`; got != want {
		t.Errorf("answer is %s, want %s", got, want)
	}
}

// TestRecordWithoutID: an empty identifier would make Lambda fail the batch with
// nothing to show for it.
func TestRecordWithoutID(t *testing.T) {
	ev := messages(false, "a", "b")
	ev.Records[1].MessageId = ""
	_, err := batch.SQS(t.Context(), ev, func(_ context.Context, m events.SQSMessage) error {
		if m.MessageId == "" {
			return errors.New("boom")
		}
		return nil
	})
	if err == nil || !strings.Contains(err.Error(), "record 1 of 2 has no id") || !strings.Contains(err.Error(), "boom") {
		t.Errorf("got %v, want an error that names the record and its failure", err)
	}
}

func TestPanicFailsItsRecordOnly(t *testing.T) {
	w := newWatch()
	resp, err := batch.SQS(t.Context(), messages(false, "a", "b", "c"), func(_ context.Context, m events.SQSMessage) error {
		if m.MessageId == "m1" {
			panic("out of range")
		}
		return nil
	}, batch.Observe(w), batch.Concurrency(3))
	if err != nil {
		t.Fatal(err)
	}
	if len(resp.BatchItemFailures) != 1 || resp.BatchItemFailures[0].ItemIdentifier != "m1" {
		t.Errorf("handed back %v, want m1", resp.BatchItemFailures)
	}
	var p *batch.PanicError
	if !errors.As(w.errs["m1"], &p) || !strings.Contains(string(p.Stack), "TestPanicFailsItsRecordOnly") {
		t.Errorf("observed %v, want the panic with its stack", w.errs["m1"])
	}
	want := map[string]batch.Outcome{"m0": batch.Done, "m1": batch.Failed, "m2": batch.Done}
	if diff := cmp.Diff(want, w.outcomes); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
	if w.handling != 0 {
		t.Errorf("%d calls of the handler were not reported as over", w.handling)
	}
}

func TestDeadLetterHoldsTheRecord(t *testing.T) {
	dead, boom := newBox(), permanent{errors.New("boom")}
	ev := messages(false, "a")
	for range 2 { // a second delivery replaces the letter
		if _, err := batch.SQS(t.Context(), ev, func(context.Context, events.SQSMessage) error { return boom }, batch.DeadLetter(dead)); err != nil {
			t.Fatal(err)
		}
	}
	if len(dead.letters) != 1 {
		t.Fatalf("%d letters, want 1", len(dead.letters))
	}
	l := dead.letters["arn:aws:sqs:eu-west-1:123456789012:work/m0"]
	var m events.SQSMessage
	if err := json.Unmarshal(l.Payload, &m); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(ev.Records[0], m); diff != "" {
		t.Errorf("payload (-want +got):\n%s", diff)
	}
	if want := time.UnixMilli(1700000000123); !l.Time.Equal(want) || !errors.Is(l.Err, boom) {
		t.Errorf("letter of %s for %v, want of %s for %v", l.Time, l.Err, want, boom)
	}
}

func TestDeadline(t *testing.T) {
	for name, tc := range map[string]struct {
		timeout time.Duration
		opts    []batch.Option
		back    []string
	}{
		// Each record takes a second.
		"time for all":              {6 * time.Second, nil, []string{}},
		"the reserve is kept":       {4 * time.Second, nil, []string{"m3", "m4"}},
		"a reserve of one's own":    {6 * time.Second, []batch.Option{batch.Reserve(1500 * time.Millisecond)}, []string{"m4"}},
		"a quarter at most is kept": {2 * time.Second, []batch.Option{batch.Reserve(time.Hour)}, []string{"m1", "m2", "m3", "m4"}},
		"no time at all":            {0, nil, []string{"m0", "m1", "m2", "m3", "m4"}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ctx, cancel := context.WithTimeout(t.Context(), tc.timeout)
				defer cancel()
				resp, err := batch.SQS(ctx, messages(false, "a", "b", "c", "d", "e"), func(ctx context.Context, _ events.SQSMessage) error {
					select {
					case <-time.After(time.Second - time.Millisecond):
						return nil
					case <-ctx.Done():
						return ctx.Err()
					}
				}, tc.opts...)
				if err != nil {
					t.Fatal(err)
				}
				back := []string{}
				for _, f := range resp.BatchItemFailures {
					back = append(back, f.ItemIdentifier)
				}
				if diff := cmp.Diff(tc.back, back); diff != "" {
					t.Errorf("handed back (-want +got):\n%s", diff)
				}
				if tc.timeout > 0 && ctx.Err() != nil {
					t.Error("the invocation has timed out")
				}
			})
		})
	}
}

func TestConcurrencyIsBoundedAndUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		running, most := 0, 0
		began := time.Now()
		_, err := batch.SQS(t.Context(), messages(false, make([]string, 9)...), func(context.Context, events.SQSMessage) error {
			mu.Lock()
			running++
			most = max(most, running)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			running--
			mu.Unlock()
			return nil
		}, batch.Concurrency(3))
		if err != nil {
			t.Fatal(err)
		}
		if most != 3 || time.Since(began) != 3*time.Second {
			t.Errorf("at most %d at a time for %s, want 3 for 3s", most, time.Since(began))
		}
	})
}

func TestGroups(t *testing.T) {
	type rec struct {
		id, key string
		size    int
	}
	src := batch.Source[rec]{
		ID:           func(r rec) string { return r.id },
		Key:          func(r rec) string { return r.key },
		Checkpointed: true,
	}
	for name, tc := range map[string]struct {
		records []rec
		max     int
		bytes   int
		want    [][]string
	}{
		"by number":               {[]rec{{"1", "a", 1}, {"2", "b", 1}, {"3", "c", 1}}, 2, 0, [][]string{{"1", "2"}, {"3"}}},
		"by bytes":                {[]rec{{"1", "a", 5}, {"2", "b", 5}, {"3", "c", 1}}, 9, 10, [][]string{{"1", "2"}, {"3"}}},
		"one byte too many":       {[]rec{{"1", "a", 5}, {"2", "b", 6}, {"3", "c", 4}}, 9, 10, [][]string{{"1"}, {"2", "3"}}},
		"too large for any group": {[]rec{{"1", "a", 1}, {"2", "b", 99}, {"3", "c", 1}}, 9, 10, [][]string{{"1"}, {"2"}, {"3"}}},
		"never two of a key":      {[]rec{{"1", "a", 1}, {"2", "a", 1}, {"3", "b", 1}, {"4", "a", 1}}, 9, 0, [][]string{{"1", "3"}, {"2"}, {"4"}}},
		"keyless need not wait":   {[]rec{{"1", "", 1}, {"2", "", 1}}, 9, 0, [][]string{{"1", "2"}}},
	} {
		t.Run(name, func(t *testing.T) {
			var got [][]string
			back, err := batch.ProcessGroups(t.Context(), src, tc.records,
				batch.Group[rec]{MaxRecords: tc.max, MaxBytes: tc.bytes, Size: func(r rec) int { return r.size }},
				func(_ context.Context, rs []rec) []error {
					var ids []string
					for _, r := range rs {
						ids = append(ids, r.id)
					}
					got = append(got, ids)
					return make([]error, len(rs))
				})
			if err != nil || len(back) > 0 {
				t.Fatalf("handed back %v, error %v", back, err)
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("groups (-want +got):\n%s", diff)
			}
		})
	}
}

func TestGroupHandlerMustAnswerForEach(t *testing.T) {
	src := batch.Source[string]{ID: func(s string) string { return s }}
	w := newWatch()
	back, err := batch.ProcessGroups(t.Context(), src, []string{"a", "b"}, batch.Group[string]{MaxRecords: 2},
		func(context.Context, []string) []error { return nil }, batch.Observe(w))
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(back, []string{"a", "b"}) || w.errs["a"] == nil {
		t.Errorf("handed back %v for %v, want both with a reason", back, w.errs["a"])
	}
}
