package chaos

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/sources"
)

var _ sources.Delivery = (*Chaos)(nil)

// errLost is the outcome of a delivery whose answer was lost on purpose.
var errLost = errors.New("the answer was lost on purpose")

// Deliver implements sources.Delivery: the batches of queues and streams.
// Notifications pass: they are made hostile on their way into the queue, by Sender.
func (c *Chaos) Deliver(ctx context.Context, b sources.Batch, invoke func(context.Context, []json.RawMessage) sources.Outcome) sources.Outcome {
	if c.calm() || b.Kind == sources.NotificationSource {
		return invoke(ctx, b.Records)
	}
	d := &delivery{chaos: c, source: source{Kind(b.Kind), lastPart(b.Target)}, batch: b, invoke: invoke}
	return d.run(ctx)
}

// delivery is one batch on its way to a function.
type delivery struct {
	chaos  *Chaos
	source source
	batch  sources.Batch
	invoke func(context.Context, []json.RawMessage) sources.Outcome
}

func (d *delivery) run(ctx context.Context) sources.Outcome {
	c, s := d.chaos, d.source
	c.delay(ctx, s, Delays)
	records := d.batch.Records
	if !d.batch.Ordered {
		if numbers, struck := c.strike(s, Reorder); struck {
			records = shuffled(numbers, records)
		}
	}
	pieces := [][]json.RawMessage{records}
	if numbers, struck := c.strike(s, Splits); struck {
		pieces = cut(numbers, records)
	}
	numbers, twice := c.strike(s, Duplicates)
	var again chan struct{}
	if twice && !d.batch.Ordered && numbers.IntN(2) == 0 { // at the same time
		again = make(chan struct{})
		go func() {
			defer close(again)
			d.invoke(ctx, records)
		}()
	}
	outcome := d.deliver(ctx, pieces)
	switch {
	case again != nil:
		<-again
	case twice && outcome.Err == nil && len(outcome.Failed) == 0: // as if the answer had been lost
		d.invoke(ctx, records)
	}
	if _, struck := c.strike(s, Lost); struck && outcome.Err == nil && outcome.RequestID != "" {
		outcome.Err = errLost
	}
	return outcome
}

// deliver hands the pieces of a batch over, one after the other. Of an ordered
// source nothing comes after a piece that failed.
func (d *delivery) deliver(ctx context.Context, pieces [][]json.RawMessage) sources.Outcome {
	if len(pieces) == 1 {
		return d.invoke(ctx, pieces[0])
	}
	var whole sources.Outcome
	for i, piece := range pieces {
		outcome := d.invoke(ctx, piece)
		failed := outcome.Failed
		if outcome.Err != nil {
			failed = identifiers(d.batch.Kind, piece)
		}
		whole.Failed = append(whole.Failed, failed...)
		if outcome.RequestID != "" {
			whole.RequestID, whole.FunctionError = outcome.RequestID, outcome.FunctionError
		}
		if i == 0 && outcome.Err != nil && d.batch.Ordered { // nothing has been done
			return outcome
		}
		if d.batch.Ordered && len(failed) > 0 {
			for _, rest := range pieces[i+1:] {
				whole.Failed = append(whole.Failed, identifiers(d.batch.Kind, rest)...)
			}
			break
		}
	}
	return whole
}

// identifiers are what batch item failures call the records.
func identifiers(kind sources.Kind, records []json.RawMessage) []string {
	ids := make([]string, len(records))
	for i, raw := range records {
		var r struct {
			MessageID string `json:"messageId"`
			DynamoDB  struct {
				SequenceNumber string
			} `json:"dynamodb"`
		}
		if err := json.Unmarshal(raw, &r); err != nil {
			continue // the runtime made it: it can be read
		}
		ids[i] = r.MessageID
		if kind == sources.StreamSource {
			ids[i] = r.DynamoDB.SequenceNumber
		}
	}
	return ids
}

func shuffled(numbers *rand.Rand, records []json.RawMessage) []json.RawMessage {
	out := make([]json.RawMessage, len(records))
	for to, from := range numbers.Perm(len(records)) {
		out[to] = records[from]
	}
	return out
}

// cut takes records apart, in order, into two pieces or more where there are so many.
func cut(numbers *rand.Rand, records []json.RawMessage) [][]json.RawMessage {
	var pieces [][]json.RawMessage
	for len(records) > 1 {
		n := 1 + numbers.IntN(len(records)-1)
		pieces, records = append(pieces, records[:n]), records[n:]
		if numbers.IntN(2) == 0 {
			break
		}
	}
	return append(pieces, records)
}

// delay waits for a time of at most max-delay, if the fault strikes.
func (c *Chaos) delay(ctx context.Context, s source, f Fault) {
	if numbers, struck := c.strike(s, f); struck {
		pause(ctx, fraction(numbers, c.Settings().MaxDelay))
	}
}

func fraction(numbers *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(numbers.Float64() * float64(d))
}

func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// lastPart is the name in an ARN.
func lastPart(arn string) string {
	return arn[strings.LastIndexAny(arn, ":/")+1:]
}

// Sender makes the messages of notifications, or of a bus, hostile: they may come
// late, overtaken by others, and twice. A delay is the message's own, so that what
// was acknowledged is in the queue. FIFO queues are left alone.
func (c *Chaos) Sender(kind Kind, next sources.Sender) sources.Sender {
	return sender{chaos: c, kind: kind, next: next}
}

type sender struct {
	chaos *Chaos
	kind  Kind
	next  sources.Sender
}

// Send implements sources.Sender.
func (s sender) Send(ctx context.Context, queueARN string, m queue.Message) (queue.Sent, error) {
	if s.chaos.calm() || strings.HasSuffix(queueARN, ".fifo") {
		return s.next.Send(ctx, queueARN, m)
	}
	at := source{s.kind, lastPart(queueARN)}
	if numbers, struck := s.chaos.strike(at, Duplicates); struck {
		if _, err := s.next.Send(ctx, queueARN, s.held(m, fraction(numbers, s.chaos.Settings().MaxDelay))); err != nil {
			return queue.Sent{}, err
		}
	}
	for _, f := range []Fault{Delays, Reorder} {
		if numbers, struck := s.chaos.strike(at, f); struck {
			m = s.held(m, fraction(numbers, s.chaos.Settings().MaxDelay))
		}
	}
	return s.next.Send(ctx, queueARN, m)
}

// held is a message that can be received d later than it could.
func (s sender) held(m queue.Message, d time.Duration) queue.Message {
	if m.Delay != nil {
		d = min(d+*m.Delay, maxDuration)
	}
	m.Delay = &d
	return m
}

// Target makes the deliveries of a bus to other targets than queues hostile.
func (c *Chaos) Target(deliver func(ctx context.Context, arn string, payload []byte) error) func(ctx context.Context, arn string, payload []byte) error {
	return func(ctx context.Context, arn string, payload []byte) error {
		if c.calm() {
			return deliver(ctx, arn, payload)
		}
		at := source{Targets, lastPart(arn)}
		c.delay(ctx, at, Delays)
		c.delay(ctx, at, Reorder) // the others go on
		if _, struck := c.strike(at, Duplicates); struck {
			if err := deliver(ctx, arn, payload); err != nil {
				return err
			}
		}
		if err := deliver(ctx, arn, payload); err != nil {
			return err
		}
		if _, struck := c.strike(at, Lost); struck {
			return errLost
		}
		return nil
	}
}
