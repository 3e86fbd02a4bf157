// Package ebbus hands events to an Amazon EventBridge bus.
//
// PutEvents may take some entries of a call and refuse others, while the call
// itself succeeds. Put answers for each entry apart, and repeats what was
// throttled a few times before it says so.
//
// It needs events:PutEvents on the bus. It is safe for concurrent use.
package ebbus

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge"
	"github.com/aws/aws-sdk-go-v2/service/eventbridge/types"
	"github.com/aws/smithy-go"

	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
)

const (
	// attempts is how often an entry is sent before its failure is reported. The
	// SDK repeats a call that failed as a whole; this is for single entries.
	attempts = 4
	// firstPause is the longest pause before the second attempt; it doubles.
	firstPause = 50 * time.Millisecond
	// timeBytes is what an entry's time counts for in its size.
	timeBytes = 14
)

// Bus is one event bus.
type Bus struct {
	client *eventbridge.Client
	name   string
}

// New returns the bus of that name or ARN.
func New(client *eventbridge.Client, name string) *Bus {
	return &Bus{client: client, name: name}
}

// Size is what an event counts for against limits.PutEventsBytes.
// https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-putevent-size.html
func (*Bus) Size(e event.Encoded) int {
	return timeBytes + len(event.Source) + len(e.Type) + len(e.JSON)
}

// Put sends at most limits.PutEventsEntries entries, in their order, and returns
// an error or nil for each. An entry that the bus can never take is a permanent
// fault; it does not harm its neighbours.
func (b *Bus) Put(ctx context.Context, entries []event.Encoded) []error {
	errs := make([]error, len(entries))
	var pending []int
	for i, e := range entries {
		if int64(b.Size(e)) > limits.PutEventsBytes {
			errs[i] = fault.New(fault.TooLarge, "event of %d bytes, the bus takes %d", b.Size(e), limits.PutEventsBytes)
			continue
		}
		pending = append(pending, i)
	}
	for attempt := 0; len(pending) > 0; attempt++ {
		if attempt == attempts || attempt > 0 && !pause(ctx, attempt) {
			break // errs says why
		}
		pending = b.try(ctx, entries, pending, errs)
	}
	return errs
}

// try sends the pending entries once, notes how each fared and returns those
// worth sending again.
func (b *Bus) try(ctx context.Context, entries []event.Encoded, pending []int, errs []error) (again []int) {
	in := &eventbridge.PutEventsInput{Entries: make([]types.PutEventsRequestEntry, len(pending))}
	for n, i := range pending {
		e := &entries[i]
		in.Entries[n] = types.PutEventsRequestEntry{
			EventBusName: &b.name,
			Source:       aws.String(event.Source),
			DetailType:   aws.String(string(e.Type)),
			Time:         &e.Time,
			Detail:       aws.String(string(e.JSON)),
		}
	}
	out, err := b.client.PutEvents(ctx, in)
	switch {
	case err != nil && refused(err) && len(pending) > 1:
		// One of them spoils the call: find out which.
		for _, i := range pending {
			again = append(again, b.try(ctx, entries, []int{i}, errs)...)
		}
		return again
	case err != nil:
		for _, i := range pending {
			errs[i] = callFault(err)
		}
		return nil // the SDK has repeated the call already
	case len(out.Entries) != len(pending):
		for _, i := range pending {
			errs[i] = fmt.Errorf("put %d events: the bus answered for %d", len(pending), len(out.Entries))
		}
		return nil
	}
	for n, i := range pending {
		errs[i] = entryFault(out.Entries[n])
		if fault.Transient(errs[i]) {
			again = append(again, i)
		}
	}
	return again
}

// refused reports whether the service found the call itself wrong.
func refused(err error) bool {
	var api smithy.APIError
	if !errors.As(err, &api) {
		return false
	}
	switch api.ErrorCode() {
	case "ValidationException", "SerializationException", "RequestEntityTooLargeException":
		return true
	default:
		return false
	}
}

func callFault(err error) error {
	if refused(err) {
		return fault.Wrap(fault.InvalidArgument, err, "the bus refuses the event")
	}
	var api smithy.APIError
	if errors.As(err, &api) && api.ErrorFault() == smithy.FaultClient && !throttled(api.ErrorCode()) {
		// A right or a bus is missing. The events are good: keep them until it is
		// there, hence not permanent.
		return fmt.Errorf("put events: %w", err)
	}
	return fault.Wrap(fault.Unavailable, err, "the bus is not available")
}

func throttled(code string) bool {
	return code == "ThrottlingException" || code == "TooManyRequestsException"
}

// entryFault gives an entry's error code its meaning.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEventsResultEntry.html
func entryFault(e types.PutEventsResultEntry) error {
	code, text := aws.ToString(e.ErrorCode), aws.ToString(e.ErrorMessage)
	switch {
	case code == "" && aws.ToString(e.EventId) != "":
		return nil
	case throttled(code):
		return fault.New(fault.RateLimited, "the bus throttles: %s: %s", code, text)
	case code == "InternalFailure" || code == "InternalException":
		return fault.New(fault.Unavailable, "the bus failed: %s: %s", code, text)
	case code == "MalformedDetail" || code == "InvalidArgument":
		return fault.New(fault.InvalidArgument, "the bus refuses the event: %s: %s", code, text)
	default:
		return fmt.Errorf("the bus did not take the event: code %q: %s", code, text)
	}
}

// pause waits before attempt with full jitter. It reports false when there is no
// time left to wait.
func pause(ctx context.Context, attempt int) bool {
	longest := firstPause << (attempt - 1)
	t := time.NewTimer(rand.N(longest))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
