package scan

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// Queue takes messages.
type Queue interface {
	Send(ctx context.Context, body []byte, delay time.Duration) error
}

// Queued is a scanner behind a queue: what it is to look at is sent there, and its
// verdicts come back in their own form. It is safe for concurrent use if its queue is.
type Queued struct{ queue Queue }

// NewQueued returns the scanner that reads queue.
func NewQueued(queue Queue) *Queued { return &Queued{queue: queue} }

// Submit asks for a scan.
func (q *Queued) Submit(ctx context.Context, r Request) error {
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode scan request: %w", err)
	}
	if err := q.queue.Send(ctx, body, 0); err != nil {
		return fmt.Errorf("queue the scan of %s: %w", r.Location(), err)
	}
	return nil
}

// Verdict reads what the scanner said.
func (*Queued) Verdict(body []byte) (Verdict, error) { return DecodeVerdict(body) }
