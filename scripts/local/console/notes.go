package console

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/api"
	"github.com/stowage-dev/stowage/scripts/local/emf"
	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// Origins of the segments that AWS's own services report; here the runtime does.
const (
	originFunction = "AWS::Lambda::Function"
	originAPI      = "AWS::ApiGateway::Stage"
)

// Invoked notes an invocation that has ended.
func (c *Console) Invoked(r lambda.Report) {
	c.functions.invoked(r)
	if r.Trace.Header.Unsampled || r.Trace.Header.Root == "" {
		return
	}
	start := r.Start.Add(-r.InitDuration)
	s := xray.Segment{
		TraceID: r.Trace.Header.Root, ID: r.Trace.Segment, ParentID: r.Trace.Header.Parent, Name: strings.TrimPrefix(r.Function, c.shown.Load().labels.functions), Origin: originFunction,
		StartTime: xray.Seconds(start), EndTime: xray.Seconds(r.Start.Add(r.Duration)), Fault: r.FunctionError != "",
		AWS: map[string]any{"function": r.Function, "request_id": r.RequestID},
	}
	if r.InitDuration > 0 {
		s.Subsegments = []xray.Segment{{ID: xray.NewSegmentID(), Name: "Initialization", StartTime: xray.Seconds(start), EndTime: xray.Seconds(r.Start)}}
	}
	if s.Fault {
		s.Cause = exception(r.ErrorType, r.ErrorMessage)
	}
	c.traces.Add(s)
	for _, from := range r.Trace.Links {
		c.traces.Link(from, r.Trace.Header.Root)
	}
}

// Requested notes a request to an API that has been answered.
func (c *Console) Requested(r api.Report) {
	if r.Trace.Header.Unsampled {
		return
	}
	s := segmentOf(r.Trace.Header, r.Trace.Segment, r.Method+" "+r.Path, originAPI, r.Start, r.Duration, r.Status)
	s.AWS = map[string]any{"api": r.API, "route": r.Route, "request_id": r.RequestID}
	if r.Error != "" {
		s.Cause = exception("", r.Error)
	}
	c.traces.Add(s)
}

// Call is a call to an engine that belongs to a trace but that no function
// reports: it came from a client.
type Call struct {
	Name     string // s3 PutObject
	Resource string
	Origin   string // AWS::S3::Bucket
	Trace    xray.Header
	Segment  string // its own id
	Start    time.Time
	Duration time.Duration
	Status   int
}

// Called notes a client's call.
func (c *Console) Called(call Call) {
	s := segmentOf(call.Trace, call.Segment, call.Name, call.Origin, call.Start, call.Duration, call.Status)
	s.AWS = map[string]any{"resource": call.Resource}
	c.traces.Add(s)
}

func segmentOf(trace xray.Header, id, name, origin string, start time.Time, took time.Duration, status int) xray.Segment {
	return xray.Segment{
		TraceID: trace.Root, ID: id, ParentID: trace.Parent, Name: name, Origin: origin,
		StartTime: xray.Seconds(start), EndTime: xray.Seconds(start.Add(took)),
		HTTP:     &xray.HTTP{Response: &xray.Response{Status: status}},
		Throttle: status == http.StatusTooManyRequests, Fault: status >= http.StatusInternalServerError,
		Error: status >= http.StatusBadRequest && status < http.StatusInternalServerError,
	}
}

// exception is a segment's cause.
func exception(errorType, message string) json.RawMessage {
	raw, err := json.Marshal(map[string]any{"exceptions": []map[string]string{{"type": errorType, "message": message}}})
	if err != nil {
		return nil // strings always encode
	}
	return raw
}

// Segment notes a document that a function sent to the X-Ray daemon. What is
// malformed is dropped, with a line in the log.
func (c *Console) Segment(document []byte) {
	s, err := xray.Decode(document)
	if err != nil {
		c.cfg.Logger.Debug("a trace segment was dropped", "error", err)
		return
	}
	c.traces.Add(s)
}

// EventPut notes an event that was put on a bus. It keeps the event.
func (c *Console) EventPut(bus string, event json.RawMessage, deliveries int) {
	c.events.put(c.cfg.Now(), bus, event, deliveries)
}

// Log is where a function's log goes, in whole lines, on its way to out. Metrics
// in it are summed up.
func (c *Console) Log(function string, out io.Writer) io.Writer {
	return &logTap{console: c, function: function, out: out}
}

type logTap struct {
	console  *Console
	function string
	out      io.Writer
}

// Write implements io.Writer.
func (t *logTap) Write(b []byte) (int, error) {
	for line := range bytes.Lines(b) {
		line = bytes.TrimRight(line, "\r\n")
		metrics, err := emf.Parse(line)
		if err != nil {
			t.console.cfg.Logger.Debug("embedded metrics were not read", "function", t.function, "error", err)
		}
		for _, m := range metrics {
			t.console.metrics.Add(m)
		}
		if len(metrics) == 0 && len(line) > 0 {
			t.console.functions.logged(t.function, string(line))
		}
	}
	return t.out.Write(b) //nolint:wrapcheck // it stands in for the writer
}
