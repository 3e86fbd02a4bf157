package sources

import (
	"context"
	"errors"
	"hash/fnv"
	"sync"
	"time"
)

const (
	// A shard with nothing new is asked again after busyPoll, then less and less often up to
	// idlePoll.
	busyPoll = 5 * time.Millisecond
	idlePoll = 100 * time.Millisecond
	// readAhead is how many batches of records each lane may have waiting.
	readAhead = 2
	maxRead   = 1000 // records of one GetRecords call
)

// shardPoller reads one shard, spreads its records over lanes by item, and keeps
// the checkpoint at the last record before which everything is done with.
type shardPoller struct {
	*streamPoller
	stream string // the engine's ARN
	shard  string
	key    string // of its checkpoint
	lanes  []*lane
	wake   chan struct{}

	mu      sync.Mutex
	settled chan struct{}   // receives when records were settled; the reader waits for room
	pending []*streamRecord // read and not yet below the checkpoint, in order
}

func newShardPoller(p *streamPoller, stream, shard string) *shardPoller {
	s := &shardPoller{
		streamPoller: p, stream: stream, shard: shard, key: p.checkpointKey(stream, shard),
		wake: make(chan struct{}, 1), settled: make(chan struct{}, 1),
	}
	for range p.mapping.ParallelizationFactor {
		s.lanes = append(s.lanes, newLane(s))
	}
	return s
}

// run reads until reading ends or the shard is closed and everything in it is done with.
func (s *shardPoller) run(ctx, reading context.Context) {
	var lanes sync.WaitGroup
	for _, l := range s.lanes {
		lanes.Go(func() { l.run(ctx, reading) })
	}
	closed := s.read(reading)
	for _, l := range s.lanes {
		l.close()
	}
	lanes.Wait()
	if closed && reading.Err() == nil {
		at, _ := s.runner.checkpoints.get(s.key)
		s.save(position{Sequence: at.Sequence, Done: true})
	}
}

// read brings records to the lanes, and is true when the shard has ended.
func (s *shardPoller) read(ctx context.Context) bool {
	at, _ := s.runner.checkpoints.get(s.key)
	last, iterator := at.Sequence, ""
	idle, failures := busyPoll, 0
	for s.waitForRoom(ctx) {
		var err error
		if iterator == "" {
			iterator, err = s.client.iterator(ctx, s.stream, s.shard, last)
		}
		var read []*streamRecord
		next := iterator
		if err == nil {
			read, next, err = s.fetch(ctx, iterator)
		}
		if err != nil {
			failures++
			iterator = ""
			last = s.recover(ctx, err, failures, last)
			continue
		}
		failures, iterator = 0, next
		if len(read) > 0 {
			last = read[len(read)-1].sequence
			s.dispatch(read)
			idle = busyPoll
		}
		if next == "" {
			return true
		}
		if len(read) == 0 {
			if s.pause(ctx, idle) {
				idle = busyPoll
			} else {
				idle = min(idle*3/2, idlePoll)
			}
		}
	}
	return false
}

// fetch reads records and makes them the function's.
func (s *shardPoller) fetch(ctx context.Context, iterator string) ([]*streamRecord, string, error) {
	limit := min(max(s.mapping.BatchSize*len(s.lanes), defaultStreamBatch), maxRead)
	raw, next, err := s.client.records(ctx, iterator, limit)
	if err != nil {
		return nil, "", err
	}
	records := make([]*streamRecord, len(raw))
	for i, r := range raw {
		if records[i], err = decodeRecord(r, s.mapping.StreamARN, s.cfg.Region); err != nil {
			return nil, "", err
		}
		records[i].origin = s.cfg.Origin(s.mapping.Table, records[i].item)
		records[i].skip = records[i].skip || !s.filter.passes(records[i].raw)
	}
	return records, next, nil
}

// recover says where to go on after an error, having waited.
func (s *shardPoller) recover(ctx context.Context, err error, failures int, last string) string {
	switch {
	case ctx.Err() != nil || errors.Is(err, errIteratorExpired):
		return last
	case errors.Is(err, errTrimmed):
		s.cfg.Logger.Warn("records were trimmed before they were read; going on with the oldest there is",
			"mapping", s.mapping.ID, "shard", s.shard, "after", last)
		return ""
	}
	if failures == 1 {
		s.cfg.Logger.Warn("shard cannot be read, trying on", "mapping", s.mapping.ID, "shard", s.shard, "error", err)
	}
	sleep(ctx, backoff(failures, 20*time.Millisecond, time.Second))
	return last
}

// pause waits for the next turn, and is true when it was woken before it.
func (s *shardPoller) pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-s.wake:
		return true
	case <-timer.C:
	case <-ctx.Done():
	}
	return false
}

// waitForRoom holds the reader back while the lanes have enough to do.
func (s *shardPoller) waitForRoom(ctx context.Context) bool {
	most := readAhead * len(s.lanes) * max(s.mapping.BatchSize, defaultStreamBatch)
	for {
		s.mu.Lock()
		waiting := len(s.pending)
		s.mu.Unlock()
		if waiting < most {
			return ctx.Err() == nil
		}
		select {
		case <-s.settled:
		case <-ctx.Done():
			return false
		}
	}
}

// dispatch gives each record to the lane of its item. What the function is not to
// see is settled at once.
func (s *shardPoller) dispatch(records []*streamRecord) {
	s.mu.Lock()
	s.pending = append(s.pending, records...)
	s.mu.Unlock()
	var skipped []*streamRecord
	shares := make([][]*streamRecord, len(s.lanes))
	for _, r := range records {
		if r.skip {
			skipped = append(skipped, r)
			continue
		}
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(r.item)) // never fails
		lane := hash.Sum32() % uint32(len(s.lanes))
		shares[lane] = append(shares[lane], r)
	}
	for i, share := range shares { // at once, so that what was read together can be a batch
		if len(share) > 0 {
			s.lanes[i].put(share)
		}
	}
	if len(skipped) > 0 {
		s.settle(skipped)
	}
}

// settle marks records as done with and moves the checkpoint as far as it can go.
func (s *shardPoller) settle(records []*streamRecord) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		r.done = true
	}
	n := 0
	for n < len(s.pending) && s.pending[n].done {
		n++
	}
	if n > 0 {
		last := s.pending[n-1].sequence
		s.pending = append([]*streamRecord(nil), s.pending[n:]...)
		s.save(position{Sequence: last})
	}
	select {
	case s.settled <- struct{}{}:
	default:
	}
}

func (s *shardPoller) save(at position) {
	if err := s.runner.checkpoints.put(s.key, at); err != nil {
		s.cfg.Logger.Error("checkpoint was not saved; records will come again after a restart", "mapping", s.mapping.ID, "error", err)
	}
}
