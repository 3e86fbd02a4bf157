package bus

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"sync"
)

// Declared is what a bus can be given anew while it runs.
type Declared struct {
	Buses     []EventBus
	Rules     []Rule
	Archives  []Archive
	Schedules []Schedule
}

// plan is what was declared, checked.
type plan struct {
	buses    map[string]bool // by name
	rules    []rule
	timers   []*timer
	archives []*archive
}

// compiler makes a plan for a bus.
type compiler struct {
	*Bus
	plan *plan
}

func (b *Bus) compile(d Declared) (*plan, error) {
	c := &compiler{Bus: b, plan: &plan{buses: map[string]bool{DefaultBus: true}}}
	for _, eb := range d.Buses {
		c.plan.buses[eb.Name] = true
	}
	errs := c.rules(d.Rules)
	errs = append(errs, c.schedules(d.Schedules)...)
	errs = append(errs, c.archives(d.Archives)...)
	return c.plan, errors.Join(errs...)
}

// Configure replaces what is declared, all of it or, with an error, nothing.
// Events that are put from here on are routed by the new rules; deliveries that
// were made by the old ones go on. A schedule that is as before keeps its time.
func (b *Bus) Configure(d Declared) error {
	next, err := b.compile(d)
	if err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	former := b.plan.Load().timers
	for i, t := range next.timers {
		at := slices.IndexFunc(former, func(f *timer) bool { return reflect.DeepEqual(f.declared, t.declared) })
		if at >= 0 {
			next.timers[i] = former[at]
			former = slices.Delete(slices.Clone(former), at, at+1)
		} else if b.begin != nil {
			b.begin(t)
		}
	}
	for _, gone := range former {
		if gone.stop != nil {
			gone.stop()
		}
	}
	b.plan.Store(next)
	return nil
}

// fileLocks guards the files of archives, which outlive their configuration.
type fileLocks struct {
	mu    sync.Mutex
	locks map[string]*sync.Mutex // by the archive's name
}

func newFileLocks() *fileLocks { return &fileLocks{locks: map[string]*sync.Mutex{}} }

func (l *fileLocks) of(name string) *sync.Mutex {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.locks[name] == nil {
		l.locks[name] = &sync.Mutex{}
	}
	return l.locks[name]
}

// appendWhole appends lines, or nothing: a disk that is full takes a part of
// them, which would spoil the next line. The caller may take them back as long
// as nothing else has been appended.
func appendWhole(f *os.File, lines []byte) (undo func() error, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("find the end: %w", err)
	}
	undo = func() error {
		if err := f.Truncate(info.Size()); err != nil {
			return fmt.Errorf("take back what was appended to %s: %w", f.Name(), err)
		}
		return nil
	}
	if _, err := f.Write(lines); err != nil {
		return nil, errors.Join(err, undo())
	}
	return undo, nil
}
