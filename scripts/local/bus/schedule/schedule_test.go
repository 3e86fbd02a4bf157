package schedule_test

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/bus/schedule"
)

func TestNext(t *testing.T) {
	tests := []struct {
		expression, zone, after string
		want                    []string // the next few, in the zone
	}{
		{"rate(5 minutes)", "UTC", "2026-03-01T00:00:30", []string{"2026-03-01T00:05:30", "2026-03-01T00:10:30"}},
		{"rate(1 hour)", "UTC", "2026-03-01T00:00:00", []string{"2026-03-01T01:00:00"}},
		{"rate(7 days)", "UTC", "2026-03-01T00:00:00", []string{"2026-03-08T00:00:00"}},
		{"at(2026-03-01T12:00:01)", "UTC", "2026-03-01T12:00:00", []string{"2026-03-01T12:00:01", ""}},
		{"at(2026-03-01T12:00:00)", "UTC", "2026-03-01T12:00:00", []string{""}},
		// The examples of the user guide.
		{"cron(0 10 * * ? *)", "UTC", "2026-03-01T10:00:00", []string{"2026-03-02T10:00:00"}},
		{"cron(15 12 * * ? *)", "UTC", "2026-03-01T12:14:59", []string{"2026-03-01T12:15:00", "2026-03-02T12:15:00"}},
		{"cron(0 18 ? * MON-FRI *)", "UTC", "2026-03-06T18:00:00", []string{"2026-03-09T18:00:00"}},
		{"cron(0 8 1 * ? *)", "UTC", "2026-03-01T08:00:00", []string{"2026-04-01T08:00:00"}},
		{"cron(0/15 * * * ? *)", "UTC", "2026-03-01T10:44:00", []string{"2026-03-01T10:45:00", "2026-03-01T11:00:00"}},
		{"cron(0/10 * ? * MON-FRI *)", "UTC", "2026-02-27T23:55:00", []string{"2026-03-02T00:00:00"}},
		{"cron(0/5 8-17 ? * MON-FRI *)", "UTC", "2026-03-02T17:55:00", []string{"2026-03-03T08:00:00"}},
		{"cron(0/30 20-23,0-2 ? * MON-FRI *)", "UTC", "2026-03-02T02:30:00", []string{"2026-03-02T20:00:00"}},
		{"cron(0 9 ? * 2#1 *)", "UTC", "2026-03-02T09:00:00", []string{"2026-04-06T09:00:00"}},
		{"cron(15 10 ? * 6L 2026-2027)", "UTC", "2026-02-27T10:15:00", []string{"2026-03-27T10:15:00"}},
		{"cron(0 0 L * ? *)", "UTC", "2028-02-01T00:00:00", []string{"2028-02-29T00:00:00", "2028-03-31T00:00:00"}},
		{"cron(0 0 ? * L *)", "UTC", "2026-03-01T00:00:00", []string{"2026-03-07T00:00:00", "2026-03-14T00:00:00"}},
		// 1 August 2026 is a Saturday, 31 May 2026 a Sunday: the nearest weekday stays in the month.
		{"cron(0 0 1W 8 ? *)", "UTC", "2026-07-31T00:00:00", []string{"2026-08-03T00:00:00"}},
		{"cron(0 0 31W 5 ? *)", "UTC", "2026-05-01T00:00:00", []string{"2026-05-29T00:00:00"}},
		{"cron(0 0 15W * ? *)", "UTC", "2026-03-01T00:00:00", []string{"2026-03-16T00:00:00", "2026-04-15T00:00:00", "2026-05-15T00:00:00"}},
		{"cron(0 0 ? * FRI#5 *)", "UTC", "2026-01-31T00:00:00", []string{"2026-05-29T00:00:00"}},
		{"cron(0 0 30 2 ? *)", "UTC", "2026-01-01T00:00:00", []string{""}},
		{"cron(0 0 29 2 ? *)", "UTC", "2026-01-01T00:00:00", []string{"2028-02-29T00:00:00"}},
		{"cron(59 23 31 DEC ? 2199)", "UTC", "2026-01-01T00:00:00", []string{"2199-12-31T23:59:00", ""}},
		{"cron(0 0 1 1 ? 2020)", "UTC", "2026-01-01T00:00:00", []string{""}},
		{"cron(1-10/3 0 1 1 ? 2027)", "UTC", "2027-01-01T00:00:00", []string{"2027-01-01T00:01:00", "2027-01-01T00:04:00", "2027-01-01T00:07:00", "2027-01-01T00:10:00", ""}},
		// Daylight saving in Berlin: 29 March 2026 has no 02:30, 25 October has it twice.
		{"cron(30 2 * * ? *)", "Europe/Berlin", "2026-03-28T02:30:00", []string{"2026-03-30T02:30:00"}},
		{"cron(30 2 * * ? *)", "Europe/Berlin", "2026-10-24T02:30:00", []string{"2026-10-25T02:30:00", "2026-10-26T02:30:00"}},
	}
	for _, tt := range tests {
		t.Run(tt.expression+" after "+tt.after, func(t *testing.T) {
			zone, err := time.LoadLocation(tt.zone)
			if err != nil {
				t.Fatal(err)
			}
			e, err := schedule.Parse(tt.expression, zone)
			if err != nil {
				t.Fatal(err)
			}
			const layout = "2006-01-02T15:04:05"
			at, err := time.ParseInLocation(layout, tt.after, zone)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range tt.want {
				next, ok := e.Next(at)
				got := ""
				if ok {
					got = next.In(zone).Format(layout)
				}
				if got != want {
					t.Fatalf("after %s: got %q, want %q", at, got, want)
				}
				at = next
			}
		})
	}
}

func TestParseRefuses(t *testing.T) {
	tests := []struct{ expression, says string }{
		{"", "must be rate(...)"},
		{"5 minutes", "must be rate(...)"},
		{"rate(5 minutes", "must be rate(...)"},
		{"every(5 minutes)", "unknown form"},
		{"rate(5)", "positive number and a unit"},
		{"rate(0 minutes)", "positive number"},
		{"rate(-1 minutes)", "positive number"},
		{"rate(5 seconds)", "unknown unit"},
		{"rate(1 minutes)", "must be minute"},
		{"rate(5 minute)", "must be minutes"},
		{"rate(9223372036854775807 days)", "too long"},
		{"at(2026-03-01)", "2026-03-01"},
		{"at(2026-03-01T00:00:00Z)", "Z"},
		{"cron(0 10 * * ?)", "6 fields"},
		{"cron(0 10 * * * *)", "exactly one of"},
		{"cron(0 10 ? * ? *)", "exactly one of"},
		{"cron(60 10 * * ? *)", `minutes: "60" must lie between 0 and 59`},
		{"cron(0 24 * * ? *)", "hours"},
		{"cron(0 0 0 * ? *)", "day-of-month"},
		{"cron(0 0 32 * ? *)", "day-of-month"},
		{"cron(0 0 1 13 ? *)", "month"},
		{"cron(0 0 ? * 0 *)", "day-of-week"},
		{"cron(0 0 ? * 8 *)", "day-of-week"},
		{"cron(0 0 ? * MON#6 *)", "between 1 and 5"},
		{"cron(0 0 ? * 8L *)", "day-of-week"},
		{"cron(0 0 1 1 ? 1969)", "year"},
		{"cron(0 0 1 1 ? 2200)", "year"},
		{"cron(0/0 0 1 1 ? *)", "increment"},
		{"cron(30-10 0 1 1 ? *)", "backwards"},
		{"cron(0 0 xW * ? *)", "day-of-month"},
		{"cron(? 0 1 * ? *)", "minutes"},
	}
	for _, tt := range tests {
		t.Run(tt.expression, func(t *testing.T) {
			_, err := schedule.Parse(tt.expression, nil)
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want an error that says %q", err, tt.says)
			}
		})
	}
}

// TestNextIsTheFirst walks minute by minute from a random time: whatever Next passes over must not
// match, and it never stands still.
func TestNextIsTheFirst(t *testing.T) {
	e, err := schedule.Parse("cron(7/20 3,14 ? * TUE,SAT *)", nil)
	if err != nil {
		t.Fatal(err)
	}
	rapid.Check(t, func(t *rapid.T) {
		after := time.Unix(rapid.Int64Range(0, 4e9).Draw(t, "after"), 0).UTC()
		next, ok := e.Next(after)
		if !ok || !next.After(after) {
			t.Fatalf("after %s: got %s, %v", after, next, ok)
		}
		for at := after.Truncate(time.Minute).Add(time.Minute); at.Before(next); at = at.Add(time.Minute) {
			day := at.Weekday() == time.Tuesday || at.Weekday() == time.Saturday
			if day && (at.Hour() == 3 || at.Hour() == 14) && at.Minute() >= 7 && (at.Minute()-7)%20 == 0 {
				t.Fatalf("after %s: %s was passed over for %s", after, at, next)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"rate(5 minutes)", "cron(0/15 8-17 ? * 6#3 2026-2030)", "cron(0 0 15W * ? *)", "at(2026-01-01T00:00:00)"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		e, err := schedule.Parse(s, nil)
		if err != nil {
			return
		}
		after := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		if next, ok := e.Next(after); ok && !next.After(after) {
			t.Errorf("%q: %s is not after %s", s, next, after)
		}
	})
}
