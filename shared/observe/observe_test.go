package observe_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-lambda-go/lambdacontext"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/observe"
)

func invocation(t *testing.T) context.Context {
	t.Helper()
	return lambdacontext.NewContext(t.Context(), &lambdacontext.LambdaContext{AwsRequestID: "request-1"})
}

// lines decodes what was written, one JSON object a line.
func lines(t *testing.T, text string) []map[string]any {
	t.Helper()
	var all []map[string]any
	for line := range strings.Lines(text) {
		var m map[string]any
		if err := json.Unmarshal([]byte(line), &m); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		all = append(all, m)
	}
	return all
}

func TestLogger(t *testing.T) {
	var out bytes.Buffer
	log := observe.NewLogger(&out, slog.LevelInfo).With(slog.String("stage", "dev"))
	ctx := observe.With(invocation(t), slog.String("workspace", "alpha"))
	sibling := observe.With(ctx, slog.String("object", "other"))
	ctx = observe.With(ctx, slog.String("object", "1"))
	_ = sibling

	log.DebugContext(ctx, "not at this level")
	log.InfoContext(ctx, "object published", slog.Int("rev", 7))
	log.WithGroup("s3").InfoContext(t.Context(), "outside of an invocation", slog.String("message", "kept"))

	got := lines(t, out.String())
	for _, m := range got {
		if _, err := time.Parse(time.RFC3339Nano, fmt.Sprint(m["timestamp"])); err != nil || !strings.HasSuffix(fmt.Sprint(m["timestamp"]), "Z") {
			t.Errorf("timestamp is %v: %v", m["timestamp"], err)
		}
		delete(m, "timestamp")
	}
	want := []map[string]any{
		{"level": "INFO", "message": "object published", "stage": "dev", "rev": 7.0, "requestId": "request-1", "workspace": "alpha", "object": "1"},
		{"level": "INFO", "message": "outside of an invocation", "stage": "dev", "s3": map[string]any{"message": "kept"}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func newMetrics(out *bytes.Buffer) *observe.Metrics {
	return observe.NewMetrics(out, "S3Ingest", func() time.Time { return time.UnixMilli(1700000000123) })
}

func TestMetrics(t *testing.T) {
	var out bytes.Buffer
	m := newMetrics(&out)
	m.Add("Rejected", 1, observe.Dimension{Name: "code", Value: "size_mismatch"})
	m.Add("Published", 1)
	m.Add("Published", 2)
	m.Observe("Bytes", observe.Bytes, 10)
	m.Observe("Bytes", observe.Bytes, 20)
	for range 2 { // the second has nothing to write
		if err := m.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	var want []map[string]any
	if err := json.Unmarshal([]byte(`[
		{"_aws": {"Timestamp": 1700000000123, "CloudWatchMetrics": [{"Namespace": "Stowage", "Dimensions": [["function"]],
			"Metrics": [{"Name": "Bytes", "Unit": "Bytes"}, {"Name": "Published", "Unit": "Count"}]}]},
		 "function": "S3Ingest", "Bytes": [10, 20], "Published": 3},
		{"_aws": {"Timestamp": 1700000000123, "CloudWatchMetrics": [{"Namespace": "Stowage", "Dimensions": [["function", "code"]],
			"Metrics": [{"Name": "Rejected", "Unit": "Count"}]}]},
		 "function": "S3Ingest", "code": "size_mismatch", "Rejected": 1}
	]`), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, lines(t, out.String())); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestMetricsKeepWithinTheFormat: whatever is recorded comes out, and no document has
// more than CloudWatch reads.
func TestMetricsKeepWithinTheFormat(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var out bytes.Buffer
		m := newMetrics(&out)
		want := map[string]float64{}
		for i := range rapid.SampledFrom([]int{0, 1, 99, 100, 101, 205}).Draw(t, "names") {
			name := fmt.Sprintf("M%d", i)
			for range rapid.SampledFrom([]int{1, 1, 1, 99, 100, 101, 200, 201}).Draw(t, "values") {
				m.Observe(name, observe.Milliseconds, 2)
				want[name] += 2
			}
		}
		if err := m.Flush(); err != nil {
			t.Fatal(err)
		}
		got := map[string]float64{}
		for line := range strings.Lines(out.String()) {
			sum(t, line, got)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("sums (-recorded +written):\n%s", diff)
		}
	})
}

// sum adds up what one document says.
func sum(t *rapid.T, line string, into map[string]float64) {
	var doc struct {
		AWS struct {
			CloudWatchMetrics []struct{ Metrics []struct{ Name string } }
		} `json:"_aws"`
	}
	var values map[string]any
	if err := errors.Join(json.Unmarshal([]byte(line), &doc), json.Unmarshal([]byte(line), &values)); err != nil {
		t.Fatal(err)
	}
	metrics := doc.AWS.CloudWatchMetrics[0].Metrics
	if len(metrics) > 100 {
		t.Errorf("%d metrics in one directive", len(metrics))
	}
	for _, m := range metrics {
		list, _ := values[m.Name].([]any)
		if len(list) == 0 || len(list) > 100 {
			t.Errorf("metric %s has %d values", m.Name, len(list))
		}
		for _, v := range list {
			into[m.Name] += v.(float64)
		}
	}
}

func TestMetricsThatCannotBeWritten(t *testing.T) {
	m := observe.NewMetrics(broken{}, "F", time.Now)
	m.Add("A", 1)
	if err := m.Flush(); !errors.Is(err, errBroken) {
		t.Errorf("got %v, want %v", err, errBroken)
	}
}

var errBroken = errors.New("broken pipe")

type broken struct{}

func (broken) Write([]byte) (int, error) { return 0, errBroken }

func TestRecords(t *testing.T) {
	var logged, measured bytes.Buffer
	m := newMetrics(&measured)
	now := time.Unix(0, 0)
	r := observe.NewRecords(m, observe.NoTracer(), observe.NewLogger(&logged, slog.LevelInfo), func() time.Time {
		now = now.Add(5 * time.Millisecond)
		return now
	})
	ctx, done := r.Handling(invocation(t), []string{"m1"})
	observe.NewLogger(&logged, slog.LevelInfo).InfoContext(ctx, "inside")
	done()
	r.Settled(ctx, "m1", batch.Done, nil)
	r.Settled(ctx, "m2", batch.NotTried, nil)
	r.Settled(ctx, "m3", batch.DeadLettered, errors.New("bad"))
	r.Settled(ctx, "m4", batch.Failed, &batch.PanicError{Value: "oops", Stack: []byte("goroutine 1")})
	if err := m.Flush(); err != nil {
		t.Fatal(err)
	}
	doc := lines(t, measured.String())[0]
	delete(doc, "_aws")
	want := map[string]any{
		"function": "S3Ingest", "RecordMillis": []any{5.0},
		"RecordsDone": 1.0, "RecordsNotTried": 1.0, "RecordsDeadLettered": 1.0, "RecordsFailed": 1.0,
	}
	if diff := cmp.Diff(want, doc); diff != "" {
		t.Errorf("metrics (-want +got):\n%s", diff)
	}
	got := lines(t, logged.String())
	if len(got) != 3 || got[0]["record"] != "m1" || got[1]["error"] != "bad" || got[2]["stack"] != "goroutine 1" || got[2]["requestId"] != "request-1" {
		t.Errorf("logged %s", logged.String())
	}
}
