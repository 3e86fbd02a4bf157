package chaos

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind tells sources of trouble apart.
type Kind string

// The kinds of sources.
const (
	Notifications Kind = "notifications" // a bucket's, by the queue that they go to
	Queues        Kind = "queues"        // mapped to functions, by the function
	Streams       Kind = "streams"       // likewise
	Targets       Kind = "targets"       // of rules on a bus, by name
	Functions     Kind = "functions"     // by name
	Services      Kind = "services"      // as functions see them, by their signing names: dynamodb, s3, events, ...
)

// Fault is a way in which something goes wrong.
type Fault string

// The faults.
const (
	Duplicates  Fault = "duplicates"
	Reorder     Fault = "reorder"
	Delays      Fault = "delays"
	Splits      Fault = "splits"
	Lost        Fault = "lost"
	Kills       Fault = "kills"
	Timeouts    Fault = "timeouts"
	Throttles   Fault = "throttles"
	Conflicts   Fault = "conflicts"
	Unprocessed Fault = "unprocessed"
	Partial     Fault = "partial"
	Stale       Fault = "stale"
	Restarts    Fault = "restarts"
)

// Description says what a fault is, where it can strike, and its rate when faults
// are switched on without saying which.
type Description struct {
	Fault Fault   `json:"fault"`
	Kinds []Kind  `json:"kinds"`
	Rate  float64 `json:"rate"`
	Doc   string  `json:"doc"`
}

// Faults describes every fault.
func Faults() []Description {
	deliveries := []Kind{Notifications, Queues, Streams, Targets}
	return []Description{
		{Duplicates, deliveries, 0.2, "what was delivered comes again, at once or later; from a queue also at the same time"},
		{Reorder, []Kind{Notifications, Queues, Targets}, 0.2, "what comes later overtakes; in a batch, records are shuffled; streams and FIFO queues keep their order"},
		{Delays, deliveries, 0.2, "a delivery waits, at most max-delay"},
		{Splits, []Kind{Queues, Streams}, 0.2, "a batch comes as several, cut anywhere"},
		{Lost, []Kind{Queues, Streams, Targets}, 0.02, "the answer to a delivery is lost, so that it comes again"},
		{Kills, []Kind{Functions}, 0.05, "kill -9 of the function's process: before the first of its calls, after any of them, or when it answers"},
		{Timeouts, []Kind{Functions}, 0.005, "the function's process is frozen at such a moment, until its time-out, which is shortened to stall"},
		{Throttles, []Kind{Functions, Services}, 0.05, "the call is refused for now, in the words of its service; a function has no concurrency left"},
		{Conflicts, []Kind{Services}, 0.1, "dynamodb: a transaction takes longer, at most linger; what meets it on an item is cancelled with TransactionConflict, as is whatever else overlaps while the rate is over 0"},
		{Unprocessed, []Kind{Services}, 0.2, "dynamodb: BatchWriteItem and BatchGetItem leave items unprocessed"},
		{Partial, []Kind{Services}, 0.2, "events, sqs: PutEvents, SendMessageBatch and DeleteMessageBatch fail for some of their entries"},
		{Stale, []Kind{Services}, 0.5, "dynamodb: a read of a global secondary index sees it as it was, at most staleness ago"},
		{Restarts, []Kind{Services}, 0.0005, "dynamodb, s3: the engine is killed while it serves the call, and started again"},
	}
}

func describe(f Fault) (Description, bool) {
	all := Faults()
	i := slices.IndexFunc(all, func(d Description) bool { return d.Fault == f })
	if i < 0 {
		return Description{}, false
	}
	return all[i], true
}

// Rate is how often a fault strikes where it can.
type Rate struct {
	Scope string // a kind of sources, or the name of one; empty: everywhere
	Fault Fault
	Rate  float64 // from 0 to 1
}

// Settings say what goes wrong, and how often. The zero value is calm.
type Settings struct {
	Seed  uint64 // zero: any
	Rates []Rate // of several for one fault, that of a name holds before that of a kind, and that before a general one

	MaxDelay  time.Duration // longest delay of a delivery; zero: 200 ms
	Staleness time.Duration // how far indexes lag, at most; zero: 500 ms
	Stall     time.Duration // time-out of a run that is frozen; zero: 1 s
	Linger    time.Duration // how long a transaction is held under way, at most; zero: 10 ms
}

const (
	defaultMaxDelay  = 200 * time.Millisecond
	defaultStaleness = 500 * time.Millisecond
	defaultStall     = time.Second
	defaultLinger    = 10 * time.Millisecond
)

// Default is every fault at its default rate.
func Default() Settings {
	var s Settings
	for _, d := range Faults() {
		s.Rates = append(s.Rates, Rate{Fault: d.Fault, Rate: d.Rate})
	}
	return s.withDefaults()
}

func (s Settings) withDefaults() Settings {
	for _, d := range []struct {
		field *time.Duration
		value time.Duration
	}{{&s.MaxDelay, defaultMaxDelay}, {&s.Staleness, defaultStaleness}, {&s.Stall, defaultStall}, {&s.Linger, defaultLinger}} {
		if *d.field == 0 {
			*d.field = d.value
		}
	}
	return s
}

// rate is the most specific one that holds for a fault at a source.
func (s *Settings) rate(at source, f Fault) float64 {
	rate, best := 0.0, -1
	for _, r := range s.Rates {
		if r.Fault != f {
			continue
		}
		rank := -1
		switch r.Scope {
		case "":
			rank = 0
		case string(at.kind):
			rank = 1
		case at.name:
			rank = 2
		}
		if rank >= best && rank >= 0 { // of two with the same scope the later one
			rate, best = r.Rate, rank
		}
	}
	return rate
}

// check refuses rates that no probability is, and scopes at which a fault cannot strike.
func (s *Settings) check(names []string) error {
	var errs []error
	for _, r := range s.Rates {
		d, known := describe(r.Fault)
		if !known {
			errs = append(errs, fmt.Errorf("there is no fault %q: there are %s", r.Fault, joined(faultNames())))
			continue
		}
		if !(r.Rate >= 0 && r.Rate <= 1) {
			errs = append(errs, fmt.Errorf("%s: a rate is between 0 and 1, not %v", r.key(), r.Rate))
		}
		if err := checkScope(r, d, names); err != nil {
			errs = append(errs, err)
		}
	}
	for name, d := range map[string]time.Duration{"max-delay": s.MaxDelay, "staleness": s.Staleness, "stall": s.Stall, "linger": s.Linger} {
		if d < 0 || d > maxDuration {
			errs = append(errs, fmt.Errorf("%s: %s is not between 0 and %s", name, d, maxDuration))
		}
	}
	return errors.Join(errs...)
}

// maxDuration bounds every duration: SQS delays no message for longer.
const maxDuration = 15 * time.Minute

func checkScope(r Rate, d Description, names []string) error {
	kind := Kind(r.Scope)
	isKind := slices.Contains([]Kind{Notifications, Queues, Streams, Targets, Functions, Services}, kind)
	switch {
	case r.Scope == "" || slices.Contains(d.Kinds, kind):
		return nil
	case isKind:
		return fmt.Errorf("%s: %s does not strike %s, only %s", r.key(), r.Fault, r.Scope, joined(d.Kinds))
	case slices.Contains(serviceNames(), r.Scope) || slices.Contains(names, r.Scope):
		return nil
	}
	return fmt.Errorf("%s: there is no source %q: there are notifications, queues, streams, targets, functions, services, and %s",
		r.key(), r.Scope, joined(slices.Concat(serviceNames(), names)))
}

func serviceNames() []string {
	return []string{"dynamodb", "events", "lambda", "s3", "secretsmanager", "sqs", "sts"}
}

func faultNames() []Fault {
	var names []Fault
	for _, d := range Faults() {
		names = append(names, d.Fault)
	}
	return names
}

func joined[T ~string](list []T) string {
	words := make([]string, len(list))
	for i, w := range list {
		words[i] = string(w)
	}
	return strings.Join(words, ", ")
}

func (r Rate) key() string {
	if r.Scope == "" {
		return string(r.Fault)
	}
	return r.Scope + "." + string(r.Fault)
}

// String is the form that Parse reads.
func (s Settings) String() string {
	if len(s.Rates) == 0 {
		return "off"
	}
	parts := []string{"seed=" + strconv.FormatUint(s.Seed, 10)}
	for _, r := range s.Rates {
		parts = append(parts, r.key()+"="+strconv.FormatFloat(r.Rate, 'g', -1, 64))
	}
	d := s.withDefaults()
	for _, p := range []struct {
		name            string
		value, standard time.Duration
	}{
		{"max-delay", d.MaxDelay, defaultMaxDelay}, {"staleness", d.Staleness, defaultStaleness},
		{"stall", d.Stall, defaultStall}, {"linger", d.Linger, defaultLinger},
	} {
		if p.value != p.standard {
			parts = append(parts, p.name+"="+p.value.String())
		}
	}
	return strings.Join(parts, ",")
}
