package reload

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

const (
	// patience is how long a synthesis may go on before it says that it does.
	patience = 10 * time.Second
	// lastLines of a synthesis that failed are shown.
	lastLines = 40
)

// synthesizer writes the assembly anew and has it applied. What is asked for while
// it does is done once more afterwards.
type synthesizer struct {
	cfg   Config
	stack Stack

	mu      sync.Mutex
	running bool
	again   bool
	names   string
}

func newSynthesizer(cfg Config, stack Stack) *synthesizer {
	return &synthesizer{cfg: cfg, stack: stack}
}

// ask has the assembly written because of some files.
func (s *synthesizer) ask(ctx context.Context, work *sync.WaitGroup, names string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = names
	if s.running {
		s.again = true
		return
	}
	if len(s.cfg.Synth) == 0 {
		s.cfg.Say("%s saved: synthesize, then start anew, to see what that changes", names)
		return
	}
	s.running = true
	work.Go(func() {
		for s.round(ctx) {
		}
	})
}

// round synthesizes once and says whether to do it again.
func (s *synthesizer) round(ctx context.Context) bool {
	s.mu.Lock()
	names := s.names
	s.again = false
	s.mu.Unlock()
	s.synthesize(ctx, names)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.running = s.again && ctx.Err() == nil
	return s.running
}

func (s *synthesizer) synthesize(ctx context.Context, names string) {
	start := time.Now()
	s.cfg.Say("%s saved: synthesizing (%s)", names, strings.Join(s.cfg.Synth, " "))
	said, err := s.command(ctx)
	took := time.Since(start).Seconds()
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		s.cfg.Say("synthesis failed after %.1f s; the stack goes on as it was:\n%s", took, said)
		return
	}
	lines, err := s.stack.Apply(ctx)
	if err != nil {
		s.cfg.Say("synthesized in %.1f s, but it cannot be applied; the stack goes on as it was:\n%v", took, err)
		return
	}
	if len(lines) == 0 {
		lines = []string{"nothing changes"}
	}
	s.cfg.Say("synthesized in %.1f s:\n  %s", took, strings.Join(lines, "\n  "))
}

// command runs the synthesis and gives the end of what it said.
func (s *synthesizer) command(ctx context.Context) (said string, err error) {
	cmd := exec.CommandContext(ctx, s.cfg.Synth[0], s.cfg.Synth[1:]...)
	cmd.Dir = s.cfg.Module
	// It is a command of its own, not a part of the make that started the runtime.
	cmd.Env = slices.DeleteFunc(os.Environ(), func(v string) bool {
		return strings.HasPrefix(v, "MAKEFLAGS=") || strings.HasPrefix(v, "MAKELEVEL=") || strings.HasPrefix(v, "MFLAGS=")
	})
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	process, err := child.Start(cmd)
	if err != nil {
		return err.Error(), err
	}
	ticker := time.NewTicker(patience)
	defer ticker.Stop()
	for start := time.Now(); ; {
		select {
		case <-process.Done():
			lines := strings.Split(strings.TrimSpace(out.String()), "\n")
			return strings.Join(lines[max(0, len(lines)-lastLines):], "\n"), process.Err()
		case <-ticker.C:
			s.cfg.Say("synthesizing: %.0f s so far", time.Since(start).Seconds())
		}
	}
}
