// Package schedule computes when EventBridge's schedule expressions fire: rate(5 minutes),
// cron(0 12 ? * MON-FRI *) and at(2030-01-01T00:00:00), in AWS's dialect
// (https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-scheduled-rule-pattern.html).
//
// Times of day follow a time zone: one that daylight saving skips is skipped, one that it repeats
// fires once.
package schedule

import (
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Kind is the form of an expression.
type Kind int

// The forms. Rules know Rate and Cron; EventBridge Scheduler knows At too.
const (
	Rate Kind = iota
	Cron
	At
)

// Expression is a parsed schedule expression. It is immutable and safe for concurrent use.
type Expression struct {
	kind  Kind
	every time.Duration
	at    time.Time
	cron  cron
	zone  *time.Location
}

// Parse parses an expression; cron and at are read in the given zone, and nil means UTC.
func Parse(s string, zone *time.Location) (*Expression, error) {
	if zone == nil {
		zone = time.UTC
	}
	name, body, ok := strings.Cut(s, "(")
	body, closed := strings.CutSuffix(body, ")")
	if !ok || !closed {
		return nil, fmt.Errorf("schedule %q: must be rate(...), cron(...) or at(...)", s)
	}
	e := &Expression{zone: zone}
	var err error
	switch name {
	case "rate":
		e.kind = Rate
		e.every, err = parseRate(body)
	case "cron":
		e.kind = Cron
		e.cron, err = parseCron(body)
	case "at":
		e.kind = At
		e.at, err = time.ParseInLocation("2006-01-02T15:04:05", body, zone)
	default:
		return nil, fmt.Errorf("schedule %q: unknown form %q, must be rate, cron or at", s, name)
	}
	if err != nil {
		return nil, fmt.Errorf("schedule %q: %w", s, err)
	}
	return e, nil
}

// Kind tells which form the expression has.
func (e *Expression) Kind() Kind { return e.kind }

// Next is the first time strictly after the given one; ok is false when there is none.
// A rate counts from the given time.
func (e *Expression) Next(after time.Time) (next time.Time, ok bool) {
	switch e.kind {
	case Rate:
		return after.Add(e.every), true
	case At:
		return e.at, e.at.After(after)
	default:
		return e.cron.next(after, e.zone)
	}
}

func parseRate(body string) (time.Duration, error) {
	number, unit, ok := strings.Cut(body, " ")
	n, err := strconv.Atoi(number)
	if !ok || err != nil || n < 1 {
		return 0, fmt.Errorf("a rate is a positive number and a unit, as in rate(5 minutes)")
	}
	length := map[string]time.Duration{"minute": time.Minute, "hour": time.Hour, "day": 24 * time.Hour}
	singular := strings.TrimSuffix(unit, "s")
	d, ok := length[singular]
	if !ok {
		return 0, fmt.Errorf("unknown unit %q, must be minute(s), hour(s) or day(s)", unit)
	}
	if (n == 1) != (unit == singular) {
		return 0, fmt.Errorf("the unit of %d must be %s", n, map[bool]string{true: singular, false: singular + "s"}[n == 1])
	}
	const longest = time.Duration(1<<63 - 1)
	if time.Duration(n) > longest/d {
		return 0, fmt.Errorf("%s is too long", body)
	}
	return time.Duration(n) * d, nil
}
