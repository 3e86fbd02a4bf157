// Command relational measures the relational store against PostgreSQL, through pgbouncer,
// which stands in for RDS Proxy, and holds the figures that it is to reach.
//
//	go run ./scripts/bench/relational [-only pipeline,modes,crowd,kills,search] [-small] [-check=false]
//
//	pipeline    ten statements as one pipeline beside ten round trips: at most 0.3
//	modes       pgx's execution modes through the pooler: which fail, and what each costs
//	crowd       500 clients over 10 server connections: no error, nothing that pins, p99 at most 5 times p50
//	kills       20 restarts of the database and 20 of the pooler under 200 writers: nothing lost, nothing twice,
//	            back within 2 s
//	search      1,000,000 objects: p95 under 50 ms, and the plan
//
// With -small it takes a minute, and all but the times are held. It needs pgbouncer.
//
// Two figures are taken beside the handlers that they are of: what the API adds to the bare
// query (TestOverhead in functions/internal/ledgerapi), and 1,000,000 events beside pgbench
// (TestProjection in functions/internal/ledgerprojector). scripts/bench/run has them all.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/command"
	"github.com/stowage-dev/stowage/shared/pgstore/migrations"
	"github.com/stowage-dev/stowage/shared/pgstore/pgtest"
)

// settings are how much is measured.
type settings struct {
	small    bool
	check    bool
	calls    int // of overhead, pipeline and modes, each
	clients  int
	seconds  int // of the crowd
	writers  int
	restarts int // of the database, and as many of the pooler
	objects  int
	searches int
}

// figure measures one thing. It fails when what has to hold does not; misses are those of
// times and ratios, which say little on a busy machine.
type figure struct {
	name string
	run  func(context.Context, *bench) error
}

// bench is one figure being measured.
type bench struct {
	settings
	dir    string
	misses []string
}

// hold notes a figure that was not reached.
func (b *bench) hold(ok bool, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if ok {
		fmt.Println("  " + text)
		return
	}
	fmt.Println("  MISSED " + text)
	b.misses = append(b.misses, text)
}

func main() {
	var s settings
	only := flag.String("only", "", "which figures, by name, separated by commas; empty: all")
	flag.BoolVar(&s.small, "small", false, "small sizes, for which no time is held")
	flag.BoolVar(&s.check, "check", true, "fail when a figure is missed")
	flag.IntVar(&s.calls, "calls", 0, "calls of each subject; 0: 3,000, or 200")
	flag.IntVar(&s.clients, "clients", 0, "clients of the crowd; 0: 500, or 50")
	flag.IntVar(&s.seconds, "seconds", 0, "how long the crowd calls; 0: 30, or 3")
	flag.IntVar(&s.writers, "writers", 0, "writers under kills; 0: 200, or 20")
	flag.IntVar(&s.restarts, "restarts", 0, "restarts of each; 0: 20, or 2")
	flag.IntVar(&s.objects, "objects", 0, "objects to search; 0: 1,000,000, or 10,000")
	flag.IntVar(&s.searches, "searches", 0, "searches; 0: 2,000, or 100")
	flag.Parse()
	s.fill()
	os.Exit(command.Run("relational", func(ctx context.Context) error { return run(ctx, *only, s) }))
}

// run measures the figures that are named, or all.
func run(ctx context.Context, only string, s settings) error {
	var missed []string
	for _, f := range []figure{
		{"pipeline", pipelined},
		{"modes", modes},
		{"crowd", crowd},
		{"kills", kills},
		{"search", searching},
	} {
		if only != "" && !slices.Contains(strings.Split(only, ","), f.name) {
			continue
		}
		fmt.Printf("== %s\n", f.name)
		begun := time.Now()
		m, err := measure(ctx, f, s)
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		missed = append(missed, m...)
		fmt.Printf("  (%s)\n", time.Since(begun).Round(time.Second))
	}
	if len(missed) > 0 && s.check && !s.small {
		return fmt.Errorf("missed: %s", strings.Join(missed, "; "))
	}
	return nil
}

func (s *settings) fill() {
	for _, f := range []struct {
		value       *int
		real, small int
	}{
		{&s.calls, 3000, 200}, {&s.clients, 500, 50}, {&s.seconds, 30, 3}, {&s.writers, 200, 20},
		{&s.restarts, 20, 2}, {&s.objects, 1_000_000, 10_000}, {&s.searches, 2000, 100},
	} {
		if *f.value == 0 {
			*f.value = f.real
			if s.small {
				*f.value = f.small
			}
		}
	}
}

func measure(ctx context.Context, f figure, s settings) (missed []string, err error) {
	dir, err := os.MkdirTemp("", "relational-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b := &bench{settings: s, dir: dir}
	err = f.run(ctx, b)
	return b.misses, err
}

// serve runs a server with a database of the newest schema.
func (b *bench) serve(ctx context.Context, change map[string]string) (*pgtest.Server, *pgtest.Database, error) {
	set := map[string]string{"max_connections": "300", "shared_buffers": "512MB", "max_wal_size": "4GB"}
	for k, v := range change {
		set[k] = v
	}
	server, err := pgtest.Start(ctx, b.dir+"/postgres", set)
	if err != nil {
		return nil, nil, err
	}
	d, err := server.Create(ctx, migrations.Latest())
	if err != nil {
		return nil, nil, errors.Join(err, server.Close())
	}
	return server, d, nil
}

// quantile returns the value below which a part of the times lies. It sorts them.
func quantile(times []time.Duration, q float64) time.Duration {
	slices.Sort(times)
	return times[min(int(q*float64(len(times))), len(times)-1)]
}
