// Package queue is Amazon SQS in process, for the queues that a template
// declares: standard and FIFO queues with visibility time-outs, delays, receive
// counts, redrive to dead-letter queues and back, retention, long polling,
// attributes and their digests, and batches with partial failures. Broker also
// speaks SQS's JSON protocol, as an http.Handler; it verifies no signatures.
//
// Promises: a message is durable (against a kill of the process, see store)
// before it is acknowledged; it is delivered at least once; FIFO queues keep
// order within a message group, also over failures, and drop duplicates for five
// minutes. A waiting Receive returns as soon as a message can be received.
//
// Stricter than AWS: a standard queue keeps order and makes no duplicates of its
// own, and only the latest receipt handle deletes. After a restart what was in
// flight is visible at once, because its consumers ended too.
//
// All methods are safe for concurrent use.
package queue

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"
)

// Broker holds the queues.
type Broker struct {
	cfg   Config
	store *store

	mu     sync.Mutex
	queues map[string]*queueState // by name
	order  []string               // names as declared
	moves  []*moveTask            // the latest last

	closed  chan struct{}
	closing sync.Once
	work    sync.WaitGroup // move tasks
}

// Open loads the queues' messages and makes them available.
func Open(cfg Config) (*Broker, error) {
	cfg.setDefaults()
	b := &Broker{cfg: cfg, queues: map[string]*queueState{}, closed: make(chan struct{})}
	var errs []error
	for _, q := range cfg.Queues {
		if b.queues[q.Name] != nil {
			errs = append(errs, fmt.Errorf("queue %q is declared twice", q.Name))
		}
		errs = append(errs, q.validate())
		b.queues[q.Name] = newQueueState(q.withDefaults())
		b.order = append(b.order, q.Name)
	}
	errs = append(errs, b.validateRedrives(cfg.Queues))
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	var err error
	if b.store, err = openStore(cfg.Path); err != nil {
		return nil, err
	}
	now := cfg.Now()
	for _, q := range b.queues {
		if err := b.store.load(q, now); err != nil {
			return nil, errors.Join(err, b.store.close())
		}
	}
	return b, nil
}

// validateRedrives checks the dead-letter queues of queues, which may be among
// themselves or be there already.
func (b *Broker) validateRedrives(queues []Queue) error {
	known := map[string]Queue{} // by ARN
	for _, q := range b.queues {
		known[q.ARN] = q.Queue
	}
	for _, q := range queues {
		known[q.ARN] = q
	}
	var errs []error
	for _, q := range queues {
		target, ok := known[q.RedriveTarget]
		switch {
		case q.RedriveTarget == "":
		case !ok:
			errs = append(errs, fmt.Errorf("queue %q: its dead-letter queue %s is not declared", q.Name, q.RedriveTarget))
		case target.FIFO != q.FIFO:
			errs = append(errs, fmt.Errorf("queue %q: its dead-letter queue %s must be of the same type", q.Name, target.Name))
		}
	}
	return errors.Join(errs...)
}

// Configure gives queues other settings and adds those that are new; all of that
// or, with an error, nothing. What is on a queue stays there, and so do queues
// that are not named.
func (b *Broker) Configure(queues []Queue) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	var errs []error
	added := map[string]*queueState{}
	for _, q := range queues {
		errs = append(errs, q.validate())
		if b.queues[q.Name] == nil {
			added[q.Name] = newQueueState(q.withDefaults())
		}
	}
	if err := errors.Join(append(errs, b.validateRedrives(queues))...); err != nil {
		return err
	}
	now := b.cfg.Now()
	for _, q := range added {
		if err := b.store.load(q, now); err != nil {
			return err
		}
	}
	for _, q := range queues {
		if state := added[q.Name]; state != nil {
			b.queues[q.Name] = state
			b.order = append(b.order, q.Name)
			continue
		}
		state := b.queues[q.Name]
		state.Queue = q.withDefaults()
		state.wake() // who waits has to look at the new settings
	}
	return nil
}

// Close ends waiting calls and move tasks, and closes the file.
func (b *Broker) Close() error {
	var err error
	b.closing.Do(func() {
		close(b.closed)
		b.work.Wait()
		b.mu.Lock()
		defer b.mu.Unlock()
		err = b.store.close()
	})
	return err
}

// find returns a queue by its ARN, URL or name.
func (b *Broker) find(id string) (*queueState, error) {
	name := id[strings.LastIndexAny(id, ":/")+1:]
	q := b.queues[name]
	if q == nil || strings.HasPrefix(id, "arn:") && id != q.ARN {
		return nil, noQueue(id)
	}
	return q, nil
}

// Send puts a message on a queue and returns once it is durable.
func (b *Broker) Send(ctx context.Context, queueARN string, m Message) (Sent, error) {
	if err := ctx.Err(); err != nil {
		return Sent{}, fmt.Errorf("send to %s: %w", queueARN, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	q, err := b.find(queueARN)
	if err != nil {
		return Sent{}, err
	}
	if err := m.validate(q.Queue); err != nil {
		return Sent{}, err
	}
	return b.accept(q, m.traced(ctx))
}

// accept adds a valid message, unless it is a duplicate.
func (b *Broker) accept(q *queueState, m Message) (Sent, error) {
	now := b.cfg.Now()
	sent := Sent{MD5OfBody: md5Of(m.Body), MD5OfAttributes: md5OfAttributes(m.Attributes), MD5OfSystemAttributes: md5OfAttributes(m.SystemAttributes)}
	var w batch
	if q.FIFO {
		if m.DeduplicationID == "" {
			sum := sha256.Sum256([]byte(m.Body))
			m.DeduplicationID = hex.EncodeToString(sum[:])
		}
		b.dropOldDuplicates(q, now, &w)
		if d, ok := q.dedup[m.DeduplicationID]; ok && d.Until.After(now) {
			sent.MessageID, sent.SequenceNumber = d.MessageID, sequenceNumber(d.Seq)
			return sent, nil
		}
	}
	msg := b.newMessage(q, m, now)
	w.insert(q, msg)
	d := duplicate{msg.ID, msg.seq, now.Add(deduplicateFor)}
	if q.FIFO {
		w.remember(q, m.DeduplicationID, d)
	}
	if err := b.commit(&w); err != nil {
		return Sent{}, err
	}
	q.nextSeq++
	q.add(msg)
	if q.FIFO {
		q.dedup[m.DeduplicationID] = d
	}
	sent.MessageID, sent.SequenceNumber = msg.ID, msg.Sequence
	return sent, nil
}

func (b *Broker) newMessage(q *queueState, m Message, now time.Time) *message {
	msg := &message{seq: q.nextSeq, record: record{
		ID: b.cfg.NewID(), Body: m.Body, Attributes: m.Attributes, GroupID: m.GroupID, DeduplicationID: m.DeduplicationID,
		SenderID: m.SenderID, Sent: now, Delay: q.Delay,
	}}
	setDefault(&msg.SenderID, b.cfg.Account)
	if trace, ok := m.SystemAttributes[systemAttribute]; ok {
		msg.Trace = *trace.StringValue
	}
	if q.FIFO {
		msg.Sequence = sequenceNumber(msg.seq)
	}
	if m.Delay != nil {
		msg.Delay = *m.Delay
	}
	if msg.Delay > 0 {
		msg.status, msg.due = delayed, now.Add(msg.Delay)
	}
	return msg
}

// dropOldDuplicates forgets deduplication ids whose time is over, once in a while.
func (b *Broker) dropOldDuplicates(q *queueState, now time.Time, w *batch) {
	if now.Sub(q.lastSweep) < sweepEvery {
		return
	}
	q.lastSweep = now
	for id, d := range q.dedup {
		if !d.Until.After(now) {
			delete(q.dedup, id)
			w.forget(q, id)
		}
	}
}

// Delete removes a received message for good. Like SQS it succeeds for a message that is gone,
// and for a standard queue's receipt handle that is not the latest, which then removes nothing.
func (b *Broker) Delete(_ context.Context, queueARN, receiptHandle string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, err := b.find(queueARN)
	if err != nil {
		return err
	}
	q.revealDue(b.cfg.Now())
	m, latest, err := q.byHandle(receiptHandle)
	if err != nil || m == nil {
		return err
	}
	if !latest || q.FIFO && m.status != inFlight {
		if q.FIFO {
			return invalidParameter("Value %s for parameter ReceiptHandle is invalid. Reason: The receipt handle has expired.", receiptHandle)
		}
		return nil
	}
	return b.discard(q, m)
}

// discard removes messages, durably first.
func (b *Broker) discard(q *queueState, messages ...*message) error {
	var w batch
	for _, m := range messages {
		w.remove(q, m)
	}
	if err := b.commit(&w); err != nil {
		return err
	}
	for _, m := range messages {
		q.remove(m)
	}
	return nil
}

// ChangeVisibility sets how long from now a message that is in flight stays so. Zero makes it
// visible at once.
func (b *Broker) ChangeVisibility(_ context.Context, queueARN, receiptHandle string, timeout time.Duration) error {
	if timeout < 0 || timeout > maxVisibility {
		return invalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: VisibilityTimeout must be between 0 and 43200.", int(timeout.Seconds()))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	q, err := b.find(queueARN)
	if err != nil {
		return err
	}
	now := b.cfg.Now()
	q.revealDue(now)
	m, latest, err := q.byHandle(receiptHandle)
	switch {
	case err != nil:
		return err
	case m == nil || !latest || m.status != inFlight:
		return &Error{Code: "MessageNotInflight", Message: "The message referred to isn't in flight."}
	case timeout == 0:
		q.reveal(m)
	default:
		q.reschedule(m, now.Add(timeout))
		q.wake() // a waiting receive has to look at the new time
	}
	return nil
}

// commit makes changes durable; SQS's callers see an internal failure when that is not possible.
func (b *Broker) commit(w *batch) error {
	if err := b.store.commit(w); err != nil {
		b.cfg.Logger.Error("queues were not written", "error", err)
		return &Error{Code: codeInternal, Message: err.Error()}
	}
	return nil
}

// handle makes the receipt handle of a delivery: the queue, the message and a nonce.
func (q *queueState) handle(m *message) string {
	return base64.URLEncoding.EncodeToString([]byte(q.Name + "\n" + m.ID + "\n" + m.receipt))
}

// byHandle finds a message by its receipt handle, and says whether the handle is the latest. The
// message is nil when it has been deleted.
func (q *queueState) byHandle(handle string) (m *message, latest bool, err error) {
	invalid := &Error{Code: "ReceiptHandleIsInvalid", Message: "The input receipt handle \"" + handle + "\" is not a valid receipt handle."}
	raw, decodeErr := base64.URLEncoding.DecodeString(handle)
	if decodeErr != nil {
		return nil, false, invalid
	}
	parts := strings.Split(string(raw), "\n")
	if len(parts) != 3 || parts[0] != q.Name {
		return nil, false, invalid
	}
	m = q.messages[parts[1]]
	return m, m != nil && m.receipt == parts[2], nil
}
