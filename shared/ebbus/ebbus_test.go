package ebbus_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/ebbus"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
)

// service speaks PutEvents as EventBridge documents it.
type service struct {
	mu    sync.Mutex
	calls [][]string // details of the entries of each call
	// entry is the error code for a detail at its n-th arrival, "" to take it.
	entry func(detail string, n int) string
	// call is the status and error code for a whole call, 0 to go on.
	call func(details []string) (int, string)
	seen map[string]int
}

type request struct {
	Entries []struct{ Source, DetailType, Detail, EventBusName string }
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	var req request
	if err := json.NewDecoder(r.Body).Decode(&req); err != nil || r.Header.Get("X-Amz-Target") != "AWSEvents.PutEvents" {
		http.Error(w, "not PutEvents", http.StatusBadRequest)
		return
	}
	var details []string
	for _, e := range req.Entries {
		if e.Source != "stowage" || e.DetailType != string(event.Available) || e.EventBusName != "bus" {
			http.Error(w, fmt.Sprintf("entry %+v", e), http.StatusBadRequest)
			return
		}
		details = append(details, e.Detail)
	}
	s.calls = append(s.calls, details)
	if s.call != nil {
		if status, code := s.call(details); status != 0 {
			w.WriteHeader(status)
			fmt.Fprintf(w, `{"__type":%q,"message":"no"}`, code)
			return
		}
	}
	var out struct {
		FailedEntryCount int
		Entries          []map[string]string
	}
	for _, d := range details {
		s.seen[d]++
		code := ""
		if s.entry != nil {
			code = s.entry(d, s.seen[d])
		}
		if code == "" {
			out.Entries = append(out.Entries, map[string]string{"EventId": "id-" + d})
			continue
		}
		out.FailedEntryCount++
		out.Entries = append(out.Entries, map[string]string{"ErrorCode": code, "ErrorMessage": "because"})
	}
	if err := json.NewEncoder(w).Encode(out); err != nil {
		panic(err)
	}
}

func newBus(t *testing.T, s *service) *ebbus.Bus {
	t.Helper()
	s.seen = map[string]int{}
	srv := httptest.NewServer(s)
	t.Cleanup(srv.Close)
	return ebbus.New(eventbridge.New(eventbridge.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}), "bus")
}

func encoded(details ...string) []event.Encoded {
	var es []event.Encoded
	for _, d := range details {
		es = append(es, event.Encoded{ID: d, Type: event.Available, Time: time.Unix(1700000000, 0), JSON: []byte(d)})
	}
	return es
}

func TestEntries(t *testing.T) {
	always := func(code string) func(string, int) string {
		return func(d string, _ int) string { return map[string]string{"b": code}[d] }
	}
	for name, tc := range map[string]struct {
		entry func(string, int) string
		call  func([]string) (int, string)
		codes []fault.Code
		calls []string
	}{
		"all taken": {codes: []fault.Code{"", "", ""}, calls: []string{"abc"}},
		"one throttled twice": {
			entry: func(d string, n int) string {
				if d == "b" && n <= 2 {
					return "ThrottlingException"
				}
				return ""
			},
			codes: []fault.Code{"", "", ""}, calls: []string{"abc", "b", "b"},
		},
		"one throttled for good": {entry: always("ThrottlingException"), codes: []fault.Code{"", fault.RateLimited, ""}, calls: []string{"abc", "b", "b", "b"}},
		"one fails inside":       {entry: always("InternalFailure"), codes: []fault.Code{"", fault.Unavailable, ""}, calls: []string{"abc", "b", "b", "b"}},
		"one is malformed":       {entry: always("MalformedDetail"), codes: []fault.Code{"", fault.InvalidArgument, ""}, calls: []string{"abc"}},
		"a right is missing":     {entry: always("NotAuthorizedForSourceException"), codes: []fault.Code{"", fault.Internal, ""}, calls: []string{"abc"}},
		"the call is down": {
			call:  func([]string) (int, string) { return 500, "InternalException" },
			codes: []fault.Code{fault.Unavailable, fault.Unavailable, fault.Unavailable}, calls: []string{"abc"},
		},
		"the call is throttled": {
			call:  func([]string) (int, string) { return 400, "ThrottlingException" },
			codes: []fault.Code{fault.Unavailable, fault.Unavailable, fault.Unavailable}, calls: []string{"abc"},
		},
		"the call is not allowed": {
			call:  func([]string) (int, string) { return 400, "AccessDeniedException" },
			codes: []fault.Code{fault.Internal, fault.Internal, fault.Internal}, calls: []string{"abc"},
		},
		"one spoils the call": {
			call: func(ds []string) (int, string) {
				if slices.Contains(ds, "b") {
					return 400, "ValidationException"
				}
				return 0, ""
			},
			codes: []fault.Code{"", fault.InvalidArgument, ""}, calls: []string{"abc", "a", "b", "c"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &service{entry: tc.entry, call: tc.call}
			var codes []fault.Code
			for _, err := range newBus(t, s).Put(t.Context(), encoded("a", "b", "c")) {
				codes = append(codes, fault.CodeOf(err))
			}
			if diff := cmp.Diff(tc.codes, codes); diff != "" {
				t.Errorf("codes (-want +got):\n%s", diff)
			}
			var calls []string
			for _, c := range s.calls {
				calls = append(calls, strings.Join(c, ""))
			}
			if diff := cmp.Diff(tc.calls, calls); diff != "" {
				t.Errorf("calls (-want +got):\n%s", diff)
			}
		})
	}
}

func TestSizeLimit(t *testing.T) {
	s := &service{}
	b := newBus(t, s)
	overhead := b.Size(encoded("")[0])
	if want := 14 + len("stowage") + len(event.Available); overhead != want {
		t.Fatalf("an empty event counts for %d bytes, want %d", overhead, want)
	}
	most := int(limits.PutEventsBytes) - overhead
	errs := b.Put(t.Context(), encoded(strings.Repeat("x", most+1), strings.Repeat("x", most)))
	if !fault.Is(errs[0], fault.TooLarge) || errs[1] != nil {
		t.Errorf("got %v, want the first to be too large", errs)
	}
}

func TestNothingIsSentAgainWithoutTime(t *testing.T) {
	s := &service{entry: func(string, int) string { return "ThrottlingException" }}
	b := newBus(t, s)
	ctx, cancel := context.WithCancel(t.Context())
	s.call = func([]string) (int, string) { cancel(); return 0, "" }
	if errs := b.Put(ctx, encoded("a")); errs[0] == nil {
		t.Error("an event was said to be taken")
	}
	if len(s.calls) != 1 {
		t.Errorf("%d calls, want 1", len(s.calls))
	}
}

func TestServiceOutOfReach(t *testing.T) {
	srv := httptest.NewServer(http.NotFoundHandler())
	srv.Close()
	b := ebbus.New(eventbridge.New(eventbridge.Options{
		Region: "eu-west-1", BaseEndpoint: aws.String(srv.URL), Retryer: aws.NopRetryer{},
		Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""),
	}), "bus")
	if errs := b.Put(t.Context(), encoded("a")); !fault.Is(errs[0], fault.Unavailable) {
		t.Errorf("got %v, want unavailable", errs[0])
	}
}
