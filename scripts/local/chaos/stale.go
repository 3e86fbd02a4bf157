package chaos

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
)

// replicaSlot holds the replica that stale reads of indexes are served from. It
// is started when it is first needed; until it is there, reads are fresh.
type replicaSlot struct {
	cfg    Config
	ctx    context.Context //nolint:containedctx // of the start; it ends with close
	cancel context.CancelFunc

	mu      sync.Mutex
	state   replicaState
	replica Replica
	handler http.Handler
	work    sync.WaitGroup
}

type replicaState int

const (
	replicaAbsent replicaState = iota
	replicaStarting
	replicaUp
	replicaGone // it could not be started, or has been closed
)

func newReplicaSlot(cfg Config) *replicaSlot {
	s := &replicaSlot{cfg: cfg}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// reader is the replica's handler, or nil while there is none. Lag gives how long
// the replica waits before it applies changes.
func (s *replicaSlot) reader(lag func() time.Duration) http.Handler {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == replicaAbsent && s.cfg.Replica != nil {
		s.state = replicaStarting
		s.work.Go(func() { s.start(lag) })
	}
	if s.state != replicaUp {
		return nil
	}
	return s.handler
}

func (s *replicaSlot) start(lag func() time.Duration) {
	replica, err := s.cfg.Replica(s.ctx, lag)
	s.mu.Lock()
	defer s.mu.Unlock()
	var handler http.Handler
	if err == nil {
		s.replica = replica
		handler, err = gateway.NewProxy(replica.Endpoint())
	}
	if err != nil {
		s.state = replicaGone
		if s.ctx.Err() == nil {
			s.cfg.Logger.Error("indexes do not lag: their replica did not start", "error", err)
		}
		return
	}
	if s.state == replicaStarting {
		s.state, s.handler = replicaUp, handler
	}
}

func (s *replicaSlot) close() error {
	s.mu.Lock()
	s.state = replicaGone
	s.mu.Unlock()
	s.cancel()
	s.work.Wait()
	if s.replica == nil {
		return nil
	}
	if err := s.replica.Close(); err != nil {
		return fmt.Errorf("stop the replica of the tables: %w", err)
	}
	return nil
}

// staleIndexes serves reads of global secondary indexes from the replica. What
// they see is what the tables held a while ago: each item as it was at one moment,
// the moments of items apart from each other, as with indexes that lag.
func (c *Chaos) staleIndexes(at source, next serve) serve {
	return func(w http.ResponseWriter, r *http.Request, call *gateway.Call) {
		if !c.readsIndex(call) {
			next(w, r, call)
			return
		}
		if _, struck := c.strike(at, Stale); struck {
			if stale := c.replica.reader(c.lag); stale != nil {
				stale.ServeHTTP(w, r)
				return
			}
		}
		next(w, r, call)
	}
}

func (c *Chaos) readsIndex(call *gateway.Call) bool {
	if call.Name != "Query" && call.Name != "Scan" {
		return false
	}
	var read struct{ TableName, IndexName string }
	if json.Unmarshal(call.Body, &read) != nil || read.IndexName == "" {
		return false
	}
	i := slices.IndexFunc(c.cfg.Tables, func(t Table) bool { return t.Name == lastPart(read.TableName) })
	return i >= 0 && slices.Contains(c.cfg.Tables[i].Indexes, read.IndexName)
}

// lag is how long the replica waits before it applies changes that it has read.
func (c *Chaos) lag() time.Duration {
	st := c.state.Load()
	numbers := numbersFor(st.settings.Seed, source{Services, gateway.DynamoDB}, "lag", st.lags.Add(1))
	return fraction(numbers, st.settings.Staleness)
}
