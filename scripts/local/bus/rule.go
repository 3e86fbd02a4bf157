package bus

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/bus/schedule"
	"github.com/stowage-dev/stowage/scripts/local/pattern"
)

// rule is a Rule that has been checked.
type rule struct {
	Rule
	bus     string
	pattern *pattern.Pattern // nil: only on a schedule
	targets []target
}

// target is a Target that has been checked.
type target struct {
	Target
	path        path         // of InputPath
	transformer *transformer // of InputTransformer
	maxAttempts int
	maxAge      time.Duration
}

// timetable is when a rule or schedule fires.
type timetable struct {
	expression *schedule.Expression
	start, end time.Time
	// atStart says that a rate fires when it starts, not one period later.
	atStart bool
}

// Bounds of a retry policy.
// https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_RetryPolicy.html
const (
	maxRetryAttempts = 185
	minEventAge      = time.Minute
	maxEventAge      = 24 * time.Hour
)

func (c *compiler) rules(declared []Rule) []error {
	var errs []error
	for _, r := range declared {
		if err := c.rule(r); err != nil {
			errs = append(errs, fmt.Errorf("rule %s: %w", r.Name, err))
		}
	}
	return errs
}

func (c *compiler) rule(r Rule) error {
	compiled := rule{Rule: r, bus: busName(r.Bus)}
	if !c.plan.buses[compiled.bus] {
		return fmt.Errorf("event bus %q is not declared", compiled.bus)
	}
	if len(r.Pattern) == 0 && r.Schedule == "" {
		return errors.New("has neither an event pattern nor a schedule")
	}
	if len(r.Pattern) > 0 {
		p, err := pattern.Compile(r.Pattern)
		if err != nil {
			return err
		}
		compiled.pattern = p
	}
	var err error
	if compiled.targets, err = c.targets(r.Targets); err != nil {
		return err
	}
	if r.Schedule != "" {
		e, err := schedule.Parse(r.Schedule, time.UTC)
		switch {
		case err != nil:
			return err
		case e.Kind() == schedule.At:
			return fmt.Errorf("schedule %q: a rule takes rate or cron", r.Schedule)
		case compiled.bus != DefaultBus:
			return fmt.Errorf("schedule %q: only rules of the default bus may have one", r.Schedule)
		}
		if !r.Disabled {
			c.plan.timers = append(c.plan.timers, &timer{
				name: r.Name, declared: r, timetable: timetable{expression: e},
				fire: func(at time.Time) error { return c.fireRule(compiled, at) },
			})
		}
	}
	if !r.Disabled {
		c.plan.rules = append(c.plan.rules, compiled)
	}
	return nil
}

func (c *compiler) targets(targets []Target) ([]target, error) {
	var all []target
	seen := map[string]bool{}
	for _, t := range targets {
		if t.ID == "" || seen[t.ID] {
			return nil, fmt.Errorf("target %q: the id must be set and stand once in a rule", t.ID)
		}
		seen[t.ID] = true
		if t.Input != "" && !json.Valid([]byte(t.Input)) {
			return nil, fmt.Errorf("target %s: the input is not JSON", t.ID)
		}
		compiled, err := c.target(t)
		if err != nil {
			return nil, fmt.Errorf("target %s: %w", t.ID, err)
		}
		all = append(all, compiled)
	}
	return all, nil
}

func (c *compiler) target(t Target) (target, error) {
	compiled := target{Target: t, maxAttempts: maxRetryAttempts, maxAge: maxEventAge}
	inputs := 0
	for _, set := range []bool{t.Input != "", t.InputPath != "", t.InputTransformer != nil} {
		if set {
			inputs++
		}
	}
	switch {
	case t.ARN == "":
		return compiled, errors.New("has no ARN")
	case inputs > 1:
		return compiled, errors.New("only one of Input, InputPath and InputTransformer may be set")
	case t.DeadLetterARN != "" && c.cfg.DeadLetter == nil:
		return compiled, errors.New("has a dead-letter queue, but DeadLetter is not set")
	}
	var err error
	if t.InputPath != "" {
		if compiled.path, err = parsePath(t.InputPath); err != nil {
			return compiled, err
		}
	}
	if t.InputTransformer != nil {
		if compiled.transformer, err = newTransformer(*t.InputTransformer); err != nil {
			return compiled, err
		}
	}
	if n := t.Retry.MaxAttempts; n != nil {
		if *n < 0 || *n > maxRetryAttempts {
			return compiled, fmt.Errorf("maximum retry attempts %d must lie between 0 and %d", *n, maxRetryAttempts)
		}
		compiled.maxAttempts = *n
	}
	if age := t.Retry.MaxAge; age != 0 {
		if age < minEventAge || age > maxEventAge {
			return compiled, fmt.Errorf("maximum event age %s must lie between %s and %s", age, minEventAge, maxEventAge)
		}
		compiled.maxAge = age
	}
	return compiled, nil
}

// payload is what a target receives for an event.
func (t target) payload(r Rule, ev json.RawMessage, received time.Time) ([]byte, error) {
	switch {
	case t.Input != "":
		return []byte(t.Input), nil
	case t.InputPath != "":
		v, ok := t.path.lookup(ev)
		if !ok {
			return []byte("null"), nil
		}
		return v, nil
	case t.transformer != nil:
		return t.transformer.apply(r, ev, received)
	default:
		return ev, nil
	}
}
