package ledger_test

import (
	"testing"
	"time"
	_ "time/tzdata"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/ledger"
)

func zone(tb testing.TB, name string) *time.Location {
	tb.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		tb.Fatal(err)
	}
	return z
}

func TestPeriods(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		text, zone string
		start      string
		hours      float64
	}{
		{"2026-11-03", "UTC", "2026-11-03T00:00:00Z", 24},
		{"2026-11", "UTC", "2026-11-01T00:00:00Z", 720},
		{"2028-02", "UTC", "2028-02-01T00:00:00Z", 29 * 24},
		{"2026", "UTC", "2026-01-01T00:00:00Z", 8760},
		{"2026-03-29", "Europe/Berlin", "2026-03-28T23:00:00Z", 23},
		{"2026-10-25", "Europe/Berlin", "2026-10-24T22:00:00Z", 25},
		{"2026-03", "Europe/Berlin", "2026-02-28T23:00:00Z", 743},
		{"2026-10", "Europe/Berlin", "2026-09-30T22:00:00Z", 745},
		{"2026", "Europe/Berlin", "2025-12-31T23:00:00Z", 8760},
		{"2026-03-08", "America/New_York", "2026-03-08T05:00:00Z", 23},
		{"2026-11-01", "America/New_York", "2026-11-01T04:00:00Z", 25},
		{"2026-10-04", "Australia/Lord_Howe", "2026-10-03T13:30:00Z", 23.5},
		{"2026-04-05", "Australia/Lord_Howe", "2026-04-04T13:00:00Z", 24.5},
		{"2026-01-01", "Asia/Kathmandu", "2025-12-31T18:15:00Z", 24},
		// Clocks put forward at midnight: the day begins at 01:00.
		{"2018-11-04", "America/Sao_Paulo", "2018-11-04T03:00:00Z", 23},
		// Clocks put back at midnight: the day before has 25 hours.
		{"2018-02-17", "America/Sao_Paulo", "2018-02-17T02:00:00Z", 25},
		// Clocks put back from 01:00 to midnight: the day has midnight twice.
		{"2026-10-25", "Atlantic/Azores", "2026-10-25T00:00:00Z", 25},
		// The day after the one that Samoa skipped.
		{"2011-12-31", "Pacific/Apia", "2011-12-30T10:00:00Z", 24},
	} {
		p, err := ledger.ParsePeriod(tc.text, zone(t, tc.zone))
		if err != nil {
			t.Errorf("%s in %s: %v", tc.text, tc.zone, err)
			continue
		}
		if got := p.Start.Format(time.RFC3339); got != tc.start || p.Duration().Hours() != tc.hours {
			t.Errorf("%s in %s begins at %s and has %v hours, want %s and %v", tc.text, tc.zone, got, p.Duration().Hours(), tc.start, tc.hours)
		}
	}
}

func TestNoPeriods(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct{ text, zone string }{
		{"", "UTC"}, {"2026-1", "UTC"}, {"2026-13", "UTC"}, {"2026-02-30", "UTC"}, {"26-01-01", "UTC"}, {"2026-W01", "UTC"},
		{"1999-12", "UTC"}, {"2200", "UTC"}, {"0000", "UTC"}, {"2011-12-30", "Pacific/Apia"}, {"2026-11-03T00:00:00Z", "UTC"}, {"+026", "UTC"},
	} {
		if p, err := ledger.ParsePeriod(tc.text, zone(t, tc.zone)); !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("%q in %s is %+v, %v, want InvalidArgument", tc.text, tc.zone, p, err)
		}
	}
}

// TestPeriodsTile: the days of a zone follow on one another without gap or overlap, in
// whole quarters of an hour, and a month is the days that it has.
func TestPeriodsTile(t *testing.T) {
	t.Parallel()
	names := []string{
		"UTC", "Europe/Berlin", "Europe/Dublin", "America/New_York", "America/Sao_Paulo", "America/Havana", "Asia/Beirut",
		"Africa/Cairo", "Africa/Casablanca", "Asia/Gaza", "Asia/Kathmandu", "Australia/Lord_Howe", "Pacific/Chatham",
		"Atlantic/Azores", "America/St_Johns", "Asia/Tehran", "America/Asuncion", "Pacific/Apia",
	}
	rapid.Check(t, func(rt *rapid.T) {
		z := zone(t, rapid.SampledFrom(names).Draw(rt, "zone"))
		year, month := rapid.IntRange(2000, 2080).Draw(rt, "year"), rapid.IntRange(1, 12).Draw(rt, "month")
		first := time.Date(year, time.Month(month), 1, 0, 0, 0, 0, time.UTC)
		whole, err := ledger.ParsePeriod(first.Format("2006-01"), z)
		if err != nil {
			rt.Fatal(err)
		}
		end := whole.Start
		for d := first; d.Month() == first.Month(); d = d.AddDate(0, 0, 1) {
			day, err := ledger.ParsePeriod(d.Format(time.DateOnly), z)
			if err != nil {
				if z.String() == "Pacific/Apia" && d.Format(time.DateOnly) == "2011-12-30" {
					continue
				}
				rt.Fatal(err)
			}
			if !day.Start.Equal(end) || !day.Start.Equal(day.Start.Truncate(ledger.Quarter)) {
				rt.Fatalf("%s in %s begins at %s, the day before ends at %s", day.Name, z, day.Start, end)
			}
			if got := day.Start.In(z).Format(time.DateOnly); got != day.Name {
				rt.Fatalf("%s in %s begins on %s", day.Name, z, got)
			}
			if got := day.Start.Add(-ledger.Quarter).In(z).Format(time.DateOnly); got >= day.Name {
				rt.Fatalf("%s in %s is preceded by %s", day.Name, z, got)
			}
			end = day.End
		}
		if !end.Equal(whole.End) {
			rt.Fatalf("the days of %s in %s end at %s, the month at %s", whole.Name, z, end, whole.End)
		}
	})
}

func FuzzParsePeriod(f *testing.F) {
	f.Add("2026-11-03")
	f.Add("2026")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ledger.ParsePeriod(text, time.UTC)
		if err == nil && (p.Name != text || !p.Start.Before(p.End)) {
			t.Errorf("%q is %+v", text, p)
		}
	})
}
