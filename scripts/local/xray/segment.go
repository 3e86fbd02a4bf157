package xray

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"
)

// Segment is a segment document, or a subsegment that was sent on its own.
// Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-api-segmentdocuments.html
type Segment struct {
	TraceID     string          `json:"trace_id"`
	ID          string          `json:"id"`
	ParentID    string          `json:"parent_id,omitempty"`
	Name        string          `json:"name"`
	Type        string          `json:"type,omitempty"`      // "subsegment" when sent on its own
	Namespace   string          `json:"namespace,omitempty"` // "aws" or "remote" for calls
	Origin      string          `json:"origin,omitempty"`
	StartTime   float64         `json:"start_time"` // seconds since 1970
	EndTime     float64         `json:"end_time,omitempty"`
	InProgress  bool            `json:"in_progress,omitempty"`
	Error       bool            `json:"error,omitempty"`    // 4xx
	Throttle    bool            `json:"throttle,omitempty"` // 429
	Fault       bool            `json:"fault,omitempty"`    // 5xx, or the code's own
	Cause       json.RawMessage `json:"cause,omitempty"`
	HTTP        *HTTP           `json:"http,omitempty"`
	AWS         map[string]any  `json:"aws,omitempty"`
	Annotations map[string]any  `json:"annotations,omitempty"`
	Subsegments []Segment       `json:"subsegments,omitempty"`

	bytes int // of the document that it was decoded from
}

// HTTP is a request and its answer, as far as they are known.
type HTTP struct {
	Request  *Request  `json:"request,omitempty"`
	Response *Response `json:"response,omitempty"`
}

// Request is what was asked.
type Request struct {
	Method string `json:"method,omitempty"`
	URL    string `json:"url,omitempty"`
}

// Response is what was answered. Lengths are whatever the SDK sends.
type Response struct {
	Status        int `json:"status,omitempty"`
	ContentLength any `json:"content_length,omitempty"`
}

// Limits of a document. X-Ray refuses segments over 64 KB.
const (
	maxName  = 200
	maxDepth = 32
	// maxNested bounds the subsegments of one document.
	maxNested = 2000
)

var errNoTrace = errors.New("it names no trace, no id or no start")

// Decode reads one segment document.
func Decode(document []byte) (Segment, error) {
	var s Segment
	if err := json.Unmarshal(document, &s); err != nil {
		return Segment{}, fmt.Errorf("decode segment: %w", err)
	}
	if !isTraceID(s.TraceID) || s.ID == "" || s.StartTime <= 0 {
		return Segment{}, fmt.Errorf("decode segment %q: %w", excerpt(s.ID), errNoTrace)
	}
	budget := maxNested
	if !s.bound(maxDepth, &budget) {
		return Segment{}, fmt.Errorf("decode segment %s: more than %d subsegments, or deeper than %d", excerpt(s.ID), maxNested, maxDepth)
	}
	s.bytes = len(document)
	return s, nil
}

// bound cuts names and says whether the nesting is within limits.
func (s *Segment) bound(depth int, budget *int) bool {
	if depth == 0 || *budget <= 0 {
		return false
	}
	*budget--
	if len(s.Name) > maxName {
		s.Name = s.Name[:maxName]
	}
	for i := range s.Subsegments {
		if !s.Subsegments[i].bound(depth-1, budget) {
			return false
		}
	}
	return true
}

func excerpt(s string) string {
	if len(s) > 32 {
		return s[:32]
	}
	return s
}

// Seconds is a time as X-Ray writes it.
func Seconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }

// message is what a cause says, if it says anything: it is either the id of
// another segment or an object with exceptions.
func (s *Segment) message() string {
	var cause struct {
		Exceptions []struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		} `json:"exceptions"`
	}
	if len(s.Cause) == 0 || json.Unmarshal(s.Cause, &cause) != nil || len(cause.Exceptions) == 0 {
		return ""
	}
	e := cause.Exceptions[0]
	if e.Type == "" {
		return e.Message
	}
	return e.Type + ": " + e.Message
}

// operation is the call that a segment of an AWS client stands for.
func (s *Segment) operation() string {
	name, _ := s.AWS["operation"].(string)
	return name
}

// count is how many segments a document has.
func (s *Segment) count() int {
	n := 1
	for i := range s.Subsegments {
		n += s.Subsegments[i].count()
	}
	return n
}
