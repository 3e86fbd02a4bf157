package stack

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// patience is how long something may take before it is worth a line.
const patience = time.Second

// progress tells what takes long. It is safe for concurrent use.
type progress struct {
	mu  sync.Mutex
	out io.Writer
}

// step runs f, saying that it goes on and how long it took if that is over a second.
func (p *progress) step(what string, f func() error) error {
	start := time.Now()
	timer := time.AfterFunc(patience, func() { p.say("%s ...", what) })
	err := f()
	timer.Stop()
	if took := time.Since(start); took >= patience && err == nil {
		p.say("%s: %.1f s", what, took.Seconds())
	}
	return err
}

func (p *progress) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, "local: "+format+"\n", args...)
}
