package schedule

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// cron is the six fields of an expression; the day fields are functions because L, W and # depend
// on the month.
type cron struct {
	minutes, hours, months, years set
	day                           func(y int, m time.Month, d int) bool
}

const (
	firstYear = 1970
	lastYear  = 2199
)

func parseCron(body string) (cron, error) {
	fields := strings.Fields(body)
	if len(fields) != 6 {
		return cron{}, fmt.Errorf("cron has 6 fields (minutes hours day-of-month month day-of-week year), this has %d", len(fields))
	}
	var c cron
	var errs [6]error
	c.minutes, errs[0] = parseSet(fields[0], span{name: "minutes", low: 0, high: 59})
	c.hours, errs[1] = parseSet(fields[1], span{name: "hours", low: 0, high: 23})
	c.months, errs[3] = parseSet(fields[3], span{name: "month", low: 1, high: 12, names: []string{"JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"}})
	c.years, errs[5] = parseSet(fields[5], span{name: "year", low: firstYear, high: lastYear})
	if (fields[2] == "?") == (fields[4] == "?") {
		return cron{}, errors.New("exactly one of day-of-month and day-of-week must be ?")
	}
	if fields[4] == "?" {
		c.day, errs[2] = parseDayOfMonth(fields[2])
	} else {
		c.day, errs[4] = parseDayOfWeek(fields[4])
	}
	return c, errors.Join(errs[:]...)
}

// next walks the days after t; the years are bounded, so it comes to an end.
func (c cron) next(t time.Time, zone *time.Location) (time.Time, bool) {
	local := t.In(zone)
	y, m, d := local.Date()
	for ; y <= lastYear; y, m, d = y+1, time.January, 1 {
		if !c.years[y] {
			continue
		}
		for ; m <= time.December; m, d = m+1, 1 {
			if !c.months[int(m)] {
				continue
			}
			for last := daysIn(y, m); d <= last; d++ {
				if !c.day(y, m, d) {
					continue
				}
				if at, ok := c.onDay(t, y, m, d, zone); ok {
					return at, true
				}
			}
		}
	}
	return time.Time{}, false
}

// onDay is the first matching time of one day that is after t.
func (c cron) onDay(t time.Time, y int, m time.Month, d int, zone *time.Location) (time.Time, bool) {
	for h := range 24 {
		if !c.hours[h] {
			continue
		}
		for minute := range 60 {
			if !c.minutes[minute] {
				continue
			}
			at := time.Date(y, m, d, h, minute, 0, 0, zone)
			// A time that daylight saving skips comes back as another one.
			if at.After(t) && at.Hour() == h && at.Minute() == minute {
				return at, true
			}
		}
	}
	return time.Time{}, false
}

func daysIn(y int, m time.Month) int {
	return time.Date(y, m+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

func weekday(y int, m time.Month, d int) time.Weekday {
	return time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Weekday()
}
