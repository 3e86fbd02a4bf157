package ledger

import (
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
)

// Quarter is a quarter of an hour: how finely the ledger sums up movements, and of what
// every period is a multiple. All time zones in use are whole quarters off UTC.
const Quarter = 15 * time.Minute

// QuarterOf returns the number of the quarter of an hour, since 1970, in which t lies.
func QuarterOf(t time.Time) int64 {
	ms, q := t.UnixMilli(), Quarter.Milliseconds()
	n := ms / q
	if ms%q < 0 {
		n--
	}
	return n
}

// QuarterStart returns when a quarter begins.
func QuarterStart(n int64) time.Time { return time.UnixMilli(n * Quarter.Milliseconds()).UTC() }

// Span is a stretch of time: Start belongs to it, End does not.
type Span struct{ Start, End time.Time }

// Duration is how long the span is: 23 hours for a day on which clocks are put forward.
func (s Span) Duration() time.Duration { return s.End.Sub(s.Start) }

// The years that a period may lie in.
const (
	firstYear = 2000
	lastYear  = 2199
)

// Period is a day, a month or a year of a time zone.
type Period struct {
	Span
	// Name is the period as it was asked for: 2026, 2026-11 or 2026-11-03.
	Name string
	// Zone is the IANA name of the time zone.
	Zone string
}

// ParsePeriod returns the day, month or year that text names in a time zone.
func ParsePeriod(text string, zone *time.Location) (Period, error) {
	p := Period{Name: text, Zone: zone.String()}
	var first, last civil
	switch t, layout := parseCivil(text); layout {
	case time.DateOnly:
		first, last = civilOf(t), civilOf(t.AddDate(0, 0, 1))
	case "2006-01":
		first, last = civilOf(t), civilOf(t.AddDate(0, 1, 0))
	case "2006":
		first, last = civilOf(t), civilOf(t.AddDate(1, 0, 0))
	default:
		return Period{}, fault.Invalid("period", "%q is neither a year, a month nor a day such as 2026, 2026-11 or 2026-11-03", text)
	}
	if first.year < firstYear || first.year > lastYear {
		return Period{}, fault.Invalid("period", "%q lies outside the years %d to %d", text, firstYear, lastYear)
	}
	p.Start, p.End = startOfDay(first, zone), startOfDay(last, zone)
	if !p.Start.Before(p.End) {
		return Period{}, fault.Invalid("period", "there was no %s in %s: the calendar skipped it", text, zone)
	}
	return p, nil
}

func parseCivil(text string) (time.Time, string) {
	for _, layout := range []string{time.DateOnly, "2006-01", "2006"} {
		if len(text) != len(layout) {
			continue
		}
		if t, err := time.Parse(layout, text); err == nil {
			return t, layout
		}
	}
	return time.Time{}, ""
}

// civil is a date of the calendar.
type civil struct {
	year  int
	month time.Month
	day   int
}

func civilOf(t time.Time) civil {
	y, m, d := t.Date()
	return civil{y, m, d}
}

// startOfDay returns the first instant that belongs to a date or a later one. That is
// midnight, the first of two on a day that has midnight twice, and the end of the gap
// where clocks are put forward at midnight. It looks at every quarter of an hour: clocks
// are set then (those of St. John's were set a minute later until 2011, which moves no
// beginning of a day).
func startOfDay(c civil, zone *time.Location) time.Time {
	const farthest = 26 * time.Hour // that a clock has been off UTC, and more
	date := time.Date(c.year, c.month, c.day, 0, 0, 0, 0, time.UTC)
	for t := date.Add(-farthest); ; t = t.Add(Quarter) {
		y, m, d := t.In(zone).Date()
		if !time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Before(date) {
			return t
		}
	}
}
