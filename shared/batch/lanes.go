package batch

import (
	"container/heap"
	"math"
	"sync"
)

// lanes hands out the records of a batch by their position. Records with the
// same key stand in one lane, of which only the first is ready; the ready record
// with the lowest position is handed out first, so that a checkpoint moves as far
// as it can.
type lanes struct {
	maxGroup int
	maxSize  int           // of a group; 0: no bound
	size     func(int) int // of a record

	mu       sync.Mutex
	changed  *sync.Cond
	ready    positions
	behind   []int // position of the next record in the lane, or none
	running  int
	closed   bool
	ordered  bool // nothing after the first failure is begun
	limit    int  // position of the first failure
	outcomes []Outcome
}

const none = -1

func newLanes(n int, ordered bool, key func(int) string) *lanes {
	l := &lanes{
		ordered:  ordered,
		limit:    math.MaxInt,
		behind:   make([]int, n),
		outcomes: make([]Outcome, n),
	}
	l.changed = sync.NewCond(&l.mu)
	last := map[string]int{}
	for i := range n {
		l.behind[i] = none
		k := key(i)
		before, waits := last[k]
		if k != "" {
			last[k] = i
		}
		if k != "" && waits {
			l.behind[before] = i
			continue
		}
		l.ready = append(l.ready, i) // ascending, hence a heap
	}
	return l
}

// take waits for ready records and returns as many as a group holds, or none
// when nothing is left to begin.
func (l *lanes) take() []int {
	l.mu.Lock()
	defer l.mu.Unlock()
	for {
		if l.closed {
			return nil
		}
		if len(l.ready) > 0 && l.ready[0] < l.limit {
			return l.group()
		}
		if l.running == 0 {
			return nil
		}
		l.changed.Wait()
	}
}

func (l *lanes) group() []int {
	var taken []int
	total := 0
	for len(l.ready) > 0 && len(taken) < l.maxGroup && l.ready[0] < l.limit {
		if l.maxSize > 0 {
			total += l.size(l.ready[0])
			if total > l.maxSize && len(taken) > 0 {
				break
			}
		}
		taken = append(taken, heap.Pop(&l.ready).(int))
	}
	l.running += len(taken)
	return taken
}

// settle records what became of record i, and makes the next one of its lane
// ready if i is dealt with.
func (l *lanes) settle(i int, o Outcome) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.outcomes[i] = o
	l.running--
	switch {
	case o != Failed:
		if next := l.behind[i]; next != none {
			heap.Push(&l.ready, next)
		}
	case l.ordered:
		l.limit = min(l.limit, i)
	}
	l.changed.Broadcast()
}

// close makes take return none.
func (l *lanes) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.changed.Broadcast()
}

// positions is a heap of positions in the batch.
type positions []int

func (p positions) Len() int           { return len(p) }
func (p positions) Less(i, j int) bool { return p[i] < p[j] }
func (p positions) Swap(i, j int)      { p[i], p[j] = p[j], p[i] }
func (p *positions) Push(x any)        { *p = append(*p, x.(int)) }
func (p *positions) Pop() any {
	old := *p
	x := old[len(old)-1]
	*p = old[:len(old)-1]
	return x
}
