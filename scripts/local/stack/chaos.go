package stack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/chaos"
	"github.com/stowage-dev/stowage/scripts/local/chaos/replica"
	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
	"github.com/stowage-dev/stowage/scripts/local/gateway"
)

// restart restarts an engine that is there by the time it is called.
type restart func(ctx context.Context) error

// Restart implements chaos.Engine.
func (r restart) Restart(ctx context.Context) error { return r(ctx) }

// openChaos makes what has things go wrong on purpose, before the parts in which
// they do. It is calm until it is told otherwise.
func (s *Stack) openChaos() {
	cfg := chaos.Config{
		Logger:  s.cfg.Logger,
		Names:   s.chaosNames,
		Engines: map[string]chaos.Engine{gateway.S3: restart(func(ctx context.Context) error { return s.S3.Restart(ctx) })},
	}
	if s.cfg.DynamoDBEndpoint == "" {
		cfg.Engines[gateway.DynamoDB] = restart(func(ctx context.Context) error { return s.DynamoDB.Restart(ctx) })
		cfg.Replica = s.startReplica
	}
	if len(s.Model.Databases) > 0 {
		cfg.Engines["postgres"] = restart(func(ctx context.Context) error {
			return s.eachDatabase(func(db *Database) error { return db.Engine.Restart(ctx) })
		})
		cfg.Engines["pgbouncer"] = restart(func(ctx context.Context) error {
			return s.eachDatabase(func(db *Database) error {
				if db.Pooler == nil {
					return nil
				}
				return db.Pooler.Restart(ctx)
			})
		})
	}
	for _, t := range s.Model.Tables {
		table := chaos.Table{Name: t.Name, Key: keysOf(t)}
		for _, i := range t.GlobalIndexes {
			table.Indexes = append(table.Indexes, i.Name)
		}
		cfg.Tables = append(cfg.Tables, table)
	}
	s.Chaos = chaos.New(cfg)
}

func (s *Stack) eachDatabase(f func(*Database) error) error {
	var errs []error
	for _, db := range s.Databases {
		errs = append(errs, f(db))
	}
	return errors.Join(errs...)
}

// chaosNames are those for which faults may have rates of their own.
func (s *Stack) chaosNames() []string {
	m := s.present.Load()
	var names []string
	for _, f := range m.Functions {
		names = append(names, f.Name)
	}
	for _, q := range m.Queues {
		names = append(names, q.Name)
	}
	return names
}

// startReplica runs a copy of the tables, of which nothing is kept.
func (s *Stack) startReplica(ctx context.Context, lag func() time.Duration) (chaos.Replica, error) {
	log, err := s.logFile("replica")
	if err != nil {
		return nil, err
	}
	dir := s.state.data("replica")
	if err := os.RemoveAll(dir); err != nil {
		return nil, fmt.Errorf("clear the replica of the tables: %w", err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make room for the replica of the tables: %w", err)
	}
	return replica.Start(ctx, replica.Config{
		Engine: dynamodb.Config{
			Program: dynamodb.Program(s.cfg.NodeModules), DBPath: filepath.Join(dir, "dynamodb.sqlite"), Tables: engineTables(s.Model.Tables), Stderr: log, Logger: s.cfg.Logger,
		},
		Primary: s.DynamoDB.Endpoint(), Lag: lag, Region: s.region, Logger: s.cfg.Logger,
	})
}
