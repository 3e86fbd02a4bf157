package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

// kills restarts the database and the pooler under writers. A restart is a kill -9.
func kills(ctx context.Context, b *bench) (err error) {
	server, d, err := b.serve(ctx, nil) // with fsync
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	pooler, err := d.StartPooler(ctx, b.dir+"/pgbouncer", 20, b.writers+50)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pooler.Close()) }()
	cfg := pooler.Config(pgtest.API)
	cfg.MaxConns, cfg.Patience, cfg.ConnectTimeout = int32(b.writers), 2*time.Minute, time.Minute
	db, err := pgstore.Open(cfg) //nolint:contextcheck // it connects when it is used
	if err != nil {
		return err
	}
	defer db.Close()

	w := &writers{db: db}
	w.start(ctx, b.writers)
	var slowest time.Duration
	for round := range 2 * b.restarts {
		w.await(ctx, 50)
		if round%2 == 0 {
			err = server.Restart(ctx)
		} else {
			err = pooler.Restart(ctx)
		}
		if err != nil {
			return err
		}
		back := time.Now()
		w.await(ctx, 1)
		slowest = max(slowest, time.Since(back))
	}
	w.await(ctx, 50)
	w.stop.Store(true)
	w.wg.Wait()
	if w.failure != nil {
		return fmt.Errorf("a writer was refused for good: %w", w.failure)
	}
	if err := w.verify(ctx, server, d); err != nil {
		return err
	}
	fmt.Printf("  %d restarts of the database, %d of the pooler, %d writers: %d acknowledged, 0 lost, 0 twice\n", b.restarts, b.restarts, b.writers, w.acks.Load())
	b.hold(slowest <= 2*time.Second, "back after %s at most (at most 2 s)", slowest.Round(time.Millisecond))
	return nil
}

// writers book adjustments, each in a workspace of its own.
type writers struct {
	db      *pgstore.DB
	wg      sync.WaitGroup
	stop    atomic.Bool
	acks    atomic.Int64
	ids     sync.Map
	once    sync.Once
	failure error
}

func (w *writers) start(ctx context.Context, n int) {
	for i := range n {
		w.wg.Go(func() {
			for k := 0; !w.stop.Load(); k++ {
				id := fmt.Sprintf("A-%d-%d", i, k)
				a := ledger.Adjustment{
					Workspace: fmt.Sprintf("ws-%d", i), ID: id, Class: ledger.Standard, Bytes: 1, From: start(), Reason: "a benchmark",
					BookedBy: "bench", BookedAt: start().Add(time.Hour),
				}
				if _, _, err := w.db.Adjust(ctx, a, pgstore.Key{Name: id, Request: []byte(id)}); err != nil {
					w.once.Do(func() { w.failure = err })
					return
				}
				w.ids.Store(id, true)
				w.acks.Add(1)
			}
		})
	}
}

// await waits for some more acknowledgements.
func (w *writers) await(ctx context.Context, more int64) {
	for target := w.acks.Load() + more; w.acks.Load() < target && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
}

// verify compares what was acknowledged with what is booked.
func (w *writers) verify(ctx context.Context, server *pgtest.Server, d *pgtest.Database) error {
	admin, err := server.Admin(ctx, d.Name)
	if err != nil {
		return err
	}
	defer func() { _ = admin.Close(ctx) }()
	rows, err := admin.Query(ctx, "SELECT journal, count(*), sum(bytes) FILTER (WHERE account = 'adjusted') FROM stowage.entries GROUP BY journal")
	if err != nil {
		return fmt.Errorf("read the entries: %w", err)
	}
	defer rows.Close()
	booked := map[string]bool{}
	for rows.Next() {
		var id string
		var entries, bytes int64
		if err := rows.Scan(&id, &entries, &bytes); err != nil {
			return fmt.Errorf("read an entry: %w", err)
		}
		if entries != 2 || bytes != 1 {
			return fmt.Errorf("%s has %d entries of %d bytes", id, entries, bytes)
		}
		booked[id] = true
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read the entries: %w", err)
	}
	var lost []error
	w.ids.Range(func(id, _ any) bool {
		if s, ok := id.(string); ok && !booked[s] {
			lost = append(lost, fmt.Errorf("%s was acknowledged and is not there", s))
		}
		return true
	})
	return errors.Join(lost...)
}
