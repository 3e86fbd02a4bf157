package child

import (
	"errors"
	"fmt"
	"sync"
	"syscall"
	"time"
)

// Kept is a process that can be killed and started again in its place, as engines are
// when it is tried what their clients make of that. Its end is reported unless it was
// asked for. Calls of Run, Kill and Shutdown must not overlap.
type Kept struct {
	name string
	died chan error

	mu      sync.Mutex // guards process
	process *Process   // nil before Run and after Kill and Shutdown
}

// NewKept returns a Kept without a process; name is what its end is reported with.
func NewKept(name string) *Kept { return &Kept{name: name, died: make(chan error, 1)} }

// Run watches over a process that has just been started.
func (k *Kept) Run(p *Process) {
	k.mu.Lock()
	k.process = p
	k.mu.Unlock()
	go func() { // ends with the process
		<-p.Done()
		if k.Current() != p {
			return
		}
		err := p.Err()
		if err == nil {
			err = errors.New("it exited with status 0")
		}
		select {
		case k.died <- fmt.Errorf("%s ended: %w", k.name, err):
		default:
		}
	}()
}

// Current is the process, or nil when there is none.
func (k *Kept) Current() *Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.process
}

// PID is the process's id, or 0 when there is none.
func (k *Kept) PID() int {
	if p := k.Current(); p != nil {
		return p.PID()
	}
	return 0
}

// Wait receives an error if the process ends without having been asked to.
func (k *Kept) Wait() <-chan error { return k.died }

// Kill ends the process and all it started, at once.
func (k *Kept) Kill() error {
	p := k.detach()
	if p == nil {
		return nil
	}
	if err := p.Stop(0); err != nil {
		return fmt.Errorf("kill %s: %w", k.name, err)
	}
	return nil
}

// Shutdown sends s to the process alone, which is to end its own children, and kills
// what is left of it after the grace.
func (k *Kept) Shutdown(s syscall.Signal, grace time.Duration) error {
	p := k.detach()
	if p == nil {
		return nil
	}
	if err := p.Signal(s); err != nil {
		return fmt.Errorf("stop %s: %w", k.name, err)
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-p.Done():
		return nil
	case <-timer.C:
	}
	if err := p.Stop(0); err != nil {
		return fmt.Errorf("stop %s: %w", k.name, err)
	}
	return nil
}

// detach takes the process away from those who watch it, so that its end is no failure.
func (k *Kept) detach() *Process {
	k.mu.Lock()
	defer k.mu.Unlock()
	p := k.process
	k.process = nil
	return p
}
