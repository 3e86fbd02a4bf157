package sources

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// discoverEvery is how often a stream is asked for new shards, beside when one has
	// ended. The engine looks at all of a stream's records to answer.
	discoverEvery = 15 * time.Second
	// discoverRetry is the longest wait after it could not be asked.
	discoverRetry = time.Second
	// skipPage is how many records a call reads that only looks for the end of a shard.
	skipPage = 1000
)

// streamPoller is one stream mapping at work.
type streamPoller struct {
	cfg     *Config
	runner  *Runner
	mapping StreamMapping
	filter  filter
	client  *streamClient

	mu     sync.Mutex
	shards map[string]*shardPoller // by shard id
}

func newStreamPoller(r *Runner, m StreamMapping) (*streamPoller, error) {
	f, err := compileFilter(m.Filters)
	p := &streamPoller{cfg: &r.cfg, runner: r, mapping: m, filter: f, client: newStreamClient(&r.cfg, m), shards: map[string]*shardPoller{}}
	return p, errors.Join(m.wrap(err), m.validate())
}

// run follows the stream's shards until reading ends, and lets what is in the
// function then come to its end, until ctx ends. A shard is read once its parent
// is finished, which keeps the order of an item over a split.
func (p *streamPoller) run(ctx, reading context.Context) {
	var shards sync.WaitGroup
	defer shards.Wait()
	finished := make(chan struct{}, 1)
	failures := 0
	for reading.Err() == nil {
		pause := discoverEvery
		if err := p.discover(ctx, reading, &shards, finished); err != nil && reading.Err() == nil {
			if failures++; failures == 1 {
				p.cfg.Logger.Warn("stream cannot be read, trying on", "mapping", p.mapping.ID, "table", p.mapping.Table, "error", err)
			}
			pause = backoff(failures, 20*time.Millisecond, discoverRetry)
		} else {
			failures = 0
		}
		timer := time.NewTimer(pause)
		select {
		case <-reading.Done():
		case <-finished: // its children may begin
		case <-timer.C:
		}
		timer.Stop()
	}
}

// discover starts the shards that can be read now.
func (p *streamPoller) discover(ctx, reading context.Context, running *sync.WaitGroup, finished chan<- struct{}) error {
	stream, err := p.client.stream(reading, p.mapping.Table)
	if err != nil {
		return err
	}
	if stream == "" {
		return fmt.Errorf("table %s has no stream", p.mapping.Table)
	}
	infos, err := p.client.shards(reading, stream)
	if err != nil {
		return err
	}
	listed := make(map[string]bool, len(infos))
	for _, info := range infos {
		listed[info.ID] = true
	}
	for _, info := range infos {
		parentOpen := listed[info.Parent] && !p.isDone(stream, info.Parent)
		if parentOpen || p.isDone(stream, info.ID) {
			continue
		}
		s := p.adopt(stream, info.ID)
		if s == nil {
			continue // it runs already
		}
		if err := p.position(reading, s, info); err != nil {
			p.abandon(s)
			return err
		}
		running.Go(func() {
			s.run(ctx, reading)
			p.abandon(s)
			select {
			case finished <- struct{}{}:
			default:
			}
		})
	}
	return nil
}

// position decides where a shard that has no checkpoint begins, and writes it
// down: what comes after that must not be missed, even if the runtime is killed
// before the first record is done with.
func (p *streamPoller) position(ctx context.Context, s *shardPoller, info shardInfo) error {
	if _, known := p.runner.checkpoints.get(s.key); known {
		return nil
	}
	last := ""
	if p.mapping.FromLatest && info.Parent == "" {
		var err error
		if last, err = p.lastSequence(ctx, s); err != nil {
			return err
		}
	}
	return p.runner.checkpoints.put(s.key, position{Sequence: last})
}

// lastSequence reads to the present end of a shard.
func (p *streamPoller) lastSequence(ctx context.Context, s *shardPoller) (string, error) {
	iterator, err := p.client.iterator(ctx, s.stream, s.shard, "")
	last := ""
	for err == nil && iterator != "" {
		records, next, readErr := p.client.records(ctx, iterator, skipPage)
		if readErr != nil {
			return "", readErr
		}
		if len(records) == 0 {
			break
		}
		newest, decodeErr := decodeRecord(records[len(records)-1], p.mapping.StreamARN, p.cfg.Region)
		if decodeErr != nil {
			return "", decodeErr
		}
		last, iterator = newest.sequence, next
	}
	return last, err
}

func (p *streamPoller) checkpointKey(stream, shard string) string {
	return p.mapping.ID + "|" + stream + "|" + shard
}

func (p *streamPoller) isDone(stream, shard string) bool {
	at, _ := p.runner.checkpoints.get(p.checkpointKey(stream, shard))
	return at.Done
}

// adopt makes the poller of a shard, or nil when there is one.
func (p *streamPoller) adopt(stream, shard string) *shardPoller {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shards[shard] != nil {
		return nil
	}
	s := newShardPoller(p, stream, shard)
	p.shards[shard] = s
	return s
}

func (p *streamPoller) abandon(s *shardPoller) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.shards, s.shard)
}

func (p *streamPoller) wakeShards() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.shards {
		select {
		case s.wake <- struct{}{}:
		default:
		}
	}
}
