package xray

import (
	"container/list"
	"sync"
)

// Memory remembers which trace something belongs to that cannot carry a header
// itself: a presigned URL, an item on its way through a stream. It forgets what
// was not remembered anew for the longest time.
type Memory struct {
	most int

	mu    sync.Mutex
	known map[string]*list.Element
	age   *list.List // of entry, the oldest first
}

type entry struct {
	key    string
	header Header
}

// NewMemory remembers at most so many.
func NewMemory(most int) *Memory {
	return &Memory{most: most, known: map[string]*list.Element{}, age: list.New()}
}

// Remember keeps a header. Empty ones are not kept.
func (m *Memory) Remember(key string, h Header) {
	if h.Root == "" || h.Unsampled {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.known[key]; ok {
		e.Value = entry{key, h}
		m.age.MoveToBack(e)
		return
	}
	m.known[key] = m.age.PushBack(entry{key, h})
	if m.age.Len() > m.most {
		oldest := m.age.Front()
		delete(m.known, m.age.Remove(oldest).(entry).key)
	}
}

// Recall returns what is remembered; empty: nothing is.
func (m *Memory) Recall(key string) Header {
	m.mu.Lock()
	defer m.mu.Unlock()
	if e, ok := m.known[key]; ok {
		return e.Value.(entry).header
	}
	return Header{}
}
