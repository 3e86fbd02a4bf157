package bus

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/bus/schedule"
)

// timer fires a rule or a schedule.
type timer struct {
	name     string
	declared any // Rule or Schedule
	timetable
	fire func(at time.Time) error
	stop context.CancelFunc // nil: it does not run
}

func (c *compiler) schedules(declared []Schedule) []error {
	var errs []error
	for _, s := range declared {
		if err := c.schedule(s); err != nil {
			errs = append(errs, fmt.Errorf("schedule %s: %w", s.Name, err))
		}
	}
	return errs
}

func (c *compiler) schedule(s Schedule) error {
	declared := s
	zone := time.UTC
	if s.TimeZone != "" {
		var err error
		if zone, err = time.LoadLocation(s.TimeZone); err != nil {
			return fmt.Errorf("time zone: %w", err)
		}
	}
	e, err := schedule.Parse(s.Expression, zone)
	if err != nil {
		return err
	}
	if s.Target.InputPath != "" || s.Target.InputTransformer != nil {
		return fmt.Errorf("the target of a schedule takes Input, not a path or a transformer")
	}
	if s.Target.ID == "" {
		s.Target.ID = s.Name
	}
	t, err := c.target(s.Target)
	if err != nil {
		return err
	}
	if s.Disabled {
		return nil
	}
	c.plan.timers = append(c.plan.timers, &timer{
		name:      s.Name,
		declared:  declared,
		timetable: timetable{expression: e, start: s.Start, end: s.End, atStart: e.Kind() == schedule.Rate},
		fire:      func(at time.Time) error { return c.invoke(s, t, at) },
	})
	return nil
}

// runTimer waits for one time after the other. Times that pass while the machine sleeps are not
// made up for.
func (b *Bus) runTimer(ctx context.Context, t timer) {
	next, ok := t.first(b.cfg.Now())
	for ok {
		select {
		case <-ctx.Done():
			return
		case <-time.After(next.Sub(b.cfg.Now())):
		}
		if err := t.fire(next); err != nil {
			b.cfg.Logger.Error("schedule could not fire", "schedule", t.name, "error", err)
		}
		last := next
		for ok && !next.After(b.cfg.Now()) {
			next, ok = t.after(last)
			last = next
		}
	}
}

// first is the first time at or after now.
func (t timetable) first(now time.Time) (time.Time, bool) {
	from := now
	if t.start.After(now) {
		from = t.start
	}
	if t.atStart {
		// A rate counts from its start date; what lies in the past is gone.
		next := from
		if !t.start.IsZero() && t.start.Before(now) {
			for next = t.start; next.Before(now); {
				next, _ = t.expression.Next(next)
			}
		}
		return next, t.end.IsZero() || !next.After(t.end)
	}
	if t.expression.Kind() != schedule.Rate && t.start.After(now) {
		from = from.Add(-time.Nanosecond) // the start itself counts
	}
	return t.after(from)
}

func (t timetable) after(last time.Time) (time.Time, bool) {
	next, ok := t.expression.Next(last)
	return next, ok && (t.end.IsZero() || !next.After(t.end))
}

// fireRule puts the event of a scheduled rule.
func (b *Bus) fireRule(r rule, at time.Time) error {
	ev := b.newEvent(Entry{
		Source: "aws.events", DetailType: "Scheduled Event", Detail: json.RawMessage("{}"),
		Resources: []string{r.ARN}, Time: at,
	})
	raw, err := ev.encode()
	if err != nil {
		return err
	}
	var all []delivery
	for _, t := range r.targets {
		all = append(all, b.newDelivery(r, t, ev, raw))
	}
	return b.outbox.add(all)
}

// invoke sends the input of a schedule to its target.
func (b *Bus) invoke(s Schedule, t target, at time.Time) error {
	input := s.Target.Input
	if input == "" {
		input = "{}"
	}
	scheduled, id := at.UTC().Format(time.RFC3339), b.cfg.NewID()
	payload := strings.NewReplacer(
		"<aws.scheduler.schedule-arn>", s.ARN,
		"<aws.scheduler.scheduled-time>", scheduled,
		"<aws.scheduler.execution-id>", id,
	).Replace(input)
	now := b.cfg.Now()
	return b.outbox.add([]delivery{{
		TargetARN: t.ARN, DeadLetterARN: t.DeadLetterARN, Event: []byte(payload), Payload: []byte(payload),
		Created: now, Due: now, MaxRetries: t.maxAttempts, MaxAge: t.maxAge,
		ScheduleARN: s.ARN, ExecutionID: id, ScheduledTime: scheduled,
	}})
}
