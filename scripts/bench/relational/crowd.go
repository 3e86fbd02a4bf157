package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

// pinning are statements for which RDS Proxy keeps a connection to a client.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/rds-proxy-pinning.html
var pinning = regexp.MustCompile(`(?i)(statement|execute [^:]*): *(-- name[^\n]*\n)?\s*(SET |RESET |LISTEN|UNLISTEN|DEALLOCATE|DISCARD|PREPARE|DECLARE|CREATE +TEMP|LOAD )|pg_advisory_lock|execute (stmtcache|lrupsc|pgx)_`)

// crowd is many clients, each with a connection of its own to the pooler, over few servers'.
func crowd(ctx context.Context, b *bench) (err error) {
	server, d, err := b.serve(ctx, map[string]string{
		"log_statement": "all", "logging_collector": "on", "log_directory": b.dir, "log_filename": "statements.log", "log_rotation_size": "0",
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, server.Close()) }()
	pooler, err := d.StartPooler(ctx, b.dir+"/pgbouncer", 10, b.clients+50)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, pooler.Close()) }()
	cfg := pooler.Config(pgtest.API)
	cfg.MaxConns, cfg.Patience, cfg.ConnectTimeout = 1, time.Minute, time.Minute
	if err := fillOne(ctx, d); err != nil {
		return err
	}
	logged, err := logSize(b.dir)
	if err != nil {
		return err
	}

	var mu sync.Mutex
	var times []time.Duration
	var failures []error
	var wg sync.WaitGroup
	ready := make(chan struct{})
	end := make(chan struct{})
	for range b.clients {
		db, err := pgstore.Open(cfg) //nolint:contextcheck // it connects when it is used
		if err != nil {
			return err
		}
		defer db.Close()
		wg.Go(func() {
			if _, _, err := db.Entries(ctx, "alpha", pgstore.EntryFilter{}, 0, 10); err != nil { // connects
				mu.Lock()
				failures = append(failures, err)
				mu.Unlock()
				return
			}
			<-ready
			for {
				select {
				case <-end:
					return
				default:
				}
				begun := time.Now()
				_, _, err := db.Entries(ctx, "alpha", pgstore.EntryFilter{}, 0, 10)
				took := time.Since(begun)
				mu.Lock()
				times = append(times, took)
				if err != nil {
					failures = append(failures, err)
				}
				mu.Unlock()
			}
		})
	}
	time.Sleep(time.Duration(min(b.seconds, 10)) * time.Second) // until all have connected
	close(ready)
	time.Sleep(time.Duration(b.seconds) * time.Second)
	close(end)
	wg.Wait()
	p50, p99 := quantile(times, 0.5), quantile(times, 0.99)
	fmt.Printf("  %d clients over 10 connections: %d calls in %d s, p50 %s, p99 %s\n", b.clients, len(times), b.seconds, p50, p99)
	if len(failures) > 0 {
		return fmt.Errorf("%d errors, the first: %w", len(failures), failures[0])
	}
	pins, statements, err := pinned(b.dir, logged)
	if err != nil {
		return err
	}
	if len(pins) > 0 || statements < len(times) {
		return fmt.Errorf("%d of %d statements in the log pin, the first: %.3q", len(pins), statements, pins)
	}
	fmt.Printf("  0 errors, 0 of %d statements in PostgreSQL's log pin\n", statements)
	b.hold(p99 <= 5*p50, "p99 is %.1f times p50 (at most 5)", float64(p99)/float64(p50))
	return nil
}

func fillOne(ctx context.Context, d *pgtest.Database) error {
	writer, err := pgstore.Open(d.Config(pgtest.Writer)) //nolint:contextcheck // it connects when it is used
	if err != nil {
		return err
	}
	defer writer.Close()
	for rev := range int64(20) {
		if _, err := writer.Book(ctx, []ledger.Fact{{Workspace: "alpha", Object: "O", Rev: rev + 1, At: start(), Class: ledger.Standard, Bytes: rev}}, nil); err != nil {
			return err
		}
	}
	return nil
}

func logSize(dir string) (int, error) {
	text, err := readLog(dir)
	return len(text), err
}

func readLog(dir string) ([]byte, error) {
	text, err := os.ReadFile(filepath.Join(dir, "statements.log"))
	if err != nil {
		return nil, fmt.Errorf("read PostgreSQL's log: %w", err)
	}
	return text, nil
}

// pinned looks for statements that pin in what was logged from an offset on.
func pinned(dir string, from int) (pins []string, statements int, err error) {
	text, err := readLog(dir)
	if err != nil {
		return nil, 0, err
	}
	text = text[from:]
	for _, m := range pinning.FindAll(text, 10) {
		pins = append(pins, string(m))
	}
	statements = len(regexp.MustCompile(`LOG:  (statement|execute )`).FindAllIndex(text, -1))
	return pins, statements, nil
}
