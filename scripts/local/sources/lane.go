package sources

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// A function that could not be invoked at all is asked again after
// unavailablePause, then less and less often up to unavailableLonger.
const (
	unavailablePause  = 50 * time.Millisecond
	unavailableLonger = 5 * time.Second
)

// lane processes the records of some of a shard's items, one batch after the other.
type lane struct {
	shard *shardPoller

	mu      sync.Mutex
	records []*streamRecord
	closed  bool
	changed chan struct{} // receives when records or closed changed
}

func newLane(s *shardPoller) *lane { return &lane{shard: s, changed: make(chan struct{}, 1)} }

func (l *lane) put(records []*streamRecord) {
	l.mu.Lock()
	l.records = append(l.records, records...)
	l.mu.Unlock()
	l.signal()
}

// close lets run end once everything is done with.
func (l *lane) close() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.signal()
}

func (l *lane) signal() {
	select {
	case l.changed <- struct{}{}:
	default:
	}
}

// run processes batches until there are no more, or reading ends: then the batch
// that is in the function is the last, and is not tried again.
func (l *lane) run(ctx, reading context.Context) {
	for {
		batch := l.take(reading)
		if len(batch) == 0 {
			return
		}
		l.process(ctx, reading, batch)
		if reading.Err() != nil {
			return
		}
	}
}

// take waits for the next batch: what is there, or with a window what comes until
// it ends or the batch is full. It is empty when there will be no more.
func (l *lane) take(ctx context.Context) []*streamRecord {
	var windowEnd <-chan time.Time
	for {
		if ctx.Err() != nil {
			return nil
		}
		l.mu.Lock()
		full := len(l.records) >= l.shard.mapping.BatchSize || fittingRecords(l.records) < len(l.records)
		ready := len(l.records) > 0 && (full || l.closed || l.shard.mapping.Window == 0)
		waiting, closed := len(l.records) > 0, l.closed
		l.mu.Unlock()
		if ready {
			return l.cut()
		}
		if closed {
			return nil
		}
		if waiting && windowEnd == nil {
			timer := time.NewTimer(l.shard.mapping.Window)
			defer timer.Stop()
			windowEnd = timer.C
		}
		select {
		case <-ctx.Done():
			return nil
		case <-l.changed:
		case <-windowEnd:
			return l.cut()
		}
	}
}

// cut takes a batch off the lane's records.
func (l *lane) cut() []*streamRecord {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(len(l.records), l.shard.mapping.BatchSize)
	n = fittingRecords(l.records[:n])
	batch := slices.Clone(l.records[:n])
	l.records = append([]*streamRecord(nil), l.records[n:]...)
	return batch
}

func fittingRecords(records []*streamRecord) int {
	sizes := make([]int, len(records))
	for i, r := range records {
		sizes[i] = len(r.raw)
	}
	return fitting(sizes)
}

// process delivers a batch until each of its records is done with: by success, or
// given up after too many retries or too long a time. It returns early only when
// reading ends; then what is not done with comes again.
func (l *lane) process(ctx, reading context.Context, records []*streamRecord) {
	m := &l.shard.mapping
	retries, invokes, refusals := 0, 0, 0
	for {
		if records = l.dropAged(ctx, records, invokes); len(records) == 0 || reading.Err() != nil {
			return
		}
		outcome := l.deliver(ctx, records)
		if ctx.Err() != nil {
			return // whether it was done is not known; it comes again
		}
		if outcome.RequestID == "" { // throttled, for one: the function did not run, nothing has been tried
			if refusals++; refusals == 1 {
				l.logFailure(records, outcome)
			}
			if !sleep(reading, backoff(refusals, unavailablePause, unavailableLonger)) {
				return
			}
			continue
		}
		invokes++
		from := checkpointOf(records, outcome)
		l.shard.settle(records[:from])
		records = records[from:]
		if len(records) == 0 {
			return
		}
		l.logFailure(records, outcome)
		if outcome.Err != nil && m.BisectOnError && len(records) > 1 { // a split counts as no retry
			half := len(records) / 2
			l.process(ctx, reading, records[:half])
			l.process(ctx, reading, records[half:])
			return
		}
		if from > 0 { // the rest is a batch of its own
			retries, invokes = 0, 1
		}
		if m.MaxRetries >= 0 && retries >= m.MaxRetries {
			l.giveUp(ctx, records, conditionRetries, outcome, invokes)
			return
		}
		retries++
		if !sleep(reading, l.shard.cfg.StreamRetryDelay(retries)) {
			return
		}
	}
}

func (l *lane) deliver(ctx context.Context, records []*streamRecord) Outcome {
	m := &l.shard.mapping
	b := Batch{Kind: StreamSource, Source: m.ID, Target: m.FunctionARN, Ordered: true}
	origins := make([]xray.Header, 0, len(records))
	for _, r := range records {
		b.Records = append(b.Records, r.raw)
		origins = append(origins, r.origin)
	}
	ctx = xray.WithOrigins(ctx, origins, l.shard.cfg.Now())
	return l.shard.cfg.Delivery.Deliver(ctx, b, func(ctx context.Context, raw []json.RawMessage) Outcome {
		return invoke(ctx, l.shard.cfg.Invoker, m.FunctionARN, raw, m.ReportBatchItemFailures, 0)
	})
}

// checkpointOf is the index of the first record that must come again: the lowest
// of those that the function names, all when it failed or names one that it was
// not given.
func checkpointOf(records []*streamRecord, outcome Outcome) int {
	if outcome.Err != nil {
		return 0
	}
	lowest := len(records)
	for _, id := range outcome.Failed {
		i := slices.IndexFunc(records, func(r *streamRecord) bool { return r.sequence == id })
		if i < 0 {
			return 0
		}
		lowest = min(lowest, i)
	}
	return lowest
}

func (l *lane) logFailure(records []*streamRecord, outcome Outcome) {
	err := outcome.Err
	if err == nil {
		err = errors.New("the function reported a batch item failure")
	}
	l.shard.cfg.Logger.Warn("batch failed", "mapping", l.shard.mapping.ID, "function", l.shard.mapping.FunctionARN,
		"records", len(records), "sequence", records[0].sequence, "error", err)
}

// dropAged gives up the records at the head of a batch that are too old.
func (l *lane) dropAged(ctx context.Context, records []*streamRecord, invokes int) []*streamRecord {
	most := l.shard.mapping.MaxRecordAge
	if most == 0 {
		return records
	}
	now := l.shard.cfg.Now()
	n := 0
	for n < len(records) && now.Sub(records[n].created) > most {
		n++
	}
	if n > 0 {
		l.giveUp(ctx, records[:n], conditionAge, Outcome{}, invokes)
	}
	return records[n:]
}
