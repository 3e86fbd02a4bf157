package bus_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/scripts/local/bus"
)

func client(tb testing.TB, b *bus.Bus) *eventbridge.Client {
	tb.Helper()
	server := httptest.NewServer(b)
	tb.Cleanup(server.Close)
	return eventbridge.New(eventbridge.Options{
		Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
		RetryMaxAttempts: 1,
	})
}

func entry(source, detailType, detail, busName string) types.PutEventsRequestEntry {
	e := types.PutEventsRequestEntry{EventBusName: &busName}
	for _, f := range []struct {
		to    **string
		value string
	}{{&e.Source, source}, {&e.DetailType, detailType}, {&e.Detail, detail}} {
		if f.value != "" {
			*f.to = &f.value
		}
	}
	return e
}

func TestPutEventsFailsEntryByEntry(t *testing.T) {
	var r targets
	b := start(t, config(t, &r))
	long := strings.Repeat("x", 129)
	out, err := client(t, b).PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: []types.PutEventsRequestEntry{
		entry("shop", "Order", `{"n":1}`, "app"),
		entry("", "Order", `{}`, "app"),
		entry("shop", "", `{}`, "app"),
		entry("shop", "Order", "", "app"),
		entry("shop", "Order", `{"n":`, "app"),
		entry("shop", "Order", `[1]`, "app"),
		entry("aws.s3", "Order", `{}`, "app"),
		entry("shop", "Order", `{}`, "nope"),
		entry("shop", long, `{}`, "app"),
		entry("shop", long[1:], ` {"n":2}`, busARN),
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"", "InvalidArgument", "InvalidArgument", "InvalidArgument", "MalformedDetail", "MalformedDetail",
		"NotAuthorizedForSourceException", "InvalidArgument", "InvalidArgument", ""}
	var got []string
	for _, e := range out.Entries {
		got = append(got, aws.ToString(e.ErrorCode))
		if (e.EventId == nil) == (e.ErrorCode == nil) || (e.ErrorMessage == nil) != (e.ErrorCode == nil) {
			t.Errorf("an entry has an id or an error with a message: %+v", e)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" || out.FailedEntryCount != 8 {
		t.Errorf("%d failed; codes (-want +got):\n%s", out.FailedEntryCount, diff)
	}
	if got := aws.ToString(out.Entries[1].ErrorMessage); got != "Parameter Source is not valid. Reason: Source is a required argument." {
		t.Errorf("message: %q", got)
	}
	eventually(t, func() bool { return len(r.got(queueARN)) == 2 })
}

func TestPutEventsLimits(t *testing.T) {
	var r targets
	c := client(t, start(t, config(t, &r)))
	// An entry of source, type, time and detail that counts exactly n bytes.
	sized := func(n int) types.PutEventsRequestEntry {
		e := entry("shop", "Order", `{"x":"`+strings.Repeat("x", n-len("shop")-len("Order")-14-len(`{"x":""}`))+`"}`, "app")
		e.Time = aws.Time(time.Unix(1700000000, 0))
		return e
	}
	entries := func(n int) []types.PutEventsRequestEntry {
		all := []types.PutEventsRequestEntry{}
		for range n {
			all = append(all, entry("shop", "Order", `{}`, "app"))
		}
		return all
	}
	tests := []struct {
		name    string
		entries []types.PutEventsRequestEntry
		says    string // empty: accepted
	}{
		{"none", entries(0), "greater than or equal to 1"},
		{"ten", entries(10), ""},
		{"eleven", entries(11), "less than or equal to 10"},
		{"1 MiB", []types.PutEventsRequestEntry{sized(1 << 19), sized(1 << 19)}, ""},
		{"1 MiB and a byte", []types.PutEventsRequestEntry{sized(1 << 19), sized(1<<19 + 1)}, "over the limit"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := c.PutEvents(t.Context(), &eventbridge.PutEventsInput{Entries: tt.entries})
			var fault smithy.APIError
			switch {
			case tt.says == "" && err != nil:
				t.Error(err)
			case tt.says != "" && (!errors.As(err, &fault) || fault.ErrorCode() != "ValidationException" || !strings.Contains(fault.ErrorMessage(), tt.says)):
				t.Errorf("got %v, want a ValidationException that says %q", err, tt.says)
			}
		})
	}
}

func TestReplayOverHTTP(t *testing.T) {
	var r targets
	cfg := config(t, &r)
	cfg.Archives = []bus.Archive{{Name: "all", ARN: archiveARN, SourceARN: busARN}}
	b := start(t, cfg)
	c := client(t, b)
	e := order(`{"n":1}`)
	e.Time = time.Unix(1700000000, 0)
	put(t, b, e)
	in := &eventbridge.StartReplayInput{
		ReplayName: aws.String("again"), EventSourceArn: aws.String(archiveARN),
		EventStartTime: aws.Time(time.Unix(1700000000, 0)), EventEndTime: aws.Time(time.Unix(1700000001, 0)),
		Destination: &types.ReplayDestination{Arn: aws.String(busARN)},
	}
	if out, err := c.StartReplay(t.Context(), in); err != nil || out.State != types.ReplayStateStarting {
		t.Fatalf("StartReplay: %+v, %v", out, err)
	}
	eventually(t, func() bool { return len(r.got(queueARN)) == 2 })
	out, err := c.DescribeReplay(t.Context(), &eventbridge.DescribeReplayInput{ReplayName: aws.String("again")})
	if err != nil || out.State != types.ReplayStateCompleted || !out.EventEndTime.Equal(*in.EventEndTime) {
		t.Errorf("DescribeReplay: %+v, %v", out, err)
	}
	wantCode := func(code string, err error) {
		t.Helper()
		var fault smithy.APIError
		if !errors.As(err, &fault) || fault.ErrorCode() != code {
			t.Errorf("got %v, want %s", err, code)
		}
	}
	_, err = c.StartReplay(t.Context(), in)
	wantCode("ResourceAlreadyExistsException", err)
	_, err = c.DescribeReplay(t.Context(), &eventbridge.DescribeReplayInput{ReplayName: aws.String("nope")})
	wantCode("ResourceNotFoundException", err)
	in.Destination.Arn = aws.String("default")
	_, err = c.StartReplay(t.Context(), in)
	wantCode("ValidationException", err)
	in.EventSourceArn = aws.String("arn:nope")
	_, err = c.StartReplay(t.Context(), in)
	wantCode("ResourceNotFoundException", err)
	_, err = c.ListRules(t.Context(), &eventbridge.ListRulesInput{})
	wantCode("UnknownOperationException", err)
}

func FuzzPutEvents(f *testing.F) {
	f.Add([]byte(`{"Entries":[{"Source":"a","DetailType":"b","Detail":"{}","Time":1.5,"Resources":["x"]}]}`))
	f.Add([]byte(`{"Entries":[{"Detail":" \n"},{"Time":null}]}`))
	f.Add([]byte(`{"Entries":[{"Time":1e308}]}`))
	cfg := config(f, &targets{})
	cfg.EventsPath = ""
	b := start(f, cfg)
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest(http.MethodPost, "/", bytes.NewReader(body))
		r.Header.Set("X-Amz-Target", "AWSEvents.PutEvents")
		w := httptest.NewRecorder()
		b.ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%q: %d %s", body, w.Code, w.Body)
		}
	})
}

func BenchmarkPutEvents(b *testing.B) {
	var r targets
	c := client(b, start(b, config(b, &r)))
	for _, n := range []int{1, 10} {
		b.Run(fmt.Sprintf("batch=%d", n), func(b *testing.B) {
			var entries []types.PutEventsRequestEntry
			for range n {
				entries = append(entries, entry("shop", "Order", `{"x":"`+strings.Repeat("x", 250)+`"}`, "app"))
			}
			for b.Loop() {
				if _, err := c.PutEvents(b.Context(), &eventbridge.PutEventsInput{Entries: entries}); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}

func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("it did not come about within 5 s")
}
