package console

import (
	"encoding/json"
	"sync"
	"time"
)

// Bounds of the events that are kept.
const (
	maxEvents     = 1000
	maxEventBytes = 16 << 10 // of one; a longer one is kept without its detail
	maxRingBytes  = 6 << 20
)

// Event is an event of a bus as the page lists it.
type Event struct {
	Seq        uint64 `json:"seq"`
	Millis     int64  `json:"time"` // Unix time at which it was put
	Bus        string `json:"bus"`
	Source     string `json:"source"`
	DetailType string `json:"detailType"`
	Subject    string `json:"subject,omitempty"` // what it is about, as far as it says
	Bytes      int    `json:"bytes"`
	Deliveries int    `json:"deliveries"`

	raw []byte // nil: too long
}

// eventRing keeps the latest events.
type eventRing struct {
	mu    sync.Mutex
	ring  [maxEvents]Event
	first uint64 // seq of the oldest that is kept
	next  uint64 // seq of the next
	bytes int
}

func newEventRing() *eventRing { return &eventRing{first: 1, next: 1} }

func (r *eventRing) put(now time.Time, bus string, raw json.RawMessage, deliveries int) {
	e := Event{Millis: now.UnixMilli(), Bus: bus, Bytes: len(raw), Deliveries: deliveries}
	var envelope struct {
		Source     string `json:"source"`
		DetailType string `json:"detail-type"`
		Detail     struct {
			Subject string `json:"subject"`
		} `json:"detail"`
	}
	if json.Unmarshal(raw, &envelope) == nil {
		e.Source, e.DetailType, e.Subject = envelope.Source, envelope.DetailType, envelope.Detail.Subject
	}
	if len(raw) <= maxEventBytes {
		e.raw = raw
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	e.Seq = r.next
	slot := &r.ring[r.next%maxEvents]
	if r.next-r.first == maxEvents {
		r.drop()
	}
	*slot = e
	r.next++
	r.bytes += len(e.raw)
	for r.bytes > maxRingBytes {
		r.drop()
	}
}

// drop forgets the oldest event.
func (r *eventRing) drop() {
	slot := &r.ring[r.first%maxEvents]
	r.bytes -= len(slot.raw)
	*slot = Event{}
	r.first++
}

// since are the events after seq, at most n, the oldest first, and how many of
// those after seq are not among them.
func (r *eventRing) since(seq uint64, n int) (events []Event, skipped uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	from := max(seq+1, r.first)
	if r.next-from > uint64(n) && r.next > from {
		from = r.next - uint64(n)
	}
	for at := from; at < r.next; at++ {
		events = append(events, r.ring[at%maxEvents])
	}
	return events, from - (seq + 1)
}

// total is how many events there were.
func (r *eventRing) total() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.next - 1
}

// find returns an event that is still kept.
func (r *eventRing) find(seq uint64) (Event, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if seq < r.first || seq >= r.next {
		return Event{}, false
	}
	return r.ring[seq%maxEvents], true
}
