package chaos

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// restartTimeout is how long an engine may take to come back.
const restartTimeout = time.Minute

// restarts kills engines and starts them again, each at most once at a time.
type restarts struct {
	engines map[string]Engine
	logger  *slog.Logger
	locks   map[string]*sync.Mutex // by service

	ctx    context.Context //nolint:containedctx // of what goes on in the background; it ends with close
	cancel context.CancelFunc
	mu     sync.Mutex // guards closed
	closed bool
	work   sync.WaitGroup
}

func newRestarts(cfg Config) *restarts {
	r := &restarts{engines: cfg.Engines, logger: cfg.Logger, locks: map[string]*sync.Mutex{}}
	for service := range cfg.Engines {
		r.locks[service] = &sync.Mutex{}
	}
	r.ctx, r.cancel = context.WithCancel(context.Background())
	return r
}

// begin restarts an engine in the background, unless that is under way.
func (r *restarts) begin(service string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed || !r.locks[service].TryLock() {
		return
	}
	r.work.Go(func() {
		defer r.locks[service].Unlock()
		if err := r.restart(r.ctx, service); err != nil {
			r.logger.Error("an engine did not come back", "service", service, "error", err)
		}
	})
}

// run restarts an engine and returns when it is back.
func (r *restarts) run(ctx context.Context, service string) error {
	r.locks[service].Lock()
	defer r.locks[service].Unlock()
	return r.restart(ctx, service)
}

func (r *restarts) restart(ctx context.Context, service string) error {
	ctx, cancel := context.WithTimeout(ctx, restartTimeout)
	defer cancel()
	begun := time.Now()
	if err := r.engines[service].Restart(ctx); err != nil {
		return err
	}
	r.logger.Info("an engine was killed and started again", "service", service, "took", time.Since(begun))
	return nil
}

func (r *restarts) close() {
	r.mu.Lock()
	r.closed = true
	r.mu.Unlock()
	r.cancel()
	r.work.Wait()
}
