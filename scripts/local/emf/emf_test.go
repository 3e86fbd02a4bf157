package emf_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/emf"
)

// line is a document with one directive.
func line(dimensions, metrics, members string) string {
	return `{"_aws":{"Timestamp":1700000000123,"CloudWatchMetrics":[{"Namespace":"App","Dimensions":` + dimensions + `,"Metrics":` + metrics + `}]},` + members + `}`
}

func TestParse(t *testing.T) {
	for _, test := range []struct {
		name, line string
		want       string // as show writes it; empty: no metrics
	}{
		{"one value", line(`[["function"]]`, `[{"Name":"Done","Unit":"Count"}]`, `"function":"f","Done":2`), "App/Done Count [{function f}] [2]"},
		{"many values", line(`[[]]`, `[{"Name":"Took","Unit":"Milliseconds"}]`, `"Took":[1,2.5]`), "App/Took Milliseconds [] [1 2.5]"},
		{"no dimensions said", line(`[]`, `[{"Name":"Done"}]`, `"Done":1`), "App/Done  [] [1]"},
		{"two sets", line(`[["a"],["a","b"]]`, `[{"Name":"Done"}]`, `"Done":1,"a":"x","b":"y"`), "App/Done  [{a x}] [1]\nApp/Done  [{a x} {b y}] [1]"},
		{"a dimension that is missing", line(`[["a"]]`, `[{"Name":"Done"}]`, `"Done":1`), ""},
		{"a dimension that is no string", line(`[["a"]]`, `[{"Name":"Done"}]`, `"Done":1,"a":3`), ""},
		{"a metric that is missing", line(`[[]]`, `[{"Name":"Done"},{"Name":"Other"}]`, `"Other":1`), "App/Other  [] [1]"},
		{"a metric that is no number", line(`[[]]`, `[{"Name":"Done"}]`, `"Done":"1"`), ""},
		{"null", line(`[[]]`, `[{"Name":"Done"}]`, `"Done":null`), ""},
		{"another line", `{"message":"hello"}`, ""},
		{"text", `START RequestId: 1`, ""},
		{"a line that speaks of it", `{"message":"\"CloudWatchMetrics\""}`, ""},
	} {
		metrics, err := emf.Parse([]byte(test.line))
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		var shown []string
		for _, m := range metrics {
			shown = append(shown, fmt.Sprintf("%s/%s %s %v %v", m.Namespace, m.Name, m.Unit, m.Dimensions, m.Values))
			if !m.Time.Equal(time.UnixMilli(1700000000123)) {
				t.Errorf("%s: time %s", test.name, m.Time)
			}
		}
		if got := strings.Join(shown, "\n"); got != test.want {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
	if _, err := emf.Parse([]byte(`{"_aws":{"CloudWatchMetrics":"no"}}`)); err == nil {
		t.Error("a directive of another shape is read")
	}
}

func TestLimits(t *testing.T) {
	for _, n := range []int{99, 100, 101} {
		values := strings.TrimSuffix(strings.Repeat("1,", n), ",")
		metrics, err := emf.Parse([]byte(line(`[[]]`, `[{"Name":"Done"}]`, `"Done":[`+values+`]`)))
		if err != nil || len(metrics) != 1 || len(metrics[0].Values) != min(n, 100) {
			t.Errorf("%d values: %v, %v", n, metrics, err)
		}
	}
}

func TestStore(t *testing.T) {
	s := emf.NewStore()
	now := time.Unix(1_700_000_000, 0)
	add := func(name, unit string, at time.Time, values ...float64) {
		s.Add(emf.Metric{Namespace: "App", Name: name, Unit: unit, Values: values, Time: at})
	}
	add("Done", "Count", now, 1)
	add("Done", "Count", now, 2)
	add("Done", "Count", now.Add(-(emf.Window-1)*time.Second), 5) // the oldest second that is shown
	add("Done", "Count", now.Add(-emf.Window*time.Second), 7)     // before it: only in the total
	add("Took", "Milliseconds", now.Add(-time.Second), 10, 20)
	series, leftOut := s.Series(now)
	if len(series) != 2 || leftOut != 0 {
		t.Fatalf("series %+v, left out %d", series, leftOut)
	}
	done, took := series[0], series[1]
	if done.Sum != 15 || done.Count != 4 || done.Points[emf.Window-1] != 3 || done.Points[0] != 5 {
		t.Errorf("done %+v", done)
	}
	if took.Min != 10 || took.Max != 20 || took.Points[emf.Window-2] != 15 {
		t.Errorf("took %+v", took)
	}
	later, _ := s.Series(now.Add(emf.Window * time.Second))
	if slices.Max(later[0].Points) != 0 {
		t.Errorf("what is over is still shown: %v", later[0].Points)
	}
	for i := range 600 {
		add(fmt.Sprint(i), "Count", now, 1)
	}
	if series, leftOut = s.Series(now); len(series) != 500 || leftOut != 102 {
		t.Errorf("%d series, %d left out", len(series), leftOut)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(line(`[["function"]]`, `[{"Name":"Done","Unit":"Count"}]`, `"function":"f","Done":2`)))
	f.Add([]byte(line(`[[]]`, `[{"Name":"Took","Unit":"Milliseconds"}]`, `"Took":[1,2.5,1e400]`)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		metrics, err := emf.Parse(raw)
		if err != nil && len(metrics) > 0 {
			t.Errorf("%d metrics beside %v", len(metrics), err)
		}
		s := emf.NewStore()
		for _, m := range metrics {
			if len(m.Values) == 0 || len(m.Values) > 100 {
				t.Errorf("%d values", len(m.Values))
			}
			s.Add(m)
		}
		s.Series(time.Now())
	})
}
