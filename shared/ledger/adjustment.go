package ledger

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/stowage-dev/stowage/shared/fault"
)

// Bounds of an adjustment.
const (
	// MaxAdjustmentBytes is the most that one adjustment moves: 1 EiB, so that the sum of
	// a million of them is no quantity that the books could not hold.
	MaxAdjustmentBytes int64 = 1 << 60
	// MaxReasonBytes is the longest reason.
	MaxReasonBytes = 500
)

// Adjustment adds bytes to what a workspace is billed for, or takes them off, over a span
// of time.
type Adjustment struct {
	Workspace string
	ID        string // ULID
	Class     Class
	// Bytes is negative for a credit.
	Bytes int64
	From  time.Time
	// Until is zero for an adjustment that holds from then on.
	Until    time.Time
	Reason   string
	BookedBy string
	BookedAt time.Time
}

// Validate returns an error that blames every field that is wrong at a time. Only the
// past can be adjusted.
func (a Adjustment) Validate(now time.Time) error {
	var errs []error
	if a.Bytes == 0 || a.Bytes > MaxAdjustmentBytes || a.Bytes < -MaxAdjustmentBytes {
		errs = append(errs, fault.Invalid("bytes", "must be between 1 and %d, or that much below 0 for a credit", MaxAdjustmentBytes))
	}
	switch {
	case a.From.Year() < firstYear:
		errs = append(errs, fault.Invalid("from", "lies before the year %d", firstYear))
	case a.From.After(now):
		errs = append(errs, fault.Invalid("from", "lies in the future: only what was held can be adjusted"))
	}
	switch {
	case a.Until.IsZero():
	case !a.Until.After(a.From):
		errs = append(errs, fault.Invalid("until", "must be after from"))
	case a.Until.After(now):
		errs = append(errs, fault.Invalid("until", "lies in the future: leave it out for an adjustment that goes on"))
	}
	switch {
	case strings.TrimSpace(a.Reason) == "":
		errs = append(errs, fault.Invalid("reason", "must say why, for whoever reads the statement"))
	case len(a.Reason) > MaxReasonBytes:
		errs = append(errs, fault.Invalid("reason", "has %d bytes, the most is %d", len(a.Reason), MaxReasonBytes))
	case !utf8.ValidString(a.Reason), strings.ContainsFunc(a.Reason, func(r rune) bool { return r < ' ' || r == 0x7f }):
		errs = append(errs, fault.Invalid("reason", "must be UTF-8 without control characters"))
	}
	return fault.Join(errs...)
}

// Movements returns what the adjustment moves: bytes come at its beginning and leave at
// its end.
func (a Adjustment) Movements() []Movement {
	moves := []Movement{{a.From, a.Class, a.Bytes}}
	if !a.Until.IsZero() {
		moves = append(moves, Movement{a.Until, a.Class, -a.Bytes})
	}
	return moves
}
