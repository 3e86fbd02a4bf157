package lambda

import (
	"context"
	"fmt"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// WithTrace makes invocations with the context part of the trace that an
// X-Amzn-Trace-Id header names.
func WithTrace(ctx context.Context, header string) context.Context {
	h, _ := xray.ParseHeader(header)
	return xray.WithHeader(ctx, h)
}

// Trace is where an invocation stands among traces.
type Trace struct {
	Header  xray.Header   // of the caller; its parent is empty when the trace begins here
	Segment string        // the invocation's own id, below which the function reports
	Links   []xray.Header // further callers, when a batch has messages of several traces
}

// runtime is the value of Lambda-Runtime-Trace-Id.
func (t Trace) runtime() string { return t.Header.Under(t.Segment).String() }

// traceFor makes an invocation part of its caller's trace, or of a new one. As on
// AWS each invocation is a segment of its own.
func (h *Host) traceFor(ctx context.Context) Trace {
	header, links := xray.FromContext(ctx)
	random := hexDigits(h.cfg.NewID() + h.cfg.NewID())
	if header.Root == "" {
		header = xray.Header{Root: fmt.Sprintf("1-%08x-%s", uint32(h.cfg.Now().Unix()), random[:24])}
	}
	return Trace{Header: header, Segment: random[24:40], Links: links}
}

// hexDigits keeps the hexadecimal digits of an id, and fills up with zeros what
// ids that are not UUIDs lack.
func hexDigits(id string) string {
	digits := strings.Map(func(r rune) rune {
		if (r >= '0' && r <= '9') || (r >= 'a' && r <= 'f') {
			return r
		}
		return -1
	}, strings.ToLower(id))
	return digits + strings.Repeat("0", max(0, 40-len(digits)))
}
