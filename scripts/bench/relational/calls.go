package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

// through runs f with a database that holds some entries, and a pooler before it.
func (b *bench) through(ctx context.Context, f func(d *pgtest.Database, p *pgtest.Pooler) error) (err error) {
	server, d, err := b.serve(ctx, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	pooler, err := d.StartPooler(ctx, b.dir+"/pgbouncer", 10, 1000)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pooler.Close()) }()
	writer, err := pgstore.Open(d.Config(pgtest.Writer)) //nolint:contextcheck // it connects when it is used
	if err != nil {
		return err
	}
	defer writer.Close()
	for batch := range 100 {
		var facts []ledger.Fact
		for i := range 100 {
			facts = append(facts, ledger.Fact{Workspace: "alpha", Object: object(batch*100 + i), Rev: 1, At: start().Add(time.Duration(batch) * time.Minute), Class: ledger.Standard, Bytes: 1000})
		}
		if _, err := writer.Book(ctx, facts, nil); err != nil {
			return err
		}
	}
	return f(d, pooler)
}

func start() time.Time { return time.Date(2026, 10, 1, 0, 0, 0, 0, time.UTC) }

// object is a ULID that ends with n.
func object(n int) string { return fmt.Sprintf("01KB3Z5V0QJ8W4N6T2%08d", n) }

// connect makes a bare connection through the pooler.
func connect(ctx context.Context, cfg pgstore.Config, mode pgx.QueryExecMode) (*pgx.Conn, error) {
	conn, before, err := cfg.Connector()
	if err != nil {
		return nil, err
	}
	if err := before(ctx, conn); err != nil {
		return nil, err
	}
	conn.DefaultQueryExecMode = mode
	conn.StatementCacheCapacity, conn.DescriptionCacheCapacity, conn.Tracer = 512, 512, nil
	c, err := pgx.ConnectConfig(ctx, conn)
	if err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	return c, nil
}

// alternate calls each subject in turn, so that whatever else the machine does meets all.
func (b *bench) alternate(subjects ...func() error) ([][]time.Duration, error) {
	times := make([][]time.Duration, len(subjects))
	for n := range b.calls + 50 {
		for i, call := range subjects {
			begun := time.Now()
			if err := call(); err != nil {
				return nil, fmt.Errorf("subject %d: %w", i, err)
			}
			if n >= 50 {
				times[i] = append(times[i], time.Since(begun))
			}
		}
	}
	return times, nil
}

func pipelined(ctx context.Context, b *bench) error {
	return b.through(ctx, func(_ *pgtest.Database, p *pgtest.Pooler) error {
		conn, err := connect(ctx, p.Config(pgtest.API), pgx.QueryExecModeExec)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close(ctx) }()
		const statements = 10
		one := func() error {
			batch := &pgx.Batch{}
			for i := range statements {
				batch.Queue("SELECT $1::int", i)
			}
			return conn.SendBatch(ctx, batch).Close()
		}
		ten := func() error {
			for i := range statements {
				if _, err := conn.Exec(ctx, "SELECT $1::int", i); err != nil {
					return err //nolint:wrapcheck // measured
				}
			}
			return nil
		}
		times, err := b.alternate(one, ten)
		if err != nil {
			return err
		}
		ratio := float64(quantile(times[0], 0.5)) / float64(quantile(times[1], 0.5))
		fmt.Printf("  p50: pipeline %s, ten round trips %s\n", quantile(times[0], 0.5), quantile(times[1], 0.5))
		b.hold(ratio <= 0.3, "pipeline beside round trips: %.3f (at most 0.3)", ratio)
		return nil
	})
}

// modes tells why QueryExecModeExec was chosen. Two connections share the server's, so that
// what one of them prepares the other one meets.
func modes(ctx context.Context, b *bench) error {
	return b.through(ctx, func(_ *pgtest.Database, p *pgtest.Pooler) error {
		for _, mode := range []pgx.QueryExecMode{
			pgx.QueryExecModeCacheStatement, pgx.QueryExecModeCacheDescribe, pgx.QueryExecModeDescribeExec, pgx.QueryExecModeExec, pgx.QueryExecModeSimpleProtocol,
		} {
			var times []time.Duration
			failed := 0
			conns := make([]*pgx.Conn, 12)
			for i := range conns {
				var err error
				if conns[i], err = connect(ctx, p.Config(pgtest.API), mode); err != nil {
					return err
				}
			}
			for n := range b.calls {
				begun := time.Now()
				var got int
				err := conns[n%len(conns)].QueryRow(ctx, "SELECT count(*) FROM stowage.prices WHERE class = $1", "STANDARD").Scan(&got)
				if err != nil {
					failed++
					continue
				}
				times = append(times, time.Since(begun))
			}
			for _, c := range conns {
				_ = c.Close(ctx)
			}
			p50 := time.Duration(0)
			if len(times) > 0 {
				p50 = quantile(times, 0.5)
			}
			fmt.Printf("  %-16s p50 %-10s failed %d of %d\n", mode, p50, failed, b.calls)
			if mode == pgx.QueryExecModeExec && failed > 0 {
				return errors.New("the chosen mode fails on a pooler")
			}
		}
		return nil
	})
}
