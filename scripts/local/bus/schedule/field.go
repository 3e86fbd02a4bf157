package schedule

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// set is the values that a field allows.
type set map[int]bool

// span is a field's name, range and names for values, the first of which stands for low.
type span struct {
	name      string
	low, high int
	names     []string
}

// parseSet reads lists, ranges and increments: "*", "0/15", "1,2,10-20", "1-30/5", "MON-FRI".
func parseSet(s string, in span) (set, error) {
	all := set{}
	for term := range strings.SplitSeq(s, ",") {
		base, step, hasStep := strings.Cut(term, "/")
		low, high, err := in.bounds(base, hasStep)
		if err != nil {
			return nil, err
		}
		by := 1
		if hasStep {
			if by, err = strconv.Atoi(step); err != nil || by < 1 {
				return nil, fmt.Errorf("%s: increment %q in %q must be a positive number", in.name, step, s)
			}
		}
		for v := low; v <= high; v += min(by, high+1) { // min: so that v cannot overflow
			all[v] = true
		}
	}
	return all, nil
}

// bounds reads "*", one value, or a range; a single value with an increment runs to the end.
func (in span) bounds(base string, hasStep bool) (low, high int, err error) {
	if base == "*" {
		return in.low, in.high, nil
	}
	from, to, isRange := strings.Cut(base, "-")
	if low, err = in.value(from); err != nil {
		return 0, 0, err
	}
	switch {
	case isRange:
		if high, err = in.value(to); err != nil {
			return 0, 0, err
		}
		if high < low {
			return 0, 0, fmt.Errorf("%s: the range %q runs backwards", in.name, base)
		}
	case hasStep:
		high = in.high
	default:
		high = low
	}
	return low, high, nil
}

func (in span) value(s string) (int, error) {
	if i := slices.Index(in.names, strings.ToUpper(s)); i >= 0 {
		return in.low + i, nil
	}
	v, err := strconv.Atoi(s)
	if err != nil || v < in.low || v > in.high {
		return 0, fmt.Errorf("%s: %q must lie between %d and %d", in.name, s, in.low, in.high)
	}
	return v, nil
}

type dayTest = func(y int, m time.Month, d int) bool

// parseDayOfMonth reads L (the last day) and 15W (the weekday nearest to the 15th) beside sets.
func parseDayOfMonth(s string) (dayTest, error) {
	in := span{name: "day-of-month", low: 1, high: 31}
	if s == "L" {
		return func(y int, m time.Month, d int) bool { return d == daysIn(y, m) }, nil
	}
	if before, ok := strings.CutSuffix(s, "W"); ok {
		want, err := in.value(before)
		if err != nil {
			return nil, err
		}
		return func(y int, m time.Month, d int) bool { return d == nearestWeekday(y, m, want) }, nil
	}
	days, err := parseSet(s, in)
	return func(_ int, _ time.Month, d int) bool { return days[d] }, err
}

// nearestWeekday is the Monday to Friday nearest to a day, within its month; 0 when the month has
// no such day.
func nearestWeekday(y int, m time.Month, d int) int {
	last := daysIn(y, m)
	if d > last {
		return 0
	}
	switch weekday(y, m, d) {
	case time.Saturday:
		if d == 1 {
			return 3
		}
		return d - 1
	case time.Sunday:
		if d == last {
			return d - 2
		}
		return d + 1
	default:
		return d
	}
}

// parseDayOfWeek reads L (Saturday), 6L (the last Friday) and 6#3 (the third Friday) beside sets;
// 1 is Sunday.
func parseDayOfWeek(s string) (dayTest, error) {
	in := span{name: "day-of-week", low: 1, high: 7, names: []string{"SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"}}
	is := func(want, y int, m time.Month, d int) bool { return int(weekday(y, m, d))+1 == want }
	if s == "L" {
		return func(y int, m time.Month, d int) bool { return is(7, y, m, d) }, nil
	}
	if before, ok := strings.CutSuffix(s, "L"); ok {
		want, err := in.value(before)
		return func(y int, m time.Month, d int) bool { return is(want, y, m, d) && d+7 > daysIn(y, m) }, err
	}
	if before, nth, ok := strings.Cut(s, "#"); ok {
		want, err := in.value(before)
		if err != nil {
			return nil, err
		}
		n, err := strconv.Atoi(nth)
		if err != nil || n < 1 || n > 5 {
			return nil, fmt.Errorf("day-of-week: what follows # in %q must lie between 1 and 5", s)
		}
		return func(y int, m time.Month, d int) bool { return is(want, y, m, d) && (d-1)/7+1 == n }, nil
	}
	days, err := parseSet(s, in)
	return func(y int, m time.Month, d int) bool { return days[int(weekday(y, m, d))+1] }, err
}
