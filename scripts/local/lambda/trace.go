package lambda

import (
	"context"
	"fmt"
	"strings"
)

type traceKey struct{}

// WithTrace makes invocations with the context part of the trace that an
// X-Amzn-Trace-Id header names.
func WithTrace(ctx context.Context, header string) context.Context {
	return context.WithValue(ctx, traceKey{}, header)
}

// traceFor is the value of Lambda-Runtime-Trace-Id: the caller's, or of a new
// trace that is sampled.
func (h *Host) traceFor(ctx context.Context) string {
	if header, ok := ctx.Value(traceKey{}).(string); ok && header != "" {
		return header
	}
	random := hexDigits(h.cfg.NewID() + h.cfg.NewID())
	return fmt.Sprintf("Root=1-%08x-%s;Parent=%s;Sampled=1", uint32(h.cfg.Now().Unix()), random[:24], random[24:40])
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
