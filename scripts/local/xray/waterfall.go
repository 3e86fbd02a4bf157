package xray

import (
	"cmp"
	"slices"
)

// Waterfall is a trace laid out for drawing: its segments as rows, each below the
// one that caused it, with the time since the trace began.
type Waterfall struct {
	ID      string  `json:"id"`
	Start   float64 `json:"start"` // seconds since 1970
	Millis  float64 `json:"millis"`
	Rows    []Row   `json:"rows"`
	Dropped int     `json:"dropped,omitempty"` // segments that were not kept
}

// Row is one segment.
type Row struct {
	ID          string         `json:"id"`
	TraceID     string         `json:"traceId"`
	Depth       int            `json:"depth"`
	Name        string         `json:"name"`
	Operation   string         `json:"operation,omitempty"`
	Kind        string         `json:"kind"` // service: a segment of its own; call: to AWS or elsewhere; step: within the code
	Origin      string         `json:"origin,omitempty"`
	Offset      float64        `json:"offset"` // milliseconds since the trace began
	Millis      float64        `json:"millis"`
	Status      int            `json:"status,omitempty"`
	Outcome     string         `json:"outcome"` // ok, error, throttle, fault or pending
	Message     string         `json:"message,omitempty"`
	Annotations map[string]any `json:"annotations,omitempty"`
	AWS         map[string]any `json:"aws,omitempty"`
	Linked      bool           `json:"linked,omitempty"` // of a trace that this one led to
}

// node is a segment on its way to a row.
type node struct {
	segment  Segment
	linked   bool
	children []*node
}

// Waterfall lays out a trace with those that it led to. It is false when the
// trace is not kept.
func (s *Store) Waterfall(id string) (Waterfall, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.traces[id]; t == nil || len(t.segments) == 0 {
		return Waterfall{}, false
	}
	b := builder{store: s, nodes: map[string]*node{}, done: map[string]bool{}}
	b.gather(id, "")
	w := Waterfall{ID: id, Dropped: b.dropped, Start: b.start, Millis: (b.end - b.start) * 1000}
	roots := b.roots()
	seen := map[*node]bool{}
	w.Rows = b.rows(nil, roots, 0, seen)
	return w, true
}

// builder joins segments into a tree.
type builder struct {
	store      *Store
	nodes      map[string]*node // by segment id
	order      []*node
	done       map[string]bool // traces
	dropped    int
	start, end float64
}

// gather takes a trace and what it led to. Segments without a parent go below
// under, where that is not empty.
func (b *builder) gather(id, under string) {
	t := b.store.traces[id]
	if t == nil || b.done[id] {
		return
	}
	linked := len(b.done) > 0
	b.done[id] = true
	b.dropped += t.dropped
	for _, segment := range t.segments {
		if segment.ParentID == "" {
			segment.ParentID = under
		}
		b.add(segment, linked)
	}
	for _, l := range t.linked {
		b.gather(l.root, l.parent)
	}
}

// add takes a segment and those within it.
func (b *builder) add(segment Segment, linked bool) {
	n := &node{segment: segment, linked: linked}
	b.nodes[segment.ID] = n
	b.order = append(b.order, n)
	if b.start == 0 || segment.StartTime < b.start {
		b.start = segment.StartTime
	}
	b.end = max(b.end, segment.StartTime, segment.EndTime)
	for _, nested := range segment.Subsegments {
		nested.ParentID, nested.TraceID, nested.Type = segment.ID, segment.TraceID, "subsegment"
		b.add(nested, linked)
	}
}

// roots joins the nodes and returns those without a parent that is known: a
// segment whose parent never came is not lost, nor is one that is its own
// ancestor.
func (b *builder) roots() []*node {
	slices.SortFunc(b.order, byStart)
	var roots []*node
	for _, n := range b.order {
		parent := b.nodes[n.segment.ParentID]
		if parent == nil || b.rings(n) {
			roots = append(roots, n)
			continue
		}
		parent.children = append(parent.children, n)
	}
	return roots
}

// rings says whether a node is its own ancestor.
func (b *builder) rings(n *node) bool {
	steps := 0
	for at := b.nodes[n.segment.ParentID]; at != nil && steps <= len(b.nodes); at = b.nodes[at.segment.ParentID] {
		if at == n {
			return true
		}
		steps++
	}
	return false
}

func byStart(a, b *node) int {
	return cmp.Or(cmp.Compare(a.segment.StartTime, b.segment.StartTime), cmp.Compare(b.segment.EndTime, a.segment.EndTime), cmp.Compare(a.segment.ID, b.segment.ID))
}

func (b *builder) rows(rows []Row, nodes []*node, depth int, seen map[*node]bool) []Row {
	for _, n := range nodes {
		if seen[n] {
			continue
		}
		seen[n] = true
		rows = append(rows, b.row(n, depth))
		rows = b.rows(rows, n.children, depth+1, seen)
	}
	return rows
}

func (b *builder) row(n *node, depth int) Row {
	s := n.segment
	r := Row{
		ID: s.ID, TraceID: s.TraceID, Depth: depth, Name: s.Name, Operation: s.operation(), Kind: "step", Origin: s.Origin,
		Offset: (s.StartTime - b.start) * 1000, Millis: max(s.EndTime-s.StartTime, 0) * 1000, Outcome: "ok",
		Message: s.message(), Annotations: s.Annotations, AWS: s.AWS, Linked: n.linked,
	}
	if s.HTTP != nil && s.HTTP.Response != nil {
		r.Status = s.HTTP.Response.Status
	}
	switch {
	case s.Type == "":
		r.Kind = "service"
	case s.Namespace != "":
		r.Kind = "call"
	}
	switch {
	case s.Throttle:
		r.Outcome = "throttle"
	case s.Fault:
		r.Outcome = "fault"
	case s.Error:
		r.Outcome = "error"
	case s.InProgress || s.EndTime == 0:
		r.Outcome = "pending"
	}
	return r
}
