package lambda

import (
	"fmt"
	"slices"
)

// Swap gives a function another binary. Invocations that begin from here on run
// the new one; those under way finish with the old one. A build error is cleared.
func (h *Host) Swap(name string, command []string) error {
	if len(command) == 0 {
		return fmt.Errorf("swap function %s: the command is empty", name)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	fn, err := h.find(name)
	if err != nil {
		return err
	}
	if h.closed {
		return fmt.Errorf("swap function %s: the local Lambda host is stopping", fn.name)
	}
	config := *fn.config.Load()
	config.Command, config.BuildError = slices.Clone(command), ""
	h.replace(fn, &config)
	return nil
}

// Put adds a function, or gives one that there is another configuration:
// invocations that begin from here on have it, in new processes, and those under
// way finish with the old one. Without a command and a build error a function
// keeps the binary that it has.
func (h *Host) Put(declared Function) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.closed {
		return fmt.Errorf("put function %s: the local Lambda host is stopping", declared.Name)
	}
	fn, reserved := h.functions[declared.Name], 0
	if fn != nil {
		present := fn.config.Load()
		reserved = max(present.MaxConcurrency, 0)
		if len(declared.Command) == 0 && declared.BuildError == "" {
			declared.Command, declared.BuildError = present.Command, present.BuildError
		}
	}
	if err := declared.validate(); err != nil {
		return err
	}
	unreserved := h.unreserved + reserved - max(declared.MaxConcurrency, 0)
	if unreserved < 0 {
		return fmt.Errorf("function %s: it reserves %d more concurrent invocations than are left of the account's %d",
			declared.Name, -unreserved, h.cfg.AccountConcurrency)
	}
	h.unreserved = unreserved
	if fn == nil {
		h.add(declared)
		return nil
	}
	config := declared.withDefaults()
	h.replace(fn, &config)
	return nil
}

// replace makes a configuration the present one. Warm processes are of the old
// one and end. Host.mu is held.
func (h *Host) replace(fn *function, config *Function) {
	fn.config.Store(config)
	fn.generation++
	for _, inst := range fn.idle {
		h.work.Go(func() { inst.shutdown(shutdownGrace) })
	}
	fn.idle = nil
}
