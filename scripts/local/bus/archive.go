package bus

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/pattern"
)

// archive keeps the events of one bus, a JSON line each, in the order in which they were put.
type archive struct {
	name, arn, bus string
	pattern        *pattern.Pattern // nil: every event
	retention      time.Duration
	file           string

	mu *sync.Mutex // guards the file
}

func (c *compiler) archives(declared []Archive) []error {
	var errs []error
	for _, a := range declared {
		compiled := &archive{
			name: a.Name, arn: a.ARN, bus: busName(a.SourceARN), retention: a.Retention,
			file: filepath.Join(c.cfg.StateDir, "archives", a.Name+".jsonl"),
			mu:   c.files.of(a.Name),
		}
		var err error
		switch {
		case a.Name == "" || strings.ContainsAny(a.Name, `/\`):
			err = errors.New("the name is not valid")
		case !c.plan.buses[compiled.bus]:
			err = fmt.Errorf("event bus %q is not declared", compiled.bus)
		case len(a.Pattern) > 0:
			compiled.pattern, err = pattern.Compile(a.Pattern)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("archive %s: %w", a.Name, err))
		}
		c.plan.archives = append(c.plan.archives, compiled)
	}
	return errs
}

// add archives an event if it belongs here; one that is being replayed does not.
func (a *archive) add(ev event, raw json.RawMessage) error {
	if a.bus != ev.bus || ev.ReplayName != "" || a.pattern != nil && !a.pattern.Match(raw) {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	f, err := os.OpenFile(a.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("archive %s: %w", a.name, err)
	}
	defer f.Close()
	if _, err := appendWhole(f, append(raw[:len(raw):len(raw)], '\n')); err != nil {
		return fmt.Errorf("archive %s: %w", a.name, err)
	}
	return nil
}

// prune removes what is older than the retention.
func (a *archive) prune(now time.Time) error {
	if a.retention == 0 {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	kept, err := os.CreateTemp(filepath.Dir(a.file), a.name+".*")
	if err != nil {
		return fmt.Errorf("prune archive %s: %w", a.name, err)
	}
	defer os.Remove(kept.Name())
	defer kept.Close()
	out := bufio.NewWriter(kept)
	err = a.read(func(ev event, line []byte) error {
		if at, err := time.Parse(time.RFC3339, ev.Time); err == nil && now.Sub(at) > a.retention {
			return nil
		}
		_, err := out.Write(line)
		return err //nolint:wrapcheck // wrapped below
	})
	if err == nil {
		err = out.Flush()
	}
	if err == nil {
		err = os.Rename(kept.Name(), a.file)
	}
	if err != nil {
		return fmt.Errorf("prune archive %s: %w", a.name, err)
	}
	return nil
}

// read calls f for every event; a line that a kill has cut short is left out.
func (a *archive) read(f func(ev event, line []byte) error) error {
	file, err := os.Open(a.file)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("open: %w", err)
	}
	defer file.Close()
	lines := bufio.NewReader(file)
	for {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("read: %w", err)
		}
		var ev event
		if json.Unmarshal(line, &ev) != nil {
			continue
		}
		ev.bus = a.bus
		if err := f(ev, line); err != nil {
			return err
		}
	}
}

// ReplayRequest asks to send archived events to their bus again.
type ReplayRequest struct {
	Name     string    // stands in the replayed events as replay-name
	Archive  string    // name or ARN
	From, To time.Time // times of events; From is included, To is not
	RuleARNs []string  // nil: every rule of the bus
}

// Replay is what became of a replay.
type Replay struct {
	ReplayRequest
	ARN     string
	Started time.Time
	Ended   time.Time
	Events  int
}

// ErrReplayExists says that a replay of that name was made before.
var ErrReplayExists = errors.New("a replay of this name exists")

// ErrNoArchive says that there is no such archive.
var ErrNoArchive = errors.New("archive does not exist")

// replayBatch is how many events are read before their deliveries are stored.
const replayBatch = 100

// Replay delivers archived events to the rules that match them. When it returns, the deliveries
// are durable; like all deliveries they have no order.
func (b *Bus) Replay(ctx context.Context, r ReplayRequest) (Replay, error) {
	a := b.archive(r.Archive)
	if a == nil {
		return Replay{}, fmt.Errorf("replay %s of %s: %w", r.Name, r.Archive, ErrNoArchive)
	}
	if err := b.claimReplay(r); err != nil {
		return Replay{}, fmt.Errorf("replay %s: %w", r.Name, err)
	}
	done := Replay{
		ReplayRequest: r, Started: b.cfg.Now(),
		ARN: fmt.Sprintf("arn:aws:events:%s:%s:replay/%s", b.cfg.Region, b.cfg.Account, r.Name),
	}
	var err error
	done.Events, err = b.replay(ctx, a, r)
	done.Ended = b.cfg.Now()
	b.mu.Lock()
	b.replays[r.Name] = &done
	b.mu.Unlock()
	if err != nil {
		return done, fmt.Errorf("replay %s of archive %s: %w", r.Name, a.name, err)
	}
	return done, nil
}

// claimReplay takes the name of a replay.
func (b *Bus) claimReplay(r ReplayRequest) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.running {
		return errNotRunning
	}
	if _, exists := b.replays[r.Name]; exists {
		return ErrReplayExists
	}
	b.replays[r.Name] = &Replay{ReplayRequest: r}
	return nil
}

func (b *Bus) replay(ctx context.Context, a *archive, r ReplayRequest) (int, error) {
	var only map[string]bool
	if r.RuleARNs != nil {
		only = map[string]bool{}
		for _, arn := range r.RuleARNs {
			only[arn] = true
		}
	}
	p := b.plan.Load()
	a.mu.Lock()
	defer a.mu.Unlock()
	var batch []delivery
	count := 0
	err := a.read(func(ev event, _ []byte) error {
		at, err := time.Parse(time.RFC3339, ev.Time)
		if err != nil || at.Before(r.From) || !at.Before(r.To) {
			return nil //nolint:nilerr // an event without a time is in no range of times
		}
		ev.ReplayName = r.Name
		raw, err := ev.encode()
		if err != nil {
			return err
		}
		count++
		if batch = append(batch, b.route(p, ev, raw, only)...); len(batch) >= replayBatch {
			err = b.outbox.add(batch)
			batch = nil
		}
		return errors.Join(err, ctx.Err())
	})
	return count, errors.Join(err, b.outbox.add(batch))
}

func (b *Bus) archive(nameOrARN string) *archive {
	for _, a := range b.plan.Load().archives {
		if a.name == nameOrARN || a.arn == nameOrARN {
			return a
		}
	}
	return nil
}
