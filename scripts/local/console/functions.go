package console

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/lambda"
)

// Bounds of what is kept of each function.
const (
	maxDurations = 1024 // of which the percentiles are
	maxErrors    = 20
	maxLogLines  = 300
	maxLogBytes  = 128 << 10
	maxLogLine   = 8 << 10
	sparkSeconds = 60
	maxFunctions = 500
)

// functionStats counts what functions do.
type functionStats struct {
	mu    sync.Mutex
	names []string // in the order in which they were first heard of
	all   map[string]*function
}

// function is what is known of one. functionStats.mu guards it.
type function struct {
	invocations int
	errors      int
	coldStarts  int
	durations   []float64 // milliseconds; a ring of maxDurations
	last        time.Time
	failures    []Failure // the latest last
	memoryMB    int
	second      [sparkSeconds]tally
	log         []string // the latest last
	logBytes    int
}

// tally is what happened in one second.
type tally struct {
	second        int64
	count, failed int
}

// Failure is an invocation that failed.
type Failure struct {
	RequestID string    `json:"requestId"`
	TraceID   string    `json:"traceId"`
	Time      time.Time `json:"time"`
	Type      string    `json:"type"`
	Message   string    `json:"message"`
	Millis    float64   `json:"millis"`
}

// FunctionRow is a function on the page.
type FunctionRow struct {
	Name        string  `json:"name"`
	Label       string  `json:"label"`
	Invocations int     `json:"invocations"`
	Errors      int     `json:"errors"`
	ColdStarts  int     `json:"coldStarts"`
	MemoryMB    int     `json:"memoryMb"`
	P50         float64 `json:"p50"` // milliseconds
	P99         float64 `json:"p99"`
	LastMillis  int64   `json:"last"` // Unix time; zero: never
	LastError   string  `json:"lastError,omitempty"`
	// Spark are the invocations, and Failed those that failed, of each of the last seconds.
	Spark  []int `json:"spark"`
	Failed []int `json:"failed"`
}

func newFunctionStats() *functionStats { return &functionStats{all: map[string]*function{}} }

// declare begins functions that nothing is known of yet.
func (s *functionStats) declare(names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, name := range names {
		s.get(name)
	}
}

// get finds or begins a function; nil when there are too many.
func (s *functionStats) get(name string) *function {
	f := s.all[name]
	if f == nil && len(s.all) < maxFunctions {
		f = &function{}
		s.all[name], s.names = f, append(s.names, name)
	}
	return f
}

func (s *functionStats) invoked(r lambda.Report) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.get(r.Function)
	if f == nil {
		return
	}
	duration := milliseconds(r.Duration)
	if len(f.durations) < maxDurations {
		f.durations = append(f.durations, duration)
	} else {
		f.durations[f.invocations%maxDurations] = duration
	}
	f.invocations++
	f.last = r.Start.Add(r.Duration)
	f.memoryMB = max(f.memoryMB, r.MaxMemoryMB)
	if r.InitDuration > 0 {
		f.coldStarts++
	}
	second := f.last.Unix()
	t := &f.second[second%sparkSeconds]
	if t.second != second {
		*t = tally{second: second}
	}
	t.count++
	if r.FunctionError == "" {
		return
	}
	t.failed++
	f.errors++
	f.failures = append(f.failures, Failure{
		RequestID: r.RequestID, TraceID: r.Trace.Header.Root, Time: f.last, Type: r.ErrorType, Message: r.ErrorMessage, Millis: duration,
	})
	if len(f.failures) > maxErrors {
		f.failures = slices.Delete(f.failures, 0, 1)
	}
}

// logged keeps the latest lines.
func (s *functionStats) logged(name, line string) {
	if len(line) > maxLogLine {
		line = line[:maxLogLine] + " …"
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.get(name)
	if f == nil {
		return
	}
	f.log = append(f.log, line)
	f.logBytes += len(line)
	for len(f.log) > maxLogLines || f.logBytes > maxLogBytes {
		f.logBytes -= len(f.log[0])
		f.log[0] = "" // the array behind goes on holding it otherwise
		f.log = f.log[1:]
	}
}

// rows are the functions that are declared, in their order, and then those that
// were heard of all the same.
func (s *functionStats) rows(now time.Time, declared []string, prefix string) []FunctionRow {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := slices.Clone(declared)
	for _, name := range s.names {
		if !slices.Contains(declared, name) {
			names = append(names, name)
		}
	}
	rows := make([]FunctionRow, 0, len(names))
	for _, name := range names {
		f := s.get(name)
		if f == nil {
			continue // there are too many
		}
		row := FunctionRow{
			Name: name, Label: strings.TrimPrefix(name, prefix), Invocations: f.invocations, Errors: f.errors, ColdStarts: f.coldStarts, MemoryMB: f.memoryMB,
			Spark: make([]int, sparkSeconds), Failed: make([]int, sparkSeconds),
		}
		sorted := slices.Sorted(slices.Values(f.durations))
		row.P50, row.P99 = percentile(sorted, 50), percentile(sorted, 99)
		if !f.last.IsZero() {
			row.LastMillis = f.last.UnixMilli()
		}
		if n := len(f.failures); n > 0 {
			row.LastError = cmp.Or(f.failures[n-1].Type, f.failures[n-1].Message)
		}
		for i := range sparkSeconds {
			second := now.Unix() - int64(sparkSeconds-1-i)
			if t := f.second[second%sparkSeconds]; t.second == second {
				row.Spark[i], row.Failed[i] = t.count, t.failed
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// percentile is the smallest of sorted values that p percent are not above.
func percentile(sorted []float64, p int) float64 {
	if len(sorted) == 0 {
		return 0
	}
	rank := (len(sorted)*p + 99) / 100 // rounded up
	return sorted[max(rank, 1)-1]
}

// FunctionDetail is what the page shows of one function.
type FunctionDetail struct {
	Failures []Failure `json:"failures"` // the latest first
	Log      []string  `json:"log"`
}

func (s *functionStats) detail(name string) (FunctionDetail, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f, ok := s.all[name]
	if !ok {
		return FunctionDetail{}, false
	}
	d := FunctionDetail{Failures: append([]Failure{}, f.failures...), Log: append([]string{}, f.log...)}
	slices.Reverse(d.Failures)
	return d, true
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
