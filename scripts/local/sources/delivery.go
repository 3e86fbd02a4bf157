package sources

import (
	"context"
	"encoding/json"
)

// Kind tells sources apart.
type Kind string

// The kinds of sources.
const (
	QueueSource        Kind = "queues"
	StreamSource       Kind = "streams"
	NotificationSource Kind = "notifications"
)

// Batch is what a source is about to deliver.
type Batch struct {
	Kind    Kind
	Source  string // the mapping's id, or the bucket's name for a notification
	Target  string // ARN of the function or queue
	Ordered bool   // the source promises the order of the records
	Records []json.RawMessage
}

// Outcome is how a delivery went.
type Outcome struct {
	// Failed are the identifiers of the items that must come again. All of them when Err is set.
	Failed []string
	Err    error // the function failed, or its answer could not be understood
	// RequestID of the last invocation; empty when there was none.
	RequestID     string
	FunctionError string
}

// Delivery delivers batches. It calls invoke as often, as late and with the
// records in such an order as it likes, and says how it went in the end; so it
// can duplicate, reorder, delay and lose answers. It must be safe for concurrent
// use.
type Delivery interface {
	Deliver(ctx context.Context, b Batch, invoke func(context.Context, []json.RawMessage) Outcome) Outcome
}

// PlainDelivery delivers each batch once, as it is.
type PlainDelivery struct{}

var _ Delivery = PlainDelivery{}

// Deliver implements Delivery.
func (PlainDelivery) Deliver(ctx context.Context, b Batch, invoke func(context.Context, []json.RawMessage) Outcome) Outcome {
	return invoke(ctx, b.Records)
}
