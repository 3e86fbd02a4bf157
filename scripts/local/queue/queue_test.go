package queue_test

import (
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/queue"
)

func TestVisibilityTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := named("q")
		q.VisibilityTimeout = ptr(10 * time.Second)
		b := openWith(t, q)
		send(t, b, "q", text("a"))
		first := receive(t, b, "q", 1)
		wantBodies(t, first, "a")
		wantStats(t, b, "q", 0, 1, 0)
		time.Sleep(10*time.Second - 1)
		wantBodies(t, receive(t, b, "q", 1))
		time.Sleep(time.Nanosecond)
		second := receive(t, b, "q", 1)
		wantBodies(t, second, "a")
		if n := second[0].Attributes["ApproximateReceiveCount"]; n != "2" {
			t.Errorf("received %s times", n)
		}
		if first[0].Attributes["ApproximateFirstReceiveTimestamp"] != second[0].Attributes["ApproximateFirstReceiveTimestamp"] {
			t.Error("the time of the first receive changed")
		}
		remove(t, b, "q", first[0]) // an old handle: accepted, and nothing happens
		wantStats(t, b, "q", 0, 1, 0)
		remove(t, b, "q", second[0])
		remove(t, b, "q", second[0]) // twice is no error
		wantStats(t, b, "q", 0, 0, 0)
	})
}

func TestChangeVisibility(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openWith(t, named("q"))
		ctx := context.Background()
		send(t, b, "q", text("a"))
		m := receive(t, b, "q", 1)[0]
		change := func(d time.Duration) error { return b.ChangeVisibility(ctx, prefix+"q", m.ReceiptHandle, d) }
		if err := change(time.Hour); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour - 1)
		wantBodies(t, receive(t, b, "q", 1))
		if err := change(0); err != nil {
			t.Fatal(err)
		}
		wantCode(t, change(time.Minute), "MessageNotInflight")
		m = receive(t, b, "q", 1)[0]
		wantCode(t, change(-1), "InvalidParameterValue")
		wantCode(t, change(12*time.Hour+1), "InvalidParameterValue")
		if err := change(12 * time.Hour); err != nil {
			t.Error(err)
		}
		wantCode(t, b.ChangeVisibility(ctx, prefix+"q", "nonsense", 0), "ReceiptHandleIsInvalid")
	})
}

func TestDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := named("q")
		q.Delay = 5 * time.Second
		b := openWith(t, q)
		send(t, b, "q", text("queue's delay"))
		send(t, b, "q", queue.Message{Body: "own delay", Delay: ptr(10 * time.Second)})
		send(t, b, "q", queue.Message{Body: "none", Delay: ptr(time.Duration(0))})
		wantStats(t, b, "q", 1, 0, 2)
		wantBodies(t, receive(t, b, "q", 10), "none")
		time.Sleep(5 * time.Second)
		wantBodies(t, receive(t, b, "q", 10), "queue's delay")
		time.Sleep(5 * time.Second)
		wantBodies(t, receive(t, b, "q", 10), "own delay")
	})
}

func TestRetention(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, q := named("dead"), named("q")
		q.Retention, dead.Retention = time.Hour, 2*time.Hour
		q.RedriveTarget, q.MaxReceiveCount = dead.ARN, 1
		b := openWith(t, q, dead)
		send(t, b, "q", text("expires"))
		send(t, b, "q", text("moves"))
		time.Sleep(time.Hour - 1)
		wantBodies(t, receive(t, b, "q", 1), "expires")
		time.Sleep(time.Nanosecond)
		wantStats(t, b, "q", 0, 0, 0)

		send(t, b, "q", text("dies"))
		time.Sleep(30 * time.Minute)
		receive(t, b, "q", 1)
		time.Sleep(29 * time.Minute)
		wantBodies(t, receive(t, b, "q", 1))
		wantStats(t, b, "dead", 1, 0, 0)
		time.Sleep(61*time.Minute - 1) // its age counts from when it was sent, not moved
		wantStats(t, b, "dead", 1, 0, 0)
		time.Sleep(time.Nanosecond)
		wantStats(t, b, "dead", 0, 0, 0)
	})
}

func TestRedriveToDeadLetterQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, q := named("dead"), named("q")
		q.RedriveTarget, q.MaxReceiveCount = dead.ARN, 3
		q.VisibilityTimeout = ptr(time.Second)
		b := openWith(t, q, dead)
		sent := send(t, b, "q", text("poison"))
		for range 3 {
			wantBodies(t, receive(t, b, "q", 10), "poison")
			time.Sleep(time.Second)
		}
		wantStats(t, b, "dead", 0, 0, 0)
		send(t, b, "q", text("good"))
		wantBodies(t, receive(t, b, "q", 2), "good") // the same call moves the poison
		letter := receive(t, b, "dead", 1)[0]
		if letter.MessageID != sent.MessageID || letter.Attributes["DeadLetterQueueSourceArn"] != q.ARN || letter.Attributes["ApproximateReceiveCount"] != "4" {
			t.Errorf("dead letter %+v", letter)
		}
	})
}

func TestLongPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := named("q")
		q.ReceiveWait = 20 * time.Second
		q.VisibilityTimeout = ptr(3 * time.Second)
		b := openWith(t, q)
		wait := func() (bodiesGot []string, after time.Duration) {
			start := time.Now()
			got, err := b.Receive(context.Background(), q.ARN, queue.ReceiveInput{Max: 10})
			if err != nil {
				t.Error(err)
			}
			return bodies(got), time.Since(start)
		}
		if got, after := wait(); len(got) != 0 || after != 20*time.Second {
			t.Errorf("empty queue: %q after %s", got, after)
		}
		go func() {
			time.Sleep(7 * time.Second)
			send(t, b, "q", text("a"))
		}()
		if got, after := wait(); !slices.Equal(got, []string{"a"}) || after != 7*time.Second {
			t.Errorf("sent meanwhile: %q after %s", got, after)
		}
		if got, after := wait(); !slices.Equal(got, []string{"a"}) || after != 3*time.Second {
			t.Errorf("visible again meanwhile: %q after %s", got, after)
		}
		send(t, b, "q", queue.Message{Body: "b", Delay: ptr(2 * time.Second)})
		if got, after := wait(); !slices.Equal(got, []string{"b"}) || after != 2*time.Second {
			t.Errorf("delayed: %q after %s", got, after)
		}
	})
}

// TestDelaysAreNoticed by a receiver that waits already.
func TestDelaysAreNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openWith(t, named("q"))
		go func() {
			time.Sleep(time.Second)
			send(t, b, "q", queue.Message{Body: "late", Delay: ptr(time.Second)})
			time.Sleep(500 * time.Millisecond)
			send(t, b, "q", queue.Message{Body: "early", Delay: ptr(100 * time.Millisecond)})
		}()
		for _, want := range []struct {
			body  string
			after time.Duration
		}{{"early", 1600 * time.Millisecond}, {"late", 400 * time.Millisecond}} {
			start := time.Now()
			got, err := b.Receive(context.Background(), prefix+"q", queue.ReceiveInput{Wait: ptr(20 * time.Second)})
			if after := time.Since(start); err != nil || !slices.Equal(bodies(got), []string{want.body}) || after != want.after {
				t.Errorf("got %q after %s, %v; want %q after %s", bodies(got), after, err, want.body, want.after)
			}
		}
	})
}

// TestEarlierVisibilityIsNoticed by a receiver that waits already.
func TestEarlierVisibilityIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openWith(t, named("q"))
		send(t, b, "q", text("a"))
		m := receive(t, b, "q", 1)[0]
		go func() {
			time.Sleep(time.Second)
			if err := b.ChangeVisibility(context.Background(), prefix+"q", m.ReceiptHandle, 2*time.Second); err != nil {
				t.Error(err)
			}
		}()
		start := time.Now()
		got, err := b.Receive(context.Background(), prefix+"q", queue.ReceiveInput{Wait: ptr(20 * time.Second)})
		if err != nil || len(got) != 1 || time.Since(start) != 3*time.Second {
			t.Errorf("got %d messages after %s, %v", len(got), time.Since(start), err)
		}
	})
}

func TestReceiveEndsWithItsContextAndTheBroker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openWith(t, named("q"))
		in := queue.ReceiveInput{Wait: ptr(20 * time.Second)}
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if _, err := b.Receive(ctx, prefix+"q", in); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		go func() {
			time.Sleep(time.Second)
			if err := b.Close(); err != nil {
				t.Error(err)
			}
		}()
		if _, err := b.Receive(context.Background(), prefix+"q", in); err == nil {
			t.Error("a closed broker went on waiting")
		}
	})
}

func TestFIFOKeepsOrderWithinAGroup(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := named("q.fifo")
		q.ContentBasedDeduplication = true
		q.VisibilityTimeout = ptr(10 * time.Second)
		b := openWith(t, q)
		for _, body := range []string{"a1", "b1", "a2", "b2", "a3"} {
			sent := send(t, b, "q.fifo", queue.Message{Body: body, GroupID: body[:1]})
			if len(sent.SequenceNumber) != 20 {
				t.Errorf("sequence number %q", sent.SequenceNumber)
			}
		}
		first := receive(t, b, "q.fifo", 2)
		wantBodies(t, first, "a1", "a2")
		wantBodies(t, receive(t, b, "q.fifo", 1), "b1")
		wantBodies(t, receive(t, b, "q.fifo", 10)) // both groups are in flight
		remove(t, b, "q.fifo", first[0])
		wantBodies(t, receive(t, b, "q.fifo", 10)) // a2 still is
		remove(t, b, "q.fifo", first[1])
		wantBodies(t, receive(t, b, "q.fifo", 10), "a3")
		time.Sleep(10 * time.Second)
		wantBodies(t, receive(t, b, "q.fifo", 10), "b1", "b2", "a3") // failed ones come before what followed them
		wantCode(t, b.Delete(context.Background(), q.ARN, first[0].ReceiptHandle+"x"), "ReceiptHandleIsInvalid")
	})
}

func TestFIFOHandleExpires(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := named("q.fifo")
		b := openWith(t, q)
		send(t, b, "q.fifo", queue.Message{Body: "a", GroupID: "g", DeduplicationID: "1"})
		m := receive(t, b, "q.fifo", 1)[0]
		time.Sleep(30 * time.Second)
		err := b.Delete(context.Background(), q.ARN, m.ReceiptHandle)
		wantCode(t, err, "InvalidParameterValue")
		if err == nil || !strings.Contains(err.Error(), "The receipt handle has expired") {
			t.Errorf("got %v", err)
		}
	})
}

func TestFIFODeduplication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := named("q.fifo")
		b := openWith(t, q)
		m := queue.Message{Body: "a", GroupID: "g", DeduplicationID: "1"}
		first := send(t, b, "q.fifo", m)
		remove(t, b, "q.fifo", receive(t, b, "q.fifo", 1)[0])
		time.Sleep(5*time.Minute - 1)
		if again := send(t, b, "q.fifo", m); again.MessageID != first.MessageID || again.SequenceNumber != first.SequenceNumber {
			t.Errorf("duplicate acknowledged as %+v, first %+v", again, first)
		}
		wantStats(t, b, "q.fifo", 0, 0, 0)
		time.Sleep(time.Nanosecond)
		if again := send(t, b, "q.fifo", m); again.MessageID == first.MessageID {
			t.Error("deduplicated for longer than five minutes")
		}
	})
}

func TestMessagesSurviveARestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dead, q, fifo := named("dead"), named("q"), named("q.fifo")
		q.RedriveTarget, q.MaxReceiveCount = dead.ARN, 2
		cfg := queue.Config{Queues: []queue.Queue{q, dead, fifo}, Path: filepath.Join(t.TempDir(), "queues.db")}
		b := open(t, cfg)
		send(t, b, "q", queue.Message{Body: "received", Attributes: map[string]queue.Attribute{"n": queue.StringAttribute("1")}})
		received := receive(t, b, "q", 1)[0]
		send(t, b, "q", text("deleted"))
		remove(t, b, "q", receive(t, b, "q", 1)[0])
		send(t, b, "q", text("waiting"))
		send(t, b, "q", queue.Message{Body: "delayed", Delay: ptr(time.Minute)})
		ordered := queue.Message{Body: "x", GroupID: "g", DeduplicationID: "1"}
		before := send(t, b, "q.fifo", ordered)
		remove(t, b, "q.fifo", receive(t, b, "q.fifo", 1)[0])
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}

		b = open(t, cfg)
		wantStats(t, b, "q", 2, 0, 1) // what was in flight is visible: its consumer is gone
		again := receive(t, b, "q", 10)
		wantBodies(t, again, "received", "waiting")
		if again[0].MessageID != received.MessageID || again[0].Attributes["ApproximateReceiveCount"] != "2" ||
			again[0].Attributes["SentTimestamp"] != received.Attributes["SentTimestamp"] || again[0].MD5OfAttributes != received.MD5OfAttributes {
			t.Errorf("before %+v\nafter %+v", received, again[0])
		}
		time.Sleep(time.Minute)
		wantBodies(t, receive(t, b, "q", 10), "waiting", "delayed")
		wantStats(t, b, "dead", 1, 0, 0) // received once before and once after the restart
		if dup := send(t, b, "q.fifo", ordered); dup.MessageID != before.MessageID {
			t.Error("the restart forgot a deduplication id")
		}
		ordered.DeduplicationID = "2"
		if next := send(t, b, "q.fifo", ordered); next.SequenceNumber <= before.SequenceNumber {
			t.Errorf("sequence number %s after %s", next.SequenceNumber, before.SequenceNumber)
		}
	})
}

func TestPeekAndPurge(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := openWith(t, named("q"))
		for _, body := range []string{"a", "b", "c"} {
			send(t, b, "q", text(body))
			time.Sleep(time.Millisecond)
		}
		peeked, err := b.Peek(prefix+"q", 2)
		if err != nil {
			t.Fatal(err)
		}
		wantBodies(t, peeked, "a", "b")
		if peeked[0].ReceiptHandle != "" || peeked[0].Attributes["ApproximateReceiveCount"] != "0" {
			t.Errorf("looking changed the message: %+v", peeked[0])
		}
		receive(t, b, "q", 1)
		if err := b.Purge(prefix + "q"); err != nil {
			t.Fatal(err)
		}
		wantStats(t, b, "q", 0, 0, 0)
		wantCode(t, b.Purge(prefix+"q"), "PurgeQueueInProgress")
		time.Sleep(time.Minute)
		if err := b.Purge(prefix + "q"); err != nil {
			t.Error(err)
		}
	})
}

func TestOpenRefusesWhatCannotWork(t *testing.T) {
	tests := map[string]struct {
		change func(q *queue.Queue)
		want   string
	}{
		"name":          {func(q *queue.Queue) { q.FIFO = true }, ".fifo"},
		"retention":     {func(q *queue.Queue) { q.Retention = time.Minute - 1 }, "retention"},
		"visibility":    {func(q *queue.Queue) { q.VisibilityTimeout = ptr(12*time.Hour + 1) }, "visibility"},
		"delay":         {func(q *queue.Queue) { q.Delay = 15*time.Minute + 1 }, "delay"},
		"wait":          {func(q *queue.Queue) { q.ReceiveWait = 20*time.Second + 1 }, "receive wait"},
		"size":          {func(q *queue.Queue) { q.MaxMessageBytes = 1023 }, "maximum message size"},
		"no count":      {func(q *queue.Queue) { q.RedriveTarget = q.ARN }, "maximum receive count"},
		"no such queue": {func(q *queue.Queue) { q.RedriveTarget, q.MaxReceiveCount = "arn:x:y", 1 }, "is not declared"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			q := named("q")
			tt.change(&q)
			if _, err := queue.Open(queue.Config{Queues: []queue.Queue{q}}); err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error %v, want one about %q", err, tt.want)
			}
		})
	}
	if _, err := queue.Open(queue.Config{Queues: []queue.Queue{named("q"), named("q")}}); err == nil {
		t.Error("a queue that is declared twice was accepted")
	}
}

func TestSendRefusesBadMessages(t *testing.T) {
	small, fifo := named("small"), named("q.fifo")
	small.MaxMessageBytes = 1024
	b := openWith(t, small, named("q"), fifo)
	attribute := func(name string, a queue.Attribute) queue.Message {
		return queue.Message{Body: "x", Attributes: map[string]queue.Attribute{name: a}}
	}
	tests := map[string]struct {
		queue string
		m     queue.Message
		code  string // empty: accepted
	}{
		"largest":                 {"small", text(strings.Repeat("x", 1024)), ""},
		"too large":               {"small", text(strings.Repeat("x", 1025)), "InvalidParameterValue"},
		"attributes count":        {"small", queue.Message{Body: strings.Repeat("x", 1016), Attributes: map[string]queue.Attribute{"a": queue.StringAttribute("bb")}}, "InvalidParameterValue"},
		"1 MiB":                   {"q", text(strings.Repeat("x", 1<<20)), ""},
		"over 1 MiB":              {"q", text(strings.Repeat("x", 1<<20+1)), "InvalidParameterValue"},
		"empty":                   {"q", text(""), "MissingParameter"},
		"allowed controls":        {"q", text("\t\n\r"), ""},
		"forbidden control":       {"q", text("a\x00"), "InvalidMessageContents"},
		"U+FFFD":                  {"q", text("\uFFFD"), ""},
		"U+FFFE":                  {"q", text("\uFFFE"), "InvalidMessageContents"},
		"invalid UTF-8":           {"q", text("\xff"), "InvalidMessageContents"},
		"longest delay":           {"q", queue.Message{Body: "x", Delay: ptr(15 * time.Minute)}, ""},
		"longer delay":            {"q", queue.Message{Body: "x", Delay: ptr(15*time.Minute + time.Second)}, "InvalidParameterValue"},
		"reserved attribute name": {"q", attribute("AWS.x", queue.StringAttribute("x")), "InvalidParameterValue"},
		"dots at the end":         {"q", attribute("a.", queue.StringAttribute("x")), "InvalidParameterValue"},
		"attribute of no type":    {"q", attribute("a", queue.Attribute{StringValue: ptr("x")}), "InvalidParameterValue"},
		"custom type":             {"q", attribute("a", queue.Attribute{DataType: "Number.int", StringValue: ptr("1")}), ""},
		"empty binary":            {"q", attribute("a", queue.Attribute{DataType: "Binary"}), "InvalidParameterValue"},
		"system attribute":        {"q", queue.Message{Body: "x", SystemAttributes: map[string]queue.Attribute{"Other": queue.StringAttribute("x")}}, "InvalidParameterValue"},
		"group on standard":       {"q", queue.Message{Body: "x", GroupID: "tenant"}, ""},
		"deduplication":           {"q", queue.Message{Body: "x", DeduplicationID: "1"}, "InvalidParameterValue"},
		"FIFO without group":      {"q.fifo", queue.Message{Body: "x", DeduplicationID: "1"}, "MissingParameter"},
		"FIFO without id":         {"q.fifo", queue.Message{Body: "x", GroupID: "g"}, "InvalidParameterValue"},
		"FIFO with delay":         {"q.fifo", queue.Message{Body: "x", GroupID: "g", DeduplicationID: "1", Delay: ptr(time.Second)}, "InvalidParameterValue"},
		"FIFO with space":         {"q.fifo", queue.Message{Body: "x", GroupID: "g g", DeduplicationID: "1"}, "InvalidParameterValue"},
		"no queue":                {"none", text("x"), "QueueDoesNotExist"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := b.Send(context.Background(), prefix+tt.queue, tt.m)
			if tt.code != "" {
				wantCode(t, err, tt.code)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
	many := queue.Message{Body: "x", Attributes: map[string]queue.Attribute{}}
	for _, name := range strings.Split("abcdefghij", "") {
		many.Attributes[name] = queue.StringAttribute("v")
	}
	send(t, b, "q", many)
	many.Attributes["k"] = queue.StringAttribute("v")
	_, err := b.Send(context.Background(), prefix+"q", many)
	wantCode(t, err, "InvalidParameterValue")
}
