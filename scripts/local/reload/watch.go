package reload

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
)

const (
	// quiet is how long nothing must happen before what has happened is acted upon: editors
	// write a file in several steps, and several files after one another.
	quiet = 25 * time.Millisecond
	// longest is how long a burst is waited for.
	longest = 400 * time.Millisecond
	// absence is how long a file must be gone before it is believed to be deleted: some
	// editors move a file away before they write it anew.
	absence = 250 * time.Millisecond
	// maxWatched is the size of the largest file that is looked at.
	maxWatched = 16 << 20
)

// batch is what has been saved at about the same time.
type batch struct {
	files []string  // absolute
	at    time.Time // of the first change
}

// watcher tells of files whose content has changed, in all directories below a
// root but those that hold no source.
type watcher struct {
	root    string
	ignored []string // directories, absolute
	fs      *fsnotify.Watcher
	batches chan batch
	logger  *slog.Logger

	seen    map[string][sha256.Size]byte // content by path
	changed map[string]time.Time         // when first, since the last batch
}

func newWatcher(root string, ignored []string, logger *slog.Logger) (*watcher, error) {
	notify, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", root, err)
	}
	w := &watcher{
		root: root, ignored: ignored, fs: notify, batches: make(chan batch), logger: logger,
		seen: map[string][sha256.Size]byte{}, changed: map[string]time.Time{},
	}
	if err := w.add(root, nil); err != nil {
		return nil, errors.Join(err, notify.Close())
	}
	return w, nil
}

// add watches a directory and those below it, and calls found for every file.
func (w *watcher) add(dir string, found func(file string)) error {
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist): // gone again
			return nil
		case err != nil:
			return err
		case !entry.IsDir():
			if found != nil {
				found(path)
			} else if sum, ok := content(path); ok && !passing(path) {
				w.seen[path] = sum
			}
			return nil
		case path != w.root && w.skips(path):
			return filepath.SkipDir
		}
		return w.fs.Add(path)
	})
	if errors.Is(err, syscall.ENOSPC) {
		return fmt.Errorf("watch %s: the system's limit of watches is reached: raise fs.inotify.max_user_watches, or switch reloading off with RELOAD=0 or --reload=false: %w", dir, err)
	}
	if err != nil {
		return fmt.Errorf("watch %s: %w", dir, err)
	}
	return nil
}

// skips says whether a directory holds no source, by go's rules and npm's.
func (w *watcher) skips(dir string) bool {
	name := filepath.Base(dir)
	return strings.HasPrefix(name, ".") || strings.HasPrefix(name, "_") || name == "node_modules" || slices.Contains(w.ignored, dir)
}

// scratch are the names that editors give to what they keep for themselves:
// swap, backup and lock files, and the probe that vim writes.
var scratch = regexp.MustCompile(`~$|^[.#_]|#$|\.(swp|swx|swo|tmp|bak|orig)$|___jb_(tmp|old)___$|^\d+$`)

func passing(path string) bool { return scratch.MatchString(filepath.Base(path)) }

// content is the checksum of a file; false: there is none to read.
func content(path string) (sum [sha256.Size]byte, ok bool) {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxWatched {
		return sum, false
	}
	raw, err := os.ReadFile(path)
	if err != nil {
		return sum, false
	}
	return sha256.Sum256(raw), true
}

// run gathers what happens into batches until ctx ends.
func (w *watcher) run(ctx context.Context) error {
	defer w.fs.Close()
	var due <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-w.fs.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				return fmt.Errorf("watch %s: %w", w.root, err)
			}
			w.logger.Warn("more files changed at once than could be followed; all are looked at again")
			if err := w.rescan(); err != nil {
				return err
			}
			due = time.After(quiet)
		case e := <-w.fs.Events:
			if err := w.note(e); err != nil {
				return err
			}
			due = w.wait()
		case <-due:
			var ready batch
			if ready, due = w.flush(time.Now()); len(ready.files) == 0 {
				continue
			}
			select {
			case w.batches <- ready:
			case <-ctx.Done():
				return nil
			}
		}
	}
}

// wait is when to look at what has changed.
func (w *watcher) wait() <-chan time.Time {
	if len(w.changed) == 0 {
		return nil
	}
	oldest := time.Now()
	for _, at := range w.changed {
		if at.Before(oldest) {
			oldest = at
		}
	}
	return time.After(max(0, min(quiet, longest-time.Since(oldest))))
}

// note remembers what an event is about.
func (w *watcher) note(e fsnotify.Event) error {
	if e.Op == fsnotify.Chmod {
		return nil
	}
	if e.Has(fsnotify.Create) {
		if info, err := os.Stat(e.Name); err == nil && info.IsDir() {
			if w.skips(e.Name) {
				return nil
			}
			return w.add(e.Name, w.remember)
		}
	}
	w.remember(e.Name)
	if e.Has(fsnotify.Remove) || e.Has(fsnotify.Rename) { // of a directory, perhaps
		for path := range w.seen {
			if strings.HasPrefix(path, e.Name+string(filepath.Separator)) {
				w.remember(path)
			}
		}
	}
	return nil
}

func (w *watcher) remember(path string) {
	if _, ok := w.changed[path]; !ok && !passing(path) {
		w.changed[path] = time.Now()
	}
}

// rescan looks at every file.
func (w *watcher) rescan() error {
	for path := range w.seen {
		w.remember(path)
	}
	return w.add(w.root, w.remember)
}

// flush takes what has really changed. What is missing waits until that can be
// believed; then there is something due again.
func (w *watcher) flush(now time.Time) (batch, <-chan time.Time) {
	var b batch
	var due <-chan time.Time
	for path, at := range w.changed {
		sum, there := content(path)
		before, known := w.seen[path]
		if !there && known && now.Sub(at) < absence {
			due = time.After(quiet)
			continue
		}
		delete(w.changed, path)
		if there == known && sum == before {
			continue
		}
		if delete(w.seen, path); there {
			w.seen[path] = sum
		}
		b.files = append(b.files, path)
		if b.at.IsZero() || at.Before(b.at) {
			b.at = at
		}
	}
	slices.Sort(b.files)
	return b, due
}
