package emf

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of what a Store keeps.
const (
	// Window is how many seconds each metric is remembered for.
	Window = 120
	// maxSeries is how many metrics are told apart; further ones are counted as left out.
	maxSeries = 500
)

// Store sums metrics by second.
type Store struct {
	mu      sync.Mutex
	series  map[string]*series
	leftOut int
	version uint64
}

// series is one metric with one set of dimensions. Store.mu guards it.
type series struct {
	Metric // without Values

	total bucket
	ring  [Window]bucket
}

// bucket is what came in one second.
type bucket struct {
	second        int64
	count         int
	sum, min, max float64
}

func (b *bucket) add(v float64) {
	if b.count == 0 {
		b.min, b.max = v, v
	}
	b.count++
	b.sum += v
	b.min, b.max = min(b.min, v), max(b.max, v)
}

// NewStore keeps nothing yet.
func NewStore() *Store { return &Store{series: map[string]*series{}} }

// Add sums a metric up in the second in which it was measured.
func (s *Store) Add(m Metric) {
	s.mu.Lock()
	defer s.mu.Unlock()
	key := m.key()
	one, ok := s.series[key]
	if !ok {
		if len(s.series) >= maxSeries {
			s.leftOut++
			return
		}
		one = &series{Metric: m}
		one.Values = nil
		s.series[key] = one
	}
	s.version++
	second := m.Time.Unix()
	b := &one.ring[slot(second)]
	if b.second < second {
		*b = bucket{second: second}
	}
	for _, v := range m.Values {
		one.total.add(v)
		if b.second == second { // else it is older than the window
			b.add(v)
		}
	}
}

func slot(second int64) int64 { return ((second % Window) + Window) % Window }

func (m *Metric) key() string {
	var b strings.Builder
	for _, part := range []string{m.Namespace, m.Name, m.Unit} {
		b.WriteString(strconv.Quote(part))
	}
	for _, d := range m.Dimensions {
		b.WriteString(strconv.Quote(d.Name) + strconv.Quote(d.Value))
	}
	return b.String()
}

// Version rises with each change.
func (s *Store) Version() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.version
}

// Series is a metric as it has been of late.
type Series struct {
	Namespace  string      `json:"namespace"`
	Name       string      `json:"name"`
	Unit       string      `json:"unit"`
	Dimensions []Dimension `json:"dimensions"`
	Count      int         `json:"count"` // of values since the start
	Sum        float64     `json:"sum"`
	Min        float64     `json:"min"`
	Max        float64     `json:"max"`
	// Points are sums for counts and averages for everything else, one a second, the newest last.
	Points []float64 `json:"points"`
}

// Series are all metrics, by name, with the points of the seconds up to now.
func (s *Store) Series(now time.Time) (all []Series, leftOut int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all = make([]Series, 0, len(s.series))
	for _, one := range s.series {
		out := Series{
			Namespace: one.Namespace, Name: one.Name, Unit: one.Unit, Dimensions: one.Dimensions,
			Count: one.total.count, Sum: one.total.sum, Min: one.total.min, Max: one.total.max, Points: make([]float64, Window),
		}
		for i := range out.Points {
			second := now.Unix() - int64(Window-1-i)
			if b := one.ring[slot(second)]; b.second == second && b.count > 0 {
				out.Points[i] = b.sum
				if one.Unit != "Count" {
					out.Points[i] = b.sum / float64(b.count)
				}
			}
		}
		all = append(all, out)
	}
	slices.SortFunc(all, func(a, b Series) int {
		return cmp.Or(cmp.Compare(a.Namespace, b.Namespace), cmp.Compare(a.Name, b.Name),
			slices.CompareFunc(a.Dimensions, b.Dimensions, func(x, y Dimension) int {
				return cmp.Or(cmp.Compare(x.Name, y.Name), cmp.Compare(x.Value, y.Value))
			}))
	})
	return all, s.leftOut
}
