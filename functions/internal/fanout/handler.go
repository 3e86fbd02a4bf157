// Package fanout turns the catalog's stream into events on the bus.
//
// The stream is the outbox: whatever a transaction writes to an object appears in it
// once, in the order of the writes. Each record of an OBJECT item is one transition,
// from which the event follows (see package event); every other record is none of
// its business. Events leave in batches, no two of the same object in one, and the
// next event of an object only after the one before it was taken: what the bus gets
// is in the order of rev.
//
// A record that makes no event that the bus could ever take goes to the dead letters
// with its payload and holds nobody up. Any other failure holds the checkpoint.
package fanout

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
)

// Config is what the function is told by its environment.
type Config struct {
	Bus              string
	DeadLetterBucket string
	// Region is where the function runs, HomeRegion where events are published. A
	// replica of the catalog has a stream of its own, which repeats everything.
	Region, HomeRegion string
}

// ParseConfig reads the configuration; the error names all that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{
		Bus:              s.Required("STOWAGE_BUS"),
		DeadLetterBucket: s.Required("STOWAGE_DEAD_LETTER_BUCKET"),
		Region:           s.Required("AWS_REGION"),
		HomeRegion:       s.Required("STOWAGE_HOME_REGION"),
	}
	return cfg, s.Err()
}

// Bus takes events.
type Bus interface {
	// Put returns an error or nil for each event. A permanent fault is an event
	// that the bus will never take.
	Put(ctx context.Context, es []event.Encoded) []error
	// Size is what an event counts for against limits.PutEventsBytes.
	Size(e event.Encoded) int
}

// Parts is what a Handler works with.
type Parts struct {
	Bus         Bus
	DeadLetters batch.DeadLetters
	Observer    batch.Observer
	Metrics     *observe.Metrics
	Log         *slog.Logger
}

// Handler publishes the events of stream records. It is safe for concurrent use.
type Handler struct {
	Parts
	home    bool
	keys    keyNames
	objects *catalog.Entity[object.Object]
}

// New returns a handler.
func New(cfg Config, p Parts) *Handler {
	return &Handler{Parts: p, home: cfg.Region == cfg.HomeRegion, keys: catalogKeys(), objects: catalog.Declare().Objects}
}

// concurrency is how many calls to the bus are under way at a time.
const concurrency = 4

// Handle publishes a batch of stream records, given as Lambda sends them. It answers
// with the sequence number from which the records must be delivered again, if any.
func (h *Handler) Handle(ctx context.Context, payload []byte) (events.DynamoDBEventResponse, error) {
	resp := events.DynamoDBEventResponse{BatchItemFailures: []events.DynamoDBBatchItemFailure{}}
	records, err := h.keys.decode(string(payload))
	if err != nil {
		return resp, err
	}
	h.Metrics.Add("FanoutRecords", len(records))
	if !h.home {
		h.Log.LogAttrs(ctx, slog.LevelDebug, "records left to the home region", slog.Int("records", len(records)))
		return resp, nil
	}
	back, err := batch.ProcessGroups(ctx, source(), h.outgoing(records), h.group(), h.publish,
		batch.Concurrency(concurrency),
		batch.DeadLetter(h.DeadLetters),
		batch.PermanentIf(fault.Permanent),
		batch.Observe(h.Observer))
	if err != nil {
		return resp, fmt.Errorf("publish events: %w", err)
	}
	for _, sequence := range back {
		resp.BatchItemFailures = append(resp.BatchItemFailures, events.DynamoDBBatchItemFailure{ItemIdentifier: sequence})
	}
	return resp, nil
}

// outgoing is a record that makes an event, or one that cannot be read.
type outgoing struct {
	record
	event event.Encoded
}

func source() batch.Source[*outgoing] {
	return batch.Source[*outgoing]{
		Checkpointed: true,
		ID:           func(o *outgoing) string { return o.sequence },
		Key:          func(o *outgoing) string { return o.pk },
		Origin:       func(o *outgoing) string { return o.origin },
		Time:         func(o *outgoing) time.Time { return o.time },
		Payload:      func(o *outgoing) ([]byte, error) { return []byte(o.raw), nil },
	}
}

func (h *Handler) group() batch.Group[*outgoing] {
	return batch.Group[*outgoing]{
		MaxRecords: limits.PutEventsEntries,
		MaxBytes:   int(limits.PutEventsBytes),
		Size:       func(o *outgoing) int { return h.Bus.Size(o.event) },
	}
}

// outgoing keeps the records that concern the bus.
func (h *Handler) outgoing(records []record) []*outgoing {
	var out []*outgoing
	for i := range records {
		rec := records[i]
		if rec.err == nil && rec.sk != catalog.ObjectSortKey {
			continue
		}
		o := &outgoing{record: rec}
		made := true
		if o.err == nil {
			o.event, made, o.err = h.transition(rec)
		}
		if made || o.err != nil {
			out = append(out, o)
		}
	}
	return out
}

// transition makes the event of a record, if it makes one.
func (h *Handler) transition(rec record) (event.Encoded, bool, error) {
	if rec.old == rec.new {
		return event.Encoded{}, false, nil
	}
	before, err := h.object(rec.old)
	if err != nil {
		return event.Encoded{}, false, fmt.Errorf("old image: %w", err)
	}
	after, err := h.object(rec.new)
	if err != nil {
		return event.Encoded{}, false, fmt.Errorf("new image: %w", err)
	}
	e, made := event.FromTransition(before, after)
	if !made {
		return event.Encoded{}, false, nil
	}
	if after == nil && !rec.time.IsZero() {
		e.Time = rec.time // the last write says nothing of when it was removed
	}
	enc, err := event.Encode(e)
	return enc, true, err
}

func (h *Handler) object(text string) (*object.Object, error) {
	item, err := image(text)
	if err != nil || item == nil {
		return nil, err
	}
	o, err := h.objects.Decode(item)
	return &o, err
}

// publish hands a group to the bus.
func (h *Handler) publish(ctx context.Context, group []*outgoing) []error {
	errs := make([]error, len(group))
	var send []event.Encoded
	var sent []int
	for i, o := range group {
		if o.err != nil {
			errs[i] = fault.Wrap(fault.InvalidArgument, o.err, "the stream record cannot be read")
			continue
		}
		send = append(send, o.event)
		sent = append(sent, i)
	}
	if len(send) == 0 {
		return errs
	}
	for n, err := range h.Bus.Put(ctx, send) {
		errs[sent[n]] = err
		if err == nil {
			h.Metrics.Add("FanoutEvents", 1, observe.Dimension{Name: "type", Value: string(send[n].Type)})
		}
	}
	return errs
}
