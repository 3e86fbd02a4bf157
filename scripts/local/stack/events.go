package stack

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/bus"
	"github.com/stowage-dev/stowage/scripts/local/chaos"
	"github.com/stowage-dev/stowage/scripts/local/sources"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

func (s *Stack) startBus(ctx context.Context) error {
	declared := busOf(s.Model)
	cfg := bus.Config{
		Buses: declared.Buses, Rules: declared.Rules, Archives: declared.Archives, Schedules: declared.Schedules,
		Account: s.account, Region: s.region, StateDir: s.state.data("bus"), EventsPath: s.state.events(),
		Permit: s.permitEvent, Deliver: s.deliver, DeadLetter: s.deadLetter, Observe: s.console.EventPut, Logger: s.cfg.Logger, Now: s.cfg.Now,
	}
	var err error
	if s.Bus, err = bus.New(cfg); err != nil {
		return err
	}
	if err := s.Bus.Start(ctx); err != nil {
		return err
	}
	s.onClose("the bus", s.Bus.Close)
	return nil
}

func busOf(m *template.Model) bus.Declared {
	var out bus.Declared
	for _, b := range m.Buses {
		out.Buses = append(out.Buses, bus.EventBus{Name: b.Name, ARN: b.ARN})
	}
	for _, r := range m.Rules {
		rule := bus.Rule{Name: r.Name, ARN: r.ARN, Bus: r.Bus, Pattern: r.Pattern, Schedule: r.Schedule, Disabled: !r.Enabled}
		for _, t := range r.Targets {
			rule.Targets = append(rule.Targets, target(t))
		}
		out.Rules = append(out.Rules, rule)
	}
	for _, a := range m.Archives {
		out.Archives = append(out.Archives, bus.Archive{Name: a.Name, ARN: a.ARN, SourceARN: a.BusARN, Pattern: a.Pattern, Retention: a.Retention})
	}
	for _, sch := range m.Schedules {
		out.Schedules = append(out.Schedules, bus.Schedule{Name: sch.Name, ARN: sch.ARN, Expression: sch.Expression, TimeZone: sch.TimeZone,
			Disabled: !sch.Enabled, Target: target(sch.Target)})
	}
	return out
}

func target(t template.Target) bus.Target {
	out := bus.Target{ID: t.ID, ARN: t.ARN, Input: t.Input, InputPath: t.InputPath, DeadLetterARN: t.DeadLetterARN,
		Retry: bus.RetryPolicy{MaxAttempts: t.MaxRetries, MaxAge: t.MaxAge}}
	if t.Transformer != nil {
		out.InputTransformer = &bus.InputTransformer{Paths: t.Transformer.Paths, Template: t.Transformer.Template}
	}
	return out
}

func (s *Stack) openNotifier() error {
	cfg := sources.NotifierConfig{Sender: s.Chaos.Sender(chaos.Notifications, s.Broker), Functions: s.Host, Bus: busPutter{s.Bus}, Permit: s.permitNotification,
		Account: s.account, Region: s.region, Logger: s.cfg.Logger, Buckets: notifications(s.Model)}
	var err error
	if s.notifier, err = sources.NewNotifier(cfg); err != nil {
		return fmt.Errorf("read the buckets' notifications: %w", err)
	}
	return nil
}

func notifications(m *template.Model) []sources.BucketNotifications {
	var all []sources.BucketNotifications
	for _, b := range m.Buckets {
		declared := sources.BucketNotifications{Bucket: b.Name, EventBridge: b.EventBridge}
		for _, n := range b.Notifications {
			declared.Notifications = append(declared.Notifications, sources.Notification(n))
		}
		all = append(all, declared)
	}
	return all
}

// startSources runs the event source mappings until the stack closes.
func (s *Stack) startSources(ctx context.Context) error {
	cfg := sources.Config{
		Invoker: s.Host, Broker: s.Broker, Sender: s.Broker, Objects: objectPutter{s}, Permit: s.permitFunction, StreamEndpoint: s.DynamoDB.Endpoint(),
		CheckpointPath: s.state.data("checkpoints.db"), Delivery: s.Chaos, QueueRetryDelay: s.cfg.QueueRetryDelay, StreamRetryDelay: s.cfg.StreamRetryDelay, Origin: s.tracing.origin, Region: s.region, Logger: s.cfg.Logger, Now: s.cfg.Now,
	}
	var err error
	if cfg.Queues, cfg.Streams, err = mappings(s.Model); err != nil {
		return err
	}
	if s.runner, err = sources.New(cfg); err != nil {
		return err
	}
	if err := s.runner.Open(); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	stopped := make(chan error, 1)
	go func() { stopped <- s.runner.Run(ctx) }()
	s.onClose("the event source mappings", func() error {
		stop()
		return <-stopped
	})
	return nil
}

func mappings(m *template.Model) (queues []sources.QueueMapping, streams []sources.StreamMapping, err error) {
	for _, declared := range m.Mappings {
		if serviceOf(declared.SourceARN) == "sqs" {
			queues = append(queues, queueMapping(declared))
			continue
		}
		stream, err := streamMapping(declared, m.Tables)
		if err != nil {
			return nil, nil, err
		}
		streams = append(streams, stream)
	}
	return queues, streams, nil
}

func queueMapping(m template.Mapping) sources.QueueMapping {
	return sources.QueueMapping{
		ID: m.ID, QueueARN: m.SourceARN, FunctionARN: m.FunctionARN, Disabled: !m.Enabled, BatchSize: m.BatchSize, Window: m.Window,
		Filters: m.Filters, MaxConcurrency: m.MaxConcurrency, ReportBatchItemFailures: m.ReportBatchItemFailures,
	}
}

func streamMapping(m template.Mapping, tables []template.Table) (sources.StreamMapping, error) {
	i := slices.IndexFunc(tables, func(t template.Table) bool { return t.StreamARN == m.SourceARN })
	if i < 0 {
		return sources.StreamMapping{}, fmt.Errorf("%s: no table has the stream %s", m.ConstructPath, m.SourceARN)
	}
	out := sources.StreamMapping{
		ID: m.ID, Table: tables[i].Name, StreamARN: m.SourceARN, FunctionARN: m.FunctionARN, Disabled: !m.Enabled,
		BatchSize: m.BatchSize, Window: m.Window, Filters: m.Filters, ParallelizationFactor: m.ParallelizationFactor,
		ReportBatchItemFailures: m.ReportBatchItemFailures, BisectOnError: m.BisectOnError, MaxRetries: m.MaxRetries,
		MaxRecordAge: max(m.MaxRecordAge, 0), OnFailureARN: m.OnFailureARN,
	}
	switch m.StartingPosition {
	case "TRIM_HORIZON":
	case "LATEST":
		out.FromLatest = true
	default:
		return out, fmt.Errorf("%s: starting position %q is neither TRIM_HORIZON nor LATEST", m.ConstructPath, m.StartingPosition)
	}
	return out, nil
}

// wakeStreams spares the first change after a quiet time the wait for the
// pollers' next turn.
func (s *Stack) wakeStreams(operation string, status int) {
	if status >= 300 {
		return
	}
	for _, prefix := range []string{"Put", "Update", "Delete", "Transact", "BatchWrite"} {
		if strings.HasPrefix(operation, prefix) {
			s.runner.Wake("")
			return
		}
	}
}
