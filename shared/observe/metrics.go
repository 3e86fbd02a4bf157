package observe

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"
)

// Namespace holds every metric of the product in CloudWatch.
const Namespace = "Stowage"

// Unit is a CloudWatch unit.
type Unit string

// The units in use; CloudWatch knows more.
const (
	Count        Unit = "Count"
	Bytes        Unit = "Bytes"
	Milliseconds Unit = "Milliseconds"
)

// Limits of one embedded-metric document: metrics a directive may name, and
// values a metric may hold.
// https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
const (
	maxMetrics = 100
	maxValues  = 100
)

// Dimension narrows a metric. CloudWatch bills each distinct set of values as a
// metric of its own: use values from a small fixed set, never ids.
type Dimension struct{ Name, Value string }

// Metrics gathers an invocation's figures and writes them on Flush.
type Metrics struct {
	w        io.Writer
	function string
	now      func() time.Time

	mu   sync.Mutex
	sets map[string]*metricSet // by dimensions
}

type metricSet struct {
	dims    []Dimension
	metrics map[string]*metric
}

type metric struct {
	unit   Unit
	sum    float64   // for counts
	values []float64 // for measured values
}

// NewMetrics writes to w, which in Lambda is the standard output. Every metric
// carries the dimension function.
func NewMetrics(w io.Writer, function string, now func() time.Time) *Metrics {
	return &Metrics{w: w, function: function, now: now, sets: map[string]*metricSet{}}
}

// Add counts n more of name. All that is counted between two flushes becomes
// one value.
func (m *Metrics) Add(name string, n int, dims ...Dimension) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.metric(name, Count, dims).sum += float64(n)
}

// Observe records one measured value of name.
func (m *Metrics) Observe(name string, unit Unit, value float64, dims ...Dimension) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mt := m.metric(name, unit, dims)
	mt.values = append(mt.values, value)
}

func (m *Metrics) metric(name string, unit Unit, dims []Dimension) *metric {
	var key strings.Builder
	for _, d := range dims {
		fmt.Fprintf(&key, "%q=%q,", d.Name, d.Value)
	}
	set, ok := m.sets[key.String()]
	if !ok {
		set = &metricSet{dims: slices.Clone(dims), metrics: map[string]*metric{}}
		m.sets[key.String()] = set
	}
	mt, ok := set.metrics[name]
	if !ok {
		mt = &metric{unit: unit}
		set.metrics[name] = mt
	}
	return mt
}

// Flush writes what was gathered and starts anew.
func (m *Metrics) Flush() error {
	m.mu.Lock()
	sets := m.sets
	m.sets = map[string]*metricSet{}
	m.mu.Unlock()

	for _, key := range slices.Sorted(mapKeys(sets)) {
		if err := m.write(sets[key]); err != nil {
			return fmt.Errorf("write metrics: %w", err)
		}
	}
	return nil
}

func mapKeys[V any](m map[string]V) func(yield func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

type directive struct {
	Namespace  string       `json:"Namespace"`
	Dimensions [][]string   `json:"Dimensions"`
	Metrics    []definition `json:"Metrics"`
}

type definition struct {
	Name string `json:"Name"`
	Unit Unit   `json:"Unit"`
}

// write emits as many documents as the format's limits ask for.
func (m *Metrics) write(set *metricSet) error {
	rest := slices.Sorted(mapKeys(set.metrics))
	for len(rest) > 0 {
		doc := map[string]any{"function": m.function}
		names := []string{"function"}
		for _, d := range set.dims {
			doc[d.Name] = d.Value
			names = append(names, d.Name)
		}
		dir := directive{Namespace: Namespace, Dimensions: [][]string{names}}
		var left []string
		for _, name := range rest {
			mt := set.metrics[name]
			if len(dir.Metrics) == maxMetrics {
				left = append(left, name)
				continue
			}
			dir.Metrics = append(dir.Metrics, definition{name, mt.unit})
			var more bool
			doc[name], more = mt.take()
			if more {
				left = append(left, name)
			}
		}
		doc["_aws"] = map[string]any{
			"Timestamp":         m.now().UnixMilli(),
			"CloudWatchMetrics": []directive{dir},
		}
		line, err := json.Marshal(doc)
		if err != nil {
			return fmt.Errorf("encode %v: %w", names, err)
		}
		if _, err := m.w.Write(append(line, '\n')); err != nil {
			return err //nolint:wrapcheck // Flush says what was being written
		}
		rest = left
	}
	return nil
}

// take removes as many values as one document may hold.
func (mt *metric) take() (value any, more bool) {
	if len(mt.values) == 0 {
		return mt.sum, false
	}
	n := min(len(mt.values), maxValues)
	value, mt.values = mt.values[:n], mt.values[n:]
	return value, len(mt.values) > 0
}
