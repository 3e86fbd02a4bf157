package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

const (
	// tick is how often the page is sent what changed.
	tick = 250 * time.Millisecond
	// eventsPerTick is how many events of the bus a tick brings; further ones are
	// counted.
	eventsPerTick = 60
	// backlog is how many events a page is sent at first.
	backlog = 200
	// maxStreams is how many pages are kept live at once.
	maxStreams = 16
	// writeTimeout ends the stream of a page that no longer reads.
	writeTimeout = 15 * time.Second
	// shownTraces is how many traces the page lists.
	shownTraces = 100
)

// Names of the sections of the page that change.
const (
	sectionFunctions = "functions"
	sectionQueues    = "queues"
	sectionTraces    = "traces"
	sectionMetrics   = "metrics"
	sectionTables    = "tables"
	sectionBuckets   = "buckets"
)

// section is one of them, as it was last computed.
type section struct {
	body    json.RawMessage
	version uint64 // rises when the body differs
	due     time.Time
}

// snapshot computes the sections once for all pages, and not more often than
// each is worth it.
type snapshot struct {
	console *Console

	mu       sync.Mutex
	sections map[string]*section
}

// take brings the sections up to date and returns those that are newer than a
// page has, by name; known is updated.
func (s *snapshot) take(known map[string]uint64) map[string]json.RawMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.sections == nil {
		s.sections = map[string]*section{
			sectionFunctions: {}, sectionQueues: {}, sectionTraces: {}, sectionMetrics: {}, sectionTables: {}, sectionBuckets: {},
		}
	}
	now := s.console.cfg.Now()
	changed := map[string]json.RawMessage{}
	for name, at := range s.sections {
		if !now.Before(at.due) {
			s.refresh(name, at, now)
		}
		if known[name] != at.version {
			known[name] = at.version
			changed[name] = at.body
		}
	}
	return changed
}

func (s *snapshot) refresh(name string, at *section, now time.Time) {
	c := s.console
	var value any
	every := tick
	switch name {
	case sectionFunctions:
		all := c.shown.Load()
		value = c.functions.rows(now, all.Functions, all.labels.functions)
	case sectionQueues:
		value = c.queueRows(now)
	case sectionTraces:
		value = c.traces.Latest(shownTraces)
		every = 2 * tick
	case sectionMetrics:
		series, leftOut := c.metrics.Series(now)
		value = map[string]any{"series": series, "leftOut": leftOut}
		every = 4 * tick
	case sectionTables:
		value = c.tableRows()
	case sectionBuckets:
		value = c.bucketRows()
	}
	at.due = now.Add(every - tick/10)
	body, err := json.Marshal(value)
	if err != nil {
		c.cfg.Logger.Error("part of the page could not be encoded", "section", name, "error", err)
		return
	}
	if !bytes.Equal(body, at.body) {
		at.body = body
		at.version++
	}
}

// message is what a page is sent at a tick.
type message struct {
	Now     int64                      `json:"now"`
	First   bool                       `json:"first,omitempty"` // the page forgets what it had
	Run     string                     `json:"run,omitempty"`   // with the first; a page of another run loads itself anew
	Total   uint64                     `json:"total"`           // events since the start
	Events  []Event                    `json:"events,omitempty"`
	Skipped uint64                     `json:"skipped,omitempty"`
	Changed map[string]json.RawMessage `json:"changed,omitempty"`
}

// serveStream sends what changes, as server-sent events, until the page goes.
func (c *Console) serveStream(w http.ResponseWriter, r *http.Request) {
	if !c.openStream() {
		fail(w, http.StatusServiceUnavailable, fmt.Sprintf("%d pages are open already: close one", maxStreams))
		return
	}
	defer c.closeStream()
	ctx, cancel := context.WithCancel(r.Context())
	defer cancel()
	defer context.AfterFunc(c.life, cancel)() //nolint:contextcheck // the console closes before its pages do
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	known := map[string]uint64{}
	last, n := uint64(0), backlog
	if total := c.events.total(); total > backlog {
		last = total - backlog
	}
	beat := time.NewTicker(tick)
	defer beat.Stop()
	for first := true; ; first = false {
		m := message{Now: c.cfg.Now().UnixMilli(), First: first, Changed: c.snapshot.take(known)}
		if first {
			m.Run = c.run
		}
		m.Events, m.Skipped = c.events.since(last, n)
		m.Total = last + m.Skipped + uint64(len(m.Events))
		last, n = m.Total, eventsPerTick
		if first || len(m.Events) > 0 || len(m.Changed) > 0 {
			if !c.send(w, out, m) {
				return
			}
		}
		select {
		case <-beat.C:
		case <-ctx.Done():
			return
		}
	}
}

func (c *Console) send(w http.ResponseWriter, out *http.ResponseController, m message) bool {
	body, err := json.Marshal(m)
	if err != nil {
		c.cfg.Logger.Error("a message to the page could not be encoded", "error", err)
		return false
	}
	if err := out.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return false
	}
	if _, err := fmt.Fprintf(w, "data: %s\n\n", body); err != nil {
		return false
	}
	return out.Flush() == nil
}

func (c *Console) openStream() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.streams >= maxStreams {
		return false
	}
	c.streams++
	return true
}

func (c *Console) closeStream() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams--
}
