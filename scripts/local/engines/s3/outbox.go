package s3

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// outbox makes sure that no change of an object goes without its event. Before a change, what is about
// to happen is written down (an intent); after it, its events take the intent's place; when they have
// been told, the file goes. After a kill, events that are still there are told again, and for an intent
// the bucket itself shows what came of it.
type outbox struct {
	dir  string
	next atomic.Uint64

	mu   sync.Mutex
	last int64 // the latest sequencer given out
	now  func() time.Time
}

// intent is a change that is about to be made.
type intent struct {
	Event   string // name of the event that a creation makes
	Bucket  string
	Targets []target
	Started time.Time
	Caller  Caller
}

// target is an object to be created or, with Delete, deleted.
type target struct {
	Key       string
	VersionID string // of the version to delete for good
	Delete    bool
}

// Extensions of the files of the outbox.
const (
	extIntent = ".intent"
	extEvents = ".events"
)

func openOutbox(dir string, now func() time.Time) (*outbox, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open the outbox: %w", err)
	}
	o := &outbox{dir: dir, now: now}
	names, err := o.pending()
	if err != nil {
		return nil, err
	}
	for _, name := range names { // numbers go on behind what is left
		var n uint64
		if _, err := fmt.Sscanf(name, "%d.", &n); err == nil && n > o.next.Load() {
			o.next.Store(n)
		}
	}
	return o, nil
}

// pending are the names of the files that are left, oldest first.
func (o *outbox) pending() ([]string, error) {
	entries, err := os.ReadDir(o.dir) // in the order of their names, which have a fixed width
	if err != nil {
		return nil, fmt.Errorf("read the outbox: %w", err)
	}
	var names []string
	for _, e := range entries {
		if ext := filepath.Ext(e.Name()); ext == extIntent || ext == extEvents {
			names = append(names, e.Name())
		} else {
			_ = os.Remove(filepath.Join(o.dir, e.Name())) // a file that was never finished
		}
	}
	return names, nil
}

// begin writes an intent down and returns the name of its entry.
func (o *outbox) begin(i intent) (string, error) {
	entry := fmt.Sprintf("%020d", o.next.Add(1))
	if err := o.write(entry+extIntent, i); err != nil {
		return "", err
	}
	return entry, nil
}

// commit replaces an entry's intent with the events of the change that was made.
func (o *outbox) commit(entry string, events []Event) error {
	if err := o.write(entry+extEvents, events); err != nil {
		return err
	}
	return o.remove(entry + extIntent)
}

// cancel drops the intent of a change that was not made.
func (o *outbox) cancel(entry string) error { return o.remove(entry + extIntent) }

// done drops events that have been told.
func (o *outbox) done(entry string) error { return o.remove(entry + extEvents) }

// read decodes one file of the outbox. It reports false for one that a kill left unfinished: what it
// was to announce had not begun.
func (o *outbox) read(name string, into any) (bool, error) {
	data, err := os.ReadFile(filepath.Join(o.dir, name))
	if err != nil {
		return false, fmt.Errorf("read %s of the outbox: %w", name, err)
	}
	return json.Unmarshal(data, into) == nil, nil
}

func (o *outbox) write(name string, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode %s of the outbox: %w", name, err)
	}
	path := filepath.Join(o.dir, name)
	if strings.HasSuffix(name, extIntent) {
		// An unfinished intent means that nothing was begun, so that it need not appear at once.
		err = os.WriteFile(path, data, 0o600)
	} else {
		err = replaceFile(path, data)
	}
	if err != nil {
		return fmt.Errorf("write %s of the outbox: %w", name, err)
	}
	return nil
}

func (o *outbox) remove(name string) error {
	if err := os.Remove(filepath.Join(o.dir, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove %s of the outbox: %w", name, err)
	}
	return nil
}

// sequencer gives out rising numbers, over restarts too as long as the clock is not set back: the time
// in nanoseconds, or one more than the last. Fixed width keeps their order as strings.
func (o *outbox) sequencer() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.last = max(o.last+1, o.now().UnixNano())
	return fmt.Sprintf("%016X", o.last)
}
