package api

import (
	"time"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// Trace is where a request stands among traces.
type Trace struct {
	Header  xray.Header // of the client, or of a trace that begins here
	Segment string      // the request's own id, below which the function is traced
}

// Report is what is known of a request once it has been answered.
type Report struct {
	API       string // name
	RequestID string
	Method    string
	Path      string
	Route     string // empty: none matched
	Status    int
	Start     time.Time
	Duration  time.Duration
	Error     string // of the integration
	Trace     Trace
}

// newTrace goes on with the client's trace or begins one, as API Gateway does.
func (def *definition) newTrace(ex *exchange) Trace {
	header, ok := xray.ParseHeader(ex.Header.Get(xray.HeaderName))
	if !ok {
		header = xray.NewTrace(ex.received)
	}
	return Trace{Header: header, Segment: xray.NewSegmentID()}
}

func (def *definition) report(ex *exchange) Report {
	r := Report{
		API: def.cfg.Name, RequestID: ex.id, Method: ex.Method, Path: ex.URL.Path, Status: ex.answer.status, Start: ex.received,
		Duration: def.cfg.Now().Sub(ex.received), Error: ex.integrationError, Trace: ex.trace,
	}
	if ex.route != nil {
		r.Route = ex.route.Key
	}
	return r
}
