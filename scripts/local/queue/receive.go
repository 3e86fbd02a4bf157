package queue

import (
	"context"
	"fmt"
	"time"
)

// ReceiveInput says what to receive.
type ReceiveInput struct {
	Max               int            // 1 to 10; zero: 1
	VisibilityTimeout *time.Duration // nil: the queue's
	Wait              *time.Duration // how long to wait for the first message; nil: the queue's
}

// Stats counts the messages of a queue.
type Stats struct {
	Visible  int
	InFlight int
	Delayed  int
	// OldestSent is when the oldest message was sent; zero when there is none.
	OldestSent time.Time
}

// Receive returns messages and hides them for the visibility time-out. With nothing to receive it
// waits, and returns none when the wait is over. It returns ctx's error when ctx ends first.
func (b *Broker) Receive(ctx context.Context, queueARN string, in ReceiveInput) ([]Received, error) {
	setDefault(&in.Max, 1)
	if in.Max < 1 || in.Max > MaxBatch {
		return nil, invalidParameter("Value %d for parameter MaxNumberOfMessages is invalid. Reason: Must be between 1 and 10, if provided.", in.Max)
	}
	if v := in.VisibilityTimeout; v != nil && (*v < 0 || *v > maxVisibility) {
		return nil, invalidParameter("Value %d for parameter VisibilityTimeout is invalid. Reason: Must be >= 0 and <= 43200, if provided.", int(v.Seconds()))
	}
	if w := in.Wait; w != nil && (*w < 0 || *w > maxWait) {
		return nil, invalidParameter("Value %d for parameter WaitTimeSeconds is invalid. Reason: Must be >= 0 and <= 20, if provided.", int(w.Seconds()))
	}
	var deadline time.Time
	for {
		messages, next, err := b.tryReceive(queueARN, in)
		if err != nil || len(messages) > 0 {
			return messages, err
		}
		now := b.cfg.Now()
		if deadline.IsZero() {
			deadline = now.Add(next.wait)
		}
		wait := deadline.Sub(now)
		if !next.due.IsZero() {
			wait = min(wait, next.due.Sub(now))
		}
		if !deadline.After(now) {
			return nil, nil
		}
		timer := time.NewTimer(max(wait, 0))
		select {
		case <-next.changed:
		case <-timer.C:
		case <-b.closed:
			timer.Stop()
			return nil, &Error{Code: codeInternal, Message: "the local queues are closing"}
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("receive from %s: %w", queueARN, ctx.Err())
		}
		timer.Stop()
	}
}

// nextChance says what a receive that found nothing has to wait for.
type nextChance struct {
	changed <-chan struct{}
	due     time.Time // zero: nothing is in flight or delayed
	wait    time.Duration
}

func (b *Broker) tryReceive(queueARN string, in ReceiveInput) ([]Received, nextChance, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, err := b.find(queueARN)
	if err != nil {
		return nil, nextChance{}, err
	}
	now := b.cfg.Now()
	if err := b.dropExpired(q, now); err != nil {
		return nil, nextChance{}, err
	}
	messages, err := b.take(q, in, now)
	if err != nil || len(messages) > 0 {
		return messages, nextChance{}, err
	}
	next := nextChance{changed: q.changed, due: q.revealDue(now), wait: q.ReceiveWait}
	if in.Wait != nil {
		next.wait = *in.Wait
	}
	return nil, next, nil
}

// take receives what can be received now. Messages that were received too often go to the
// dead-letter queue instead.
func (b *Broker) take(q *queueState, in ReceiveInput, now time.Time) ([]Received, error) {
	q.revealDue(now)
	visibility := *q.VisibilityTimeout
	if in.VisibilityTimeout != nil {
		visibility = *in.VisibilityTimeout
	}
	for {
		candidates := q.candidates(in.Max)
		if len(candidates) == 0 {
			return nil, nil
		}
		if q.counts[inFlight]+len(candidates) > MaxInFlight {
			return nil, &Error{Code: "OverLimit", Message: "Too many messages in flight for the queue."}
		}
		var w batch
		var found []Received
		for _, m := range candidates {
			if q.RedriveTarget != "" && m.receives >= q.MaxReceiveCount {
				if err := b.deadLetter(q, m); err != nil {
					return nil, err
				}
				continue
			}
			m.receives++
			if m.firstReceived.IsZero() {
				m.firstReceived = now
			}
			m.receipt = b.cfg.NewID()
			w.receive(q, m)
			q.hide(m, now.Add(visibility))
			found = append(found, q.received(m, q.handle(m)))
		}
		if err := b.commit(&w); err != nil {
			return nil, err
		}
		if len(found) > 0 {
			return found, nil
		}
	}
}

// deadLetter moves a message to the queue's dead-letter queue. Its id and its count of receives
// stay; so does its age, except on a FIFO queue.
// Source: https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-dead-letter-queues.html
func (b *Broker) deadLetter(q *queueState, m *message) error {
	target, err := b.find(q.RedriveTarget)
	if err != nil {
		return err
	}
	dead := &message{record: m.record, seq: target.nextSeq, receives: m.receives, firstReceived: m.firstReceived}
	dead.SourceARN = q.ARN
	dead.Delay = 0
	if q.FIFO {
		dead.Sent = b.cfg.Now()
	}
	return b.transfer(q, m, target, dead)
}

// transfer replaces m on q by moved on target, at once.
func (b *Broker) transfer(q *queueState, m *message, target *queueState, moved *message) error {
	var w batch
	w.remove(q, m)
	w.insert(target, moved)
	if err := b.commit(&w); err != nil {
		return err
	}
	q.remove(m)
	target.nextSeq++
	target.add(moved)
	return nil
}

func (b *Broker) dropExpired(q *queueState, now time.Time) error {
	if old := q.expired(now); len(old) > 0 {
		return b.discard(q, old...)
	}
	return nil
}

// Stats counts the messages of a queue.
func (b *Broker) Stats(queueARN string) (Stats, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, err := b.current(queueARN)
	if err != nil {
		return Stats{}, err
	}
	s := Stats{Visible: q.counts[visible], InFlight: q.counts[inFlight], Delayed: q.counts[delayed]}
	if oldest := q.byAge.Front(); oldest != nil {
		s.OldestSent = oldest.Value.(*message).Sent
	}
	return s, nil
}

// Peek shows the oldest messages of a queue, at most n, without receiving them.
func (b *Broker) Peek(queueARN string, n int) ([]Received, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, err := b.current(queueARN)
	if err != nil {
		return nil, err
	}
	var found []Received
	for e := q.byAge.Front(); e != nil && len(found) < n; e = e.Next() {
		found = append(found, q.received(e.Value.(*message), ""))
	}
	return found, nil
}

// current is a queue as it is now: nothing expired, everything due visible.
func (b *Broker) current(queueARN string) (*queueState, error) {
	q, err := b.find(queueARN)
	if err != nil {
		return nil, err
	}
	now := b.cfg.Now()
	q.revealDue(now)
	return q, b.dropExpired(q, now)
}

// Purge removes every message of a queue. SQS allows it once a minute.
func (b *Broker) Purge(queueARN string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, err := b.find(queueARN)
	if err != nil {
		return err
	}
	now := b.cfg.Now()
	if !q.lastPurge.IsZero() && now.Sub(q.lastPurge) < time.Minute {
		return &Error{Code: "PurgeQueueInProgress", Message: "Only one PurgeQueue operation on " + q.Name + " is allowed every 60 seconds."}
	}
	all := make([]*message, 0, len(q.messages))
	for _, m := range q.messages {
		all = append(all, m)
	}
	if err := b.discard(q, all...); err != nil {
		return err
	}
	q.lastPurge = now
	return nil
}
