package chaos_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/scripts/local/chaos"
)

func TestParse(t *testing.T) {
	everything := chaos.Default().Rates
	with := func(changes ...chaos.Rate) []chaos.Rate {
		rates := append([]chaos.Rate(nil), everything...)
	next:
		for _, c := range changes {
			for i, r := range rates {
				if r.Scope == c.Scope && r.Fault == c.Fault {
					rates[i] = c
					continue next
				}
			}
			rates = append(rates, c)
		}
		return rates
	}
	for text, want := range map[string]chaos.Settings{
		"":                        {},
		"off":                     {},
		"on":                      {Rates: everything},
		"seed=7":                  {Seed: 7, Rates: everything},
		"seed=7,kills=0.1":        {Seed: 7, Rates: []chaos.Rate{{Fault: chaos.Kills, Rate: 0.1}}},
		"on, kills=0":             {Rates: with(chaos.Rate{Fault: chaos.Kills})},
		"kills=0.5,on":            {Rates: with(chaos.Rate{Fault: chaos.Kills, Rate: 0.5})},
		"queues.duplicates=1":     {Rates: []chaos.Rate{{Scope: "queues", Fault: chaos.Duplicates, Rate: 1}}},
		"Ingest.kills=.3":         {Rates: []chaos.Rate{{Scope: "Ingest", Fault: chaos.Kills, Rate: 0.3}}},
		"kills=0.1,kills=0.2":     {Rates: []chaos.Rate{{Fault: chaos.Kills, Rate: 0.2}}},
		"max-delay=1s,stall=20ms": {MaxDelay: time.Second, Stall: 20 * time.Millisecond},
		"staleness=1s,linger=1ms": {Staleness: time.Second, Linger: time.Millisecond},
	} {
		got, err := chaos.Parse(text)
		if err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

func TestParseSaysWhatIsWrong(t *testing.T) {
	for text, want := range map[string]string{
		"kills":          `"kills" is neither on, off nor <name>=<value>`,
		"kils=0.1":       "there is no such fault: there are duplicates, ",
		"kills=often":    `"often"`,
		"seed=-1":        `"-1"`,
		"max-delay=1":    "missing unit",
		"a=1,b=2":        "b: there is no such fault",
		"queues.x=1":     "queues.x: there is no such fault",
		"duplicates=1.x": "duplicates",
	} {
		_, err := chaos.Parse(text)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want it to say %q", text, err, want)
		}
	}
}

func TestSetRefusesWhatCannotBe(t *testing.T) {
	c := chaos.New(chaos.Config{Names: func() []string { return []string{"Ingest"} }})
	for text, want := range map[string]string{
		"kills=1.01":          "between 0 and 1",
		"kills=-0.01":         "between 0 and 1",
		"kills=NaN":           "between 0 and 1",
		"queues.kills=0.1":    "kills does not strike queues, only functions",
		"streams.reorder=1":   "reorder does not strike streams",
		"ingest.kills=0.1":    `there is no source "ingest"`,
		"on,max-delay=16m":    "max-delay",
		"on,linger=-1ns":      "linger",
		"nowhere.throttles=1": "and dynamodb, events, lambda, s3, secretsmanager, sqs, sts, Ingest",
	} {
		s, err := chaos.Parse(text)
		if err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		if err := c.Set(s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want it to say %q", text, err, want)
		}
		if c.On() {
			t.Fatalf("%q was refused and is in force", text)
		}
	}
	for _, text := range []string{"kills=0", "kills=1", "Ingest.kills=0.1", "s3.restarts=1", "on,max-delay=15m"} {
		s, err := chaos.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Set(s); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if on := text != "kills=0"; c.On() != on {
			t.Errorf("%q: on is %t", text, c.On())
		}
	}
}

// TestSettingsReadWhatTheyPrint: what a failing run prints repeats it.
func TestSettingsReadWhatTheyPrint(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s chaos.Settings
		seen := map[string]bool{}
		for range rapid.IntRange(1, 6).Draw(t, "rates") {
			r := chaos.Rate{
				Scope: rapid.SampledFrom([]string{"", "queues", "functions", "Ingest"}).Draw(t, "scope"),
				Fault: rapid.SampledFrom(chaos.Faults()).Draw(t, "fault").Fault,
				Rate:  rapid.Float64Range(0, 1).Draw(t, "rate"),
			}
			if key := r.Scope + "." + string(r.Fault); !seen[key] {
				seen[key] = true
				s.Rates = append(s.Rates, r)
			}
		}
		s.Seed = rapid.Uint64Min(1).Draw(t, "seed")
		s.MaxDelay = time.Duration(rapid.Int64Range(0, int64(time.Minute)).Draw(t, "delay"))
		got, err := chaos.Parse(s.String())
		if err != nil {
			t.Fatal(err)
		}
		if got.MaxDelay == 0 && s.MaxDelay == 200*time.Millisecond {
			got.MaxDelay = s.MaxDelay // the default goes without saying
		}
		if diff := cmp.Diff(s, got); diff != "" {
			t.Fatalf("%q (-want +got):\n%s", s, diff)
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "on", "seed=7,kills=0.1", "queues.duplicates=1", "max-delay=1s", "=,=", ".=1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := chaos.Parse(text)
		if err != nil {
			return
		}
		again, err := chaos.Parse(s.String())
		if err != nil {
			t.Fatalf("%q became %q: %v", text, s, err)
		}
		if len(again.Rates) != len(s.Rates) {
			t.Fatalf("%q became %q", text, s)
		}
	})
}
