package bus

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// Limits of a PutEvents request.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
const (
	maxEntries     = 10
	maxEntriesSize = 1 << 20
	// maxBody leaves room for the escapes of a detail that is JSON within JSON.
	maxBody = 8 << 20
)

// apiError is an error in the shape of AWS's JSON protocol.
type apiError struct {
	code, message string
}

func (e *apiError) Error() string { return e.code + ": " + e.message }

// ServeHTTP answers EventBridge's JSON protocol: PutEvents, StartReplay and DescribeReplay.
func (b *Bus) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	answer, err := b.serve(r)
	status := http.StatusOK
	if err != nil {
		var known *apiError
		if errors.As(err, &known) {
			status = http.StatusBadRequest
		} else {
			status = http.StatusInternalServerError
			known = &apiError{"InternalException", err.Error()}
			b.cfg.Logger.Error("call failed", "target", r.Header.Get("X-Amz-Target"), "error", err)
		}
		answer = map[string]string{"__type": known.code, "message": known.message}
	}
	w.Header().Set("Content-Type", "application/x-amz-json-1.1")
	w.Header().Set("X-Amzn-Requestid", b.cfg.NewID())
	w.WriteHeader(status)
	if err := json.NewEncoder(w).Encode(answer); err != nil {
		b.cfg.Logger.Debug("answer could not be written", "error", err)
	}
}

func (b *Bus) serve(r *http.Request) (any, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if err != nil {
		return nil, &apiError{"ValidationException", "The request body could not be read: " + err.Error()}
	}
	switch target := r.Header.Get("X-Amz-Target"); target {
	case "AWSEvents.PutEvents":
		return b.putEvents(r.Context(), body)
	case "AWSEvents.StartReplay":
		return b.startReplay(r.Context(), body)
	case "AWSEvents.DescribeReplay":
		return b.describeReplay(body)
	default:
		return nil, &apiError{"UnknownOperationException", fmt.Sprintf("The operation %q is not served by the local runtime.", target)}
	}
}

func decode(body []byte, into any) error {
	if err := json.Unmarshal(body, into); err != nil {
		return &apiError{"SerializationException", err.Error()}
	}
	return nil
}

type putEventsEntry struct {
	Time         epoch
	Source       string
	Resources    []string
	DetailType   string
	Detail       string
	EventBusName string
	TraceHeader  string
}

type putEventsResult struct {
	EventID      string `json:"EventId,omitempty"`
	ErrorCode    string `json:",omitempty"`
	ErrorMessage string `json:",omitempty"`
}

type putEventsAnswer struct {
	FailedEntryCount int
	Entries          []putEventsResult
}

func (b *Bus) putEvents(ctx context.Context, body []byte) (any, error) {
	var in struct{ Entries []putEventsEntry }
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	if n := len(in.Entries); n < 1 || n > maxEntries {
		bound := fmt.Sprintf("less than or equal to %d", maxEntries)
		if n < 1 {
			bound = "greater than or equal to 1"
		}
		return nil, &apiError{"ValidationException", "1 validation error detected: Value at 'entries' failed to satisfy constraint: Member must have length " + bound}
	}
	trace, _ := xray.FromContext(ctx)
	size := 0
	entries := make([]Entry, len(in.Entries))
	for i, e := range in.Entries {
		entries[i] = Entry{
			Bus: e.EventBusName, Source: e.Source, DetailType: e.DetailType,
			Detail: json.RawMessage(e.Detail), Resources: e.Resources, Time: e.Time.Time, Trace: cmp.Or(e.TraceHeader, trace.String()),
		}
		size += entries[i].size()
	}
	if size > maxEntriesSize {
		return nil, &apiError{"ValidationException", "Total size of the entries in the request is over the limit."}
	}
	return b.putEntries(entries)
}

func (b *Bus) putEntries(entries []Entry) (any, error) {
	answer := putEventsAnswer{Entries: make([]putEventsResult, len(entries))}
	var accepted []event
	for i, e := range entries {
		fault := b.check(e)
		if fault == nil && strings.HasPrefix(e.Source, "aws.") {
			fault = &entryFault{"NotAuthorizedForSourceException", "Not authorized for the source."}
		}
		if fault != nil {
			answer.FailedEntryCount++
			answer.Entries[i] = putEventsResult{ErrorCode: fault.code, ErrorMessage: fault.message}
			continue
		}
		ev := b.newEvent(e)
		accepted = append(accepted, ev)
		answer.Entries[i].EventID = ev.ID
	}
	if len(accepted) == 0 {
		return answer, nil
	}
	return answer, b.publish(accepted)
}

func (b *Bus) startReplay(ctx context.Context, body []byte) (any, error) {
	var in struct {
		ReplayName, EventSourceArn   string
		EventStartTime, EventEndTime epoch
		Destination                  struct {
			Arn        string
			FilterArns []string
		}
	}
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	a := b.archive(in.EventSourceArn)
	switch {
	case in.ReplayName == "":
		return nil, &apiError{"ValidationException", "ReplayName is required."}
	case a == nil:
		return nil, &apiError{"ResourceNotFoundException", "Archive " + in.EventSourceArn + " does not exist."}
	case busName(in.Destination.Arn) != a.bus:
		return nil, &apiError{"ValidationException", "Parameter Destination.Arn is not valid. Reason: Must be the event bus of the archive."}
	case !in.EventStartTime.Before(in.EventEndTime.Time):
		return nil, &apiError{"ValidationException", "Parameter EventEndTime is not valid. Reason: EventStartTime must be before EventEndTime."}
	}
	done, err := b.Replay(ctx, ReplayRequest{
		Name: in.ReplayName, Archive: in.EventSourceArn, From: in.EventStartTime.Time, To: in.EventEndTime.Time,
		RuleARNs: in.Destination.FilterArns,
	})
	if errors.Is(err, ErrReplayExists) {
		return nil, &apiError{"ResourceAlreadyExistsException", "Replay " + in.ReplayName + " already exists."}
	}
	if err != nil {
		return nil, err
	}
	return map[string]any{"ReplayArn": done.ARN, "State": "STARTING", "ReplayStartTime": epoch{done.Started}}, nil
}

func (b *Bus) describeReplay(body []byte) (any, error) {
	var in struct{ ReplayName string }
	if err := decode(body, &in); err != nil {
		return nil, err
	}
	b.mu.Lock()
	done, ok := b.replays[in.ReplayName]
	b.mu.Unlock()
	if !ok {
		return nil, &apiError{"ResourceNotFoundException", "Replay " + in.ReplayName + " does not exist."}
	}
	answer := map[string]any{
		"ReplayName": done.Name, "ReplayArn": done.ARN, "State": "RUNNING",
		"EventStartTime": epoch{done.From}, "EventEndTime": epoch{done.To}, "ReplayStartTime": epoch{done.Started},
	}
	if !done.Ended.IsZero() {
		answer["State"], answer["ReplayEndTime"] = "COMPLETED", epoch{done.Ended}
	}
	return answer, nil
}

// epoch is a time as AWS's JSON protocol writes it: seconds since 1970, with a fraction.
type epoch struct{ time.Time }

// MarshalJSON implements json.Marshaler.
func (e epoch) MarshalJSON() ([]byte, error) {
	return fmt.Appendf(nil, "%.3f", float64(e.UnixMilli())/1000), nil
}

// UnmarshalJSON implements json.Unmarshaler.
func (e *epoch) UnmarshalJSON(raw []byte) error {
	if string(raw) == "null" {
		return nil
	}
	var seconds float64
	if err := json.Unmarshal(raw, &seconds); err != nil {
		return fmt.Errorf("a time must be a number of seconds: %w", err)
	}
	e.Time = time.UnixMilli(int64(seconds * 1000)).UTC()
	return nil
}
