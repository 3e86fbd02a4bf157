// Package replica keeps a copy of DynamoDB tables that lags behind them, as
// global secondary indexes lag behind their table.
//
// It is an engine of its own, filled with the tables' items once and with the
// changes in their streams from then on. The changes of an item are applied in
// their order, each batch after a wait: so the copy shows each item as it was at
// some moment, and reaches the tables once nothing changes any more. Indexes are
// the engine's own, so that what a query gives (projections, order, pages) is what
// the tables' engine would give.
//
// Tables without a stream of new images cannot be followed and are left out.
package replica

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/engines/dynamodb"
	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/sources"
)

// Config configures a Replica. Every field but Logger is required.
type Config struct {
	// Engine runs the copy: its tables are those that are copied.
	Engine dynamodb.Config
	// Primary is the URL of the engine whose tables are copied.
	Primary string
	// Lag is how long to wait before changes that were read are applied.
	Lag    func() time.Duration
	Region string
	Logger *slog.Logger // nil: silent
}

// Replica is a running copy. It is safe for concurrent use.
type Replica struct {
	engine *dynamodb.Engine
	stop   context.CancelFunc
	done   sync.WaitGroup
	err    error // of following; written before done
}

// Start copies the tables and follows them. The replica stops on Close.
func Start(ctx context.Context, cfg Config) (*Replica, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	followed := cfg.Engine
	followed.Tables = slices.DeleteFunc(slices.Clone(cfg.Engine.Tables), func(t dynamodb.Table) bool { return !strings.HasPrefix(t.StreamView, "NEW_") })
	mappings := mappings(followed.Tables)
	for i := range followed.Tables {
		followed.Tables[i].StreamView = "" // nobody follows the copy
	}
	life, stop := context.WithCancel(context.WithoutCancel(ctx))
	engine, err := dynamodb.Start(life, followed)
	if err != nil {
		stop()
		return nil, fmt.Errorf("start the replica: %w", err)
	}
	r := &Replica{engine: engine, stop: stop}
	if err := r.follow(ctx, life, cfg, mappings); err != nil {
		return nil, errors.Join(fmt.Errorf("start the replica: %w", err), r.Close())
	}
	return r, nil
}

// mappings are event source mappings, each with its table for a function.
func mappings(tables []dynamodb.Table) []sources.StreamMapping {
	var all []sources.StreamMapping
	for _, t := range tables {
		all = append(all, sources.StreamMapping{
			ID: t.Name, Table: t.Name, StreamARN: t.Name, FunctionARN: t.Name, MaxRetries: -1, ParallelizationFactor: lanes,
		})
	}
	return all
}

// lanes are the batches that can wait at a time: more of them, and some items lag
// while others do not.
const lanes = 4

// follow copies what is there. The streams are read from their beginning: what the
// copy has already is written once more, older first, which is a lag like any other.
func (r *Replica) follow(ctx, life context.Context, cfg Config, mappings []sources.StreamMapping) error {
	from, to := newClient(cfg.Primary, cfg.Region), newClient(r.engine.Endpoint(), cfg.Region)
	for _, m := range mappings {
		if err := copyTable(ctx, from, to, m.Table); err != nil {
			return err
		}
	}
	runner, err := sources.New(sources.Config{
		Streams: mappings, StreamEndpoint: cfg.Primary, Region: cfg.Region, Logger: cfg.Logger,
		Invoker: applier{to: to}, Delivery: late{lag: cfg.Lag},
	})
	if err != nil {
		return fmt.Errorf("follow the tables: %w", err)
	}
	r.done.Go(func() { r.err = runner.Run(life) })
	return nil
}

// Endpoint is the URL of the copy's engine.
func (r *Replica) Endpoint() string { return r.engine.Endpoint() }

// Close stops the copy and returns when nothing is left of it.
func (r *Replica) Close() error {
	r.stop()
	r.done.Wait()
	return errors.Join(r.err, r.engine.Close())
}

// late delivers each batch after a wait.
type late struct{ lag func() time.Duration }

// Deliver implements sources.Delivery.
func (l late) Deliver(ctx context.Context, b sources.Batch, invoke func(context.Context, []json.RawMessage) sources.Outcome) sources.Outcome {
	timer := time.NewTimer(l.lag())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return sources.Outcome{Err: context.Cause(ctx)}
	case <-timer.C:
		return invoke(ctx, b.Records)
	}
}

// applier stands in for a function: it writes the changes of its table to the copy.
type applier struct{ to *client }

// Invoke implements sources.Invoker.
func (a applier) Invoke(ctx context.Context, table string, payload []byte) (lambda.Response, error) {
	var event struct {
		Records []struct {
			Change struct {
				Keys, NewImage map[string]json.RawMessage
			} `json:"dynamodb"`
		}
	}
	if err := json.Unmarshal(payload, &event); err != nil {
		return lambda.Response{}, fmt.Errorf("decode the changes of %s: %w", table, err)
	}
	for _, r := range event.Records {
		var err error
		if len(r.Change.NewImage) > 0 {
			err = a.to.call(ctx, "PutItem", map[string]any{"TableName": table, "Item": r.Change.NewImage}, nil)
		} else {
			err = a.to.call(ctx, "DeleteItem", map[string]any{"TableName": table, "Key": r.Change.Keys}, nil)
		}
		if err != nil {
			return lambda.Response{RequestID: table, FunctionError: "Unhandled", Payload: []byte(err.Error())}, nil //nolint:nilerr // the batch comes again
		}
	}
	return lambda.Response{RequestID: table}, nil
}

// copyTable copies every item.
func copyTable(ctx context.Context, from, to *client, table string) error {
	in := map[string]any{"TableName": table, "ConsistentRead": true}
	for {
		var page struct {
			Items            []map[string]json.RawMessage
			LastEvaluatedKey map[string]json.RawMessage
		}
		if err := from.call(ctx, "Scan", in, &page); err != nil {
			return fmt.Errorf("copy %s: %w", table, err)
		}
		for _, item := range page.Items {
			if err := to.call(ctx, "PutItem", map[string]any{"TableName": table, "Item": item}, nil); err != nil {
				return fmt.Errorf("copy %s: %w", table, err)
			}
		}
		if len(page.LastEvaluatedKey) == 0 {
			return nil
		}
		in["ExclusiveStartKey"] = page.LastEvaluatedKey
	}
}
