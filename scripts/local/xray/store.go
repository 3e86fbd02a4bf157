package xray

import (
	"slices"
	"sync"
	"time"
)

// Bounds of what a Store keeps.
const (
	DefaultTraces = 400
	// maxSegments is how many segments of one trace are kept.
	maxSegments = 1000
	// maxBytes is how much is kept, counted as the length of the documents.
	maxBytes = 8 << 20
	// leastBytes is what a segment counts at least.
	leastBytes = 512
	// maxLinks is how many traces one trace may lead to.
	maxLinks = 100
)

// Store keeps the latest traces. The oldest gives way to a new one.
type Store struct {
	most int

	mu      sync.Mutex
	traces  map[string]*trace
	order   []string // ids, the oldest first
	bytes   int      // of all traces
	version uint64   // rises with each change
}

// trace is what is known of one trace. Store.mu guards it.
type trace struct {
	id       string
	segments map[string]Segment // by id: the final form takes the place of one in progress
	linked   []link             // traces that this one led to
	dropped  int                // segments beyond the limit
	bytes    int
}

// link says that another trace goes on below a segment.
type link struct {
	parent string // may be empty
	root   string
}

// NewStore keeps at most so many traces. Zero: DefaultTraces.
func NewStore(most int) *Store {
	if most == 0 {
		most = DefaultTraces
	}
	return &Store{most: most, traces: map[string]*trace{}}
}

// Add keeps a segment.
func (s *Store) Add(segment Segment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.open(segment.TraceID)
	before, known := t.segments[segment.ID]
	if !known && len(t.segments) >= maxSegments {
		t.dropped++
		return
	}
	t.segments[segment.ID] = segment
	grown := max(segment.bytes, leastBytes)
	if known {
		grown -= max(before.bytes, leastBytes)
	}
	t.bytes += grown
	s.bytes += grown
	for s.bytes > maxBytes && len(s.order) > 1 {
		s.forgetOldest()
	}
}

func (s *Store) forgetOldest() {
	s.bytes -= s.traces[s.order[0]].bytes
	delete(s.traces, s.order[0])
	s.order = slices.Delete(s.order, 0, 1)
}

// Link notes that the trace to goes on where a segment of the trace from ended:
// a function's batch had messages of several traces.
func (s *Store) Link(from Header, to string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.open(from.Root)
	l := link{from.Parent, to}
	if from.Root != to && len(t.linked) < maxLinks && !slices.Contains(t.linked, l) {
		t.linked = append(t.linked, l)
	}
}

// open finds or begins a trace, and marks it as changed.
func (s *Store) open(id string) *trace {
	t, ok := s.traces[id]
	if !ok {
		t = &trace{id: id, segments: map[string]Segment{}}
		s.traces[id] = t
		s.order = append(s.order, id)
		if len(s.order) > s.most {
			s.forgetOldest()
		}
	}
	s.version++
	return t
}

// Version rises with each change.
func (s *Store) Version() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// Summary is one line about a trace.
type Summary struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"` // of the segment that came first
	Start    time.Time `json:"start"`
	Millis   float64   `json:"millis"`
	Segments int       `json:"segments"`
	Services int       `json:"services"` // how many functions, APIs and the like took part
	Status   int       `json:"status,omitempty"`
	Failed   bool      `json:"failed"`
}

// Latest are the newest traces, at most n, the newest first.
func (s *Store) Latest(n int) []Summary {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]Summary, 0, min(n, len(s.order)))
	for _, id := range slices.Backward(s.order) {
		if len(out) == n {
			break
		}
		if t := s.traces[id]; len(t.segments) > 0 {
			out = append(out, t.summary())
		}
	}
	return out
}

func (t *trace) summary() Summary {
	sum := Summary{ID: t.id, Segments: t.dropped}
	var first *Segment
	end := 0.0
	for _, segment := range t.segments {
		sum.Segments += segment.count()
		if first == nil || segment.StartTime < first.StartTime || segment.StartTime == first.StartTime && segment.ParentID == "" {
			first = &segment
		}
		if segment.Type == "" {
			sum.Services++
		}
		end = max(end, segment.EndTime, segment.StartTime)
		sum.Failed = sum.Failed || segment.Fault
	}
	sum.Name, sum.Start = first.Name, seconds(first.StartTime)
	sum.Millis = (end - first.StartTime) * 1000
	if first.HTTP != nil && first.HTTP.Response != nil {
		sum.Status = first.HTTP.Response.Status
	}
	return sum
}

func seconds(s float64) time.Time { return time.UnixMicro(int64(s * 1e6)).UTC() }
