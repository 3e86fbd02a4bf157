// Package xray is what a local runtime needs of AWS X-Ray: it takes the segments
// that functions send to the daemon's UDP port, keeps the latest traces in
// bounded memory, and lays one out as a waterfall. It also carries the tracing
// header through the parts of the runtime, which X-Ray's own services do on AWS.
//
// Everything is safe for concurrent use. What is malformed is counted and
// dropped: a trace is not worth failing for.
package xray

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"strings"
	"time"
)

// HeaderName is the HTTP header that carries a Header.
const HeaderName = "X-Amzn-Trace-Id"

// Header says which trace something belongs to, and below which segment.
// Source: https://docs.aws.amazon.com/xray/latest/devguide/xray-concepts.html#xray-concepts-tracingheader
type Header struct {
	Root   string // the trace's id: 1-<8 hex digits of the time>-<24 hex digits>
	Parent string // a segment's id, 16 hex digits; empty: the trace begins here
	// Unsampled is true when the caller asked not to be traced. A header that does
	// not say is sampled here, where tracing costs nothing.
	Unsampled bool
}

// ParseHeader reads the value of a tracing header. Members that it does not know
// are passed over, as X-Ray does; ok is false when it names no trace.
func ParseHeader(value string) (h Header, ok bool) {
	for member := range strings.SplitSeq(value, ";") {
		name, v, _ := strings.Cut(strings.TrimSpace(member), "=")
		switch name {
		case "Root":
			h.Root = v
		case "Parent":
			h.Parent = v
		case "Sampled":
			h.Unsampled = v == "0"
		}
	}
	if !isTraceID(h.Root) {
		return Header{}, false
	}
	if !isHex(h.Parent, segmentIDLength) {
		h.Parent = ""
	}
	return h, true
}

// String is the header's value.
func (h Header) String() string {
	if h.Root == "" {
		return ""
	}
	var b strings.Builder
	b.WriteString("Root=" + h.Root)
	if h.Parent != "" {
		b.WriteString(";Parent=" + h.Parent)
	}
	if h.Unsampled {
		b.WriteString(";Sampled=0")
	} else {
		b.WriteString(";Sampled=1")
	}
	return b.String()
}

// Under is the header of what happens within a segment of the same trace.
func (h Header) Under(segmentID string) Header {
	h.Parent = segmentID
	return h
}

// NewTrace is the header of a trace that begins now.
func NewTrace(now time.Time) Header {
	return Header{Root: fmt.Sprintf("1-%08x-%s", uint32(now.Unix()), randomHex(24))}
}

// NewSegmentID makes the id of a segment.
func NewSegmentID() string { return randomHex(segmentIDLength) }

const segmentIDLength = 16

func randomHex(digits int) string {
	raw := make([]byte, digits/2)
	_, _ = rand.Read(raw) // never fails
	return hex.EncodeToString(raw)
}

func isTraceID(s string) bool {
	parts := strings.Split(s, "-")
	return len(parts) == 3 && parts[0] == "1" && isHex(parts[1], 8) && isHex(parts[2], 24)
}

func isHex(s string, length int) bool {
	if len(s) != length {
		return false
	}
	_, err := hex.DecodeString(s)
	return err == nil
}

type contextKey struct{}

// origin is what a context carries.
type origin struct {
	header Header
	links  []Header
}

// WithHeader makes what happens with the context part of a trace.
func WithHeader(ctx context.Context, h Header) context.Context {
	if h.Root == "" {
		return ctx
	}
	return context.WithValue(ctx, contextKey{}, origin{header: h})
}

// WithOrigins makes what happens with the context a consequence of several
// messages. As on AWS, those of one trace continue it, and those of several begin
// a new one that is linked to each.
func WithOrigins(ctx context.Context, origins []Header, now time.Time) context.Context {
	var distinct []Header
	seen := map[string]bool{}
	for _, h := range origins {
		if h.Root != "" && !h.Unsampled && !seen[h.Root] {
			seen[h.Root] = true
			distinct = append(distinct, h)
		}
	}
	switch len(distinct) {
	case 0:
		return ctx
	case 1:
		return WithHeader(ctx, distinct[0])
	}
	return context.WithValue(ctx, contextKey{}, origin{header: NewTrace(now), links: distinct})
}

// FromContext is the trace that a context belongs to, and the traces that it is
// linked to. The header is empty when there is none.
func FromContext(ctx context.Context) (h Header, links []Header) {
	o, _ := ctx.Value(contextKey{}).(origin)
	return o.header, o.links
}
