package sources

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/queue"
	"github.com/stowage-dev/stowage/scripts/local/xray"
)

const (
	receiveWait = 20 * time.Second // of one call; a message ends it at once
	errorPause  = time.Second      // after a call that failed
	// queuePatience is how long a batch waits for a throttled function before it is left to its
	// visibility time-out.
	queuePatience = 10 * time.Second
)

// queuePoller is one queue mapping at work.
type queuePoller struct {
	cfg     *Config
	mapping QueueMapping
	filter  filter
}

func newQueuePoller(cfg *Config, m QueueMapping) (*queuePoller, error) {
	f, err := compileFilter(m.Filters)
	return &queuePoller{cfg: cfg, mapping: m, filter: f}, m.wrap(errors.Join(err, m.validate()))
}

// run receives batches until reading ends, while the function has room for another
// one, so that no message is held in flight without being worked on. What has
// been received then is still worked on, until ctx ends.
func (p *queuePoller) run(ctx, reading context.Context) {
	room := make(chan struct{}, p.mapping.MaxConcurrency)
	var batches sync.WaitGroup
	defer batches.Wait()
	for {
		select {
		case room <- struct{}{}:
		case <-reading.Done():
			return
		}
		messages := p.gather(reading)
		if ctx.Err() != nil {
			return
		}
		if len(messages) == 0 {
			<-room
			continue
		}
		batches.Go(func() {
			defer func() { <-room }()
			p.process(ctx, messages)
		})
	}
}

// gather receives a batch: what the first call brings, and with a window what
// comes until it ends or the batch is full.
func (p *queuePoller) gather(ctx context.Context) []queue.Received {
	messages := p.receive(ctx, p.mapping.BatchSize, receiveWait)
	if len(messages) == 0 || p.mapping.Window == 0 {
		return messages
	}
	end := p.cfg.Now().Add(p.mapping.Window)
	bytes := bodyBytes(messages)
	for len(messages) < p.mapping.BatchSize && bytes < maxPayload {
		left := end.Sub(p.cfg.Now())
		if left <= 0 || ctx.Err() != nil {
			break
		}
		more := p.receive(ctx, p.mapping.BatchSize-len(messages), min(left, receiveWait))
		bytes += bodyBytes(more)
		messages = append(messages, more...)
	}
	return messages
}

func bodyBytes(messages []queue.Received) int {
	n := 0
	for _, m := range messages {
		n += len(m.Body)
	}
	return n
}

func (p *queuePoller) receive(ctx context.Context, most int, wait time.Duration) []queue.Received {
	var messages []queue.Received
	err := p.permit(ctx, "sqs:ReceiveMessage")
	if err == nil {
		messages, err = p.cfg.Broker.Receive(ctx, p.mapping.QueueARN, queue.ReceiveInput{Max: min(most, queue.MaxBatch), Wait: &wait})
	}
	if err != nil && ctx.Err() == nil {
		p.cfg.Logger.Error("receive failed", "mapping", p.mapping.ID, "queue", p.mapping.QueueARN, "error", err)
		sleep(ctx, errorPause)
	}
	return messages
}

func (p *queuePoller) permit(ctx context.Context, action string) error {
	return p.cfg.Permit(ctx, p.mapping.FunctionARN, action, p.mapping.QueueARN)
}

// process delivers what passes the filter, in events that Lambda would accept.
// What does not pass is deleted, as Lambda does.
func (p *queuePoller) process(ctx context.Context, messages []queue.Received) {
	var wanted []queue.Received
	var records []json.RawMessage
	var sizes []int
	for _, m := range messages {
		record, filtered := p.record(m)
		if !p.filter.passes(filtered) {
			p.delete(ctx, m)
			continue
		}
		wanted, records, sizes = append(wanted, m), append(records, record), append(sizes, len(record))
	}
	for len(wanted) > 0 {
		n := fitting(sizes)
		p.deliver(ctx, wanted[:n], records[:n])
		wanted, records, sizes = wanted[n:], records[n:], sizes[n:]
	}
}

// deliver runs the function with one event and settles its messages.
func (p *queuePoller) deliver(ctx context.Context, messages []queue.Received, records []json.RawMessage) {
	b := Batch{Kind: QueueSource, Source: p.mapping.ID, Target: p.mapping.FunctionARN, Ordered: isFIFO(p.mapping.QueueARN), Records: records}
	outcome := p.cfg.Delivery.Deliver(xray.WithOrigins(ctx, traces(messages), p.cfg.Now()), b, func(ctx context.Context, records []json.RawMessage) Outcome {
		return invoke(ctx, p.cfg.Invoker, p.mapping.FunctionARN, records, p.mapping.ReportBatchItemFailures, queuePatience)
	})
	if ctx.Err() != nil {
		return // whether it was done is not known; it comes again
	}
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.MessageID
	}
	if unknown, found := firstUnknown(outcome.Failed, ids); found && outcome.Err == nil {
		outcome.Err = errors.New("batchItemFailures names " + unknown + ", which is not in the batch: the whole batch fails")
	}
	if outcome.Err != nil {
		p.cfg.Logger.Warn("batch failed", "mapping", p.mapping.ID, "function", p.mapping.FunctionARN, "messages", len(messages), "error", outcome.Err)
	}
	for _, m := range messages {
		if outcome.Err != nil || slices.Contains(outcome.Failed, m.MessageID) {
			p.retry(ctx, m)
		} else {
			p.delete(ctx, m)
		}
	}
}

// traces are those that the messages were sent in.
func traces(messages []queue.Received) []xray.Header {
	var all []xray.Header
	for _, m := range messages {
		if h, ok := xray.ParseHeader(m.Attributes["AWSTraceHeader"]); ok {
			all = append(all, h)
		}
	}
	return all
}

func (p *queuePoller) delete(ctx context.Context, m queue.Received) {
	err := p.permit(ctx, "sqs:DeleteMessage")
	if err == nil {
		err = p.cfg.Broker.Delete(ctx, p.mapping.QueueARN, m.ReceiptHandle)
	}
	if err != nil {
		p.cfg.Logger.Error("message was not deleted and comes again", "mapping", p.mapping.ID, "messageId", m.MessageID, "error", err)
	}
}

func (p *queuePoller) retry(ctx context.Context, m queue.Received) {
	if p.cfg.QueueRetryDelay == nil {
		return
	}
	if err := p.cfg.Broker.ChangeVisibility(ctx, p.mapping.QueueARN, m.ReceiptHandle, *p.cfg.QueueRetryDelay); err != nil {
		p.cfg.Logger.Warn("failed message waits for its visibility time-out", "mapping", p.mapping.ID, "messageId", m.MessageID, "error", err)
	}
}
