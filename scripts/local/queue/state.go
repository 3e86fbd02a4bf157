package queue

import (
	"container/heap"
	"container/list"
	"strconv"
	"time"
)

// status is where a message is on its way.
type status int

const (
	visible  status = iota
	delayed         // not yet receivable for the first time
	inFlight        // received, and neither deleted nor returned
)

// message is a message on a queue. Everything but record is only in memory or in the store's
// bucket of receives.
type message struct {
	record
	seq uint64 // its key, and its place in a FIFO queue

	status        status
	due           time.Time // when it becomes visible, unless visible
	version       int       // rises with each change of due: older entries of the heap are void
	receives      int
	firstReceived time.Time
	receipt       string // the nonce of the latest receipt handle

	expiry *list.Element // in queueState.byAge
	ready  *list.Element // in queueState.ready; standard queues
	member *list.Element // in group.messages; FIFO queues
}

// record is what never changes of a message.
type record struct {
	ID              string               `json:"id"`
	Body            string               `json:"body"`
	Attributes      map[string]Attribute `json:"attributes,omitempty"`
	Trace           string               `json:"trace,omitempty"`
	GroupID         string               `json:"groupId,omitempty"`
	DeduplicationID string               `json:"deduplicationId,omitempty"`
	Sequence        string               `json:"sequence,omitempty"`
	SenderID        string               `json:"senderId"`
	Sent            time.Time            `json:"sent"`
	Delay           time.Duration        `json:"delay,omitempty"`
	SourceARN       string               `json:"sourceArn,omitempty"` // of a dead letter
}

// group is a message group of a FIFO queue.
type group struct {
	messages *list.List // of *message, by seq
	inFlight int        // while it is not 0 nothing more is received
}

// queueState is a queue with its messages. Broker.mu guards it.
type queueState struct {
	Queue
	nextSeq  uint64
	messages map[string]*message // by id
	byAge    *list.List          // of *message, by time sent
	waiting  waitHeap            // delayed and in flight
	ready    *list.List          // of *message; standard queues
	groups   map[string]*group   // FIFO queues
	dedup    map[string]duplicate
	counts   [3]int // by status

	changed   chan struct{} // closed, and replaced, when messages become visible or the next one will do so earlier
	lastPurge time.Time
	lastSweep time.Time // of dedup
}

// duplicate remembers a message that must not be accepted again.
type duplicate struct {
	MessageID string    `json:"messageId"`
	Seq       uint64    `json:"seq"`
	Until     time.Time `json:"until"`
}

func newQueueState(q Queue) *queueState {
	return &queueState{
		Queue: q, nextSeq: 1, messages: map[string]*message{}, byAge: list.New(), ready: list.New(),
		groups: map[string]*group{}, dedup: map[string]duplicate{}, changed: make(chan struct{}),
	}
}

// add puts a message on the queue with the status that it has.
func (q *queueState) add(m *message) {
	q.messages[m.ID] = m
	q.counts[m.status]++
	at := q.byAge.Back()
	for at != nil && at.Value.(*message).Sent.After(m.Sent) { // a dead letter may be older than those before it
		at = at.Prev()
	}
	if at == nil {
		m.expiry = q.byAge.PushFront(m)
	} else {
		m.expiry = q.byAge.InsertAfter(m, at)
	}
	if q.FIFO {
		g := q.groups[m.GroupID]
		if g == nil {
			g = &group{messages: list.New()}
			q.groups[m.GroupID] = g
		}
		m.member = g.messages.PushBack(m)
	}
	if m.status == visible {
		q.show(m)
	} else {
		q.reschedule(m, m.due)
	}
}

// show makes a visible message receivable and wakes who waits.
func (q *queueState) show(m *message) {
	if !q.FIFO {
		m.ready = q.ready.PushBack(m)
	}
	q.wake()
}

func (q *queueState) wake() {
	close(q.changed)
	q.changed = make(chan struct{})
}

// hide takes a visible message out of reach, in flight until due.
func (q *queueState) hide(m *message, due time.Time) {
	if m.ready != nil {
		q.ready.Remove(m.ready)
		m.ready = nil
	}
	q.setStatus(m, inFlight)
	q.reschedule(m, due)
}

// reschedule changes when a waiting message becomes visible. Receivers that wait look
// again if it is the next one.
func (q *queueState) reschedule(m *message, due time.Time) {
	m.due = due
	m.version++
	heap.Push(&q.waiting, waitEntry{due, m, m.version})
	if q.waiting[0].m == m {
		q.wake()
	}
}

// reveal makes a waiting message visible again.
func (q *queueState) reveal(m *message) {
	m.version++
	q.setStatus(m, visible)
	q.show(m)
}

func (q *queueState) setStatus(m *message, s status) {
	if g := q.groups[m.GroupID]; q.FIFO && g != nil {
		if m.status == inFlight {
			g.inFlight--
		}
		if s == inFlight {
			g.inFlight++
		}
	}
	q.counts[m.status]--
	m.status = s
	q.counts[m.status]++
}

// remove takes a message off the queue.
func (q *queueState) remove(m *message) {
	m.version++
	delete(q.messages, m.ID)
	q.byAge.Remove(m.expiry)
	if m.ready != nil {
		q.ready.Remove(m.ready)
		m.ready = nil
	}
	if q.FIFO {
		g := q.groups[m.GroupID]
		g.messages.Remove(m.member)
		if m.status == inFlight {
			g.inFlight--
			q.wake() // the rest of the group can be received
		}
		if g.messages.Len() == 0 {
			delete(q.groups, m.GroupID)
		}
	}
	q.counts[m.status]--
	m.record = record{} // the heap may hold m until it would have been due
}

// revealDue makes visible what has waited long enough, and returns when the next message will
// have; the zero time when none waits.
func (q *queueState) revealDue(now time.Time) time.Time {
	for len(q.waiting) > 0 {
		next := q.waiting[0]
		if next.version != next.m.version { // void
			heap.Pop(&q.waiting)
			continue
		}
		if next.due.After(now) {
			return next.due
		}
		heap.Pop(&q.waiting)
		q.reveal(next.m)
	}
	return time.Time{}
}

// expired lists the messages that are older than the queue keeps them.
func (q *queueState) expired(now time.Time) []*message {
	var old []*message
	for e := q.byAge.Front(); e != nil; e = e.Next() {
		m := e.Value.(*message)
		if now.Sub(m.Sent) < q.Retention {
			break
		}
		old = append(old, m)
	}
	return old
}

// candidates lists the messages that can be received, at most n of them, in order. On a FIFO
// queue those are the first ones of groups of which nothing is in flight.
func (q *queueState) candidates(n int) []*message {
	if !q.FIFO {
		var found []*message
		for e := q.ready.Front(); e != nil && len(found) < n; e = e.Next() {
			found = append(found, e.Value.(*message))
		}
		return found
	}
	var found []*message
	taken := map[*group]bool{}
	for len(found) < n {
		var oldest *group
		for _, g := range q.groups {
			head := g.messages.Front().Value.(*message)
			if !taken[g] && g.inFlight == 0 && head.status == visible &&
				(oldest == nil || head.seq < oldest.messages.Front().Value.(*message).seq) {
				oldest = g
			}
		}
		if oldest == nil {
			break
		}
		taken[oldest] = true
		for e := oldest.messages.Front(); e != nil && len(found) < n; e = e.Next() {
			m := e.Value.(*message)
			if m.status != visible {
				break
			}
			found = append(found, m)
		}
	}
	return found
}

// received is m as a consumer sees it.
func (q *queueState) received(m *message, handle string) Received {
	attributes := map[string]string{
		"SenderId":                m.SenderID,
		"SentTimestamp":           millis(m.Sent),
		"ApproximateReceiveCount": strconv.Itoa(m.receives),
	}
	if !m.firstReceived.IsZero() {
		attributes["ApproximateFirstReceiveTimestamp"] = millis(m.firstReceived)
	}
	for name, value := range map[string]string{
		systemAttribute: m.Trace, "MessageGroupId": m.GroupID, "MessageDeduplicationId": m.DeduplicationID,
		"SequenceNumber": m.Sequence, "DeadLetterQueueSourceArn": m.SourceARN,
	} {
		if value != "" {
			attributes[name] = value
		}
	}
	return Received{
		MessageID: m.ID, ReceiptHandle: handle, Body: m.Body, MD5OfBody: md5Of(m.Body),
		MD5OfAttributes: md5OfAttributes(m.Attributes), Attributes: attributes, MessageAttributes: m.Attributes,
	}
}

func millis(t time.Time) string { return strconv.FormatInt(t.UnixMilli(), 10) }

// waitEntry says when a message becomes visible, unless its version has moved on.
type waitEntry struct {
	due     time.Time
	m       *message
	version int
}

// waitHeap has the entry that is due first at its root.
type waitHeap []waitEntry

func (h waitHeap) Len() int           { return len(h) }
func (h waitHeap) Less(i, j int) bool { return h[i].due.Before(h[j].due) }
func (h waitHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *waitHeap) Push(x any)        { *h = append(*h, x.(waitEntry)) }
func (h *waitHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = waitEntry{}
	*h = old[:len(old)-1]
	return last
}
