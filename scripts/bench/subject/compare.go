package subject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"
)

// Side is one of the two that are compared.
type Side struct {
	Config
	// Events makes the n events of its next turn. What that takes does not count.
	Events func(ctx context.Context, n int) ([][]byte, error)
}

// Comparison is of the processor time that two subjects take for the same work.
type Comparison struct {
	Title  string  // what is measured: the first line that is printed
	Rounds int     // turns of each that count, at least 1
	Events int     // of a turn, at least 1
	Warm   int     // events before the first turn, which do not count
	Size   int     // how many things an event holds, at least 1: the figures are for one of them
	Most   float64 // the ratio to hold, printed beside it
}

// Run starts the two and has them take turns, so that whatever else the machine does meets
// both alike. It prints the median of each and returns their ratio.
func (c Comparison) Run(ctx context.Context, w io.Writer, function, peer Side) (ratio float64, err error) {
	var all []*contender
	for _, side := range []Side{function, peer} {
		one := &contender{side: side}
		if one.subject, err = Start(ctx, side.Config); err != nil {
			return 0, err
		}
		defer func() { err = errors.Join(err, one.subject.Close()) }()
		all = append(all, one)
	}
	if err := c.measure(ctx, all); err != nil {
		return 0, err
	}
	fmt.Fprintln(w, c.Title)
	for _, one := range all {
		fmt.Fprintf(w, "%-24s %8.0f us\n", one.side.Name, float64(median(one.times).Nanoseconds())/1000)
	}
	ratio = float64(median(all[0].times)) / float64(median(all[1].times))
	fmt.Fprintf(w, "%-24s %8.2f (at most %.2f)\n", "ratio", ratio, c.Most)
	return ratio, nil
}

func (c Comparison) measure(ctx context.Context, all []*contender) error {
	for _, one := range all {
		if _, err := one.turn(ctx, c.Warm); err != nil {
			return err
		}
	}
	for range c.Rounds {
		for _, one := range all {
			used, err := one.turn(ctx, c.Events)
			if err != nil {
				return err
			}
			one.times = append(one.times, used/time.Duration(c.Events*c.Size))
		}
	}
	return nil
}

// contender is a side that runs.
type contender struct {
	subject *Subject
	side    Side
	times   []time.Duration // of one thing, by turn
}

// turn has the subject take n events, one after the other, and returns the processor time
// that they took.
func (c *contender) turn(ctx context.Context, n int) (time.Duration, error) {
	events, err := c.side.Events(ctx, n)
	if err != nil {
		return 0, err
	}
	before, err := c.subject.CPU()
	if err != nil {
		return 0, err
	}
	for _, event := range events {
		if _, err := c.subject.Invoke(ctx, event); err != nil {
			return 0, err
		}
	}
	after, err := c.subject.CPU()
	return after - before, err
}

func median(times []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(times))
	return sorted[len(sorted)/2]
}
