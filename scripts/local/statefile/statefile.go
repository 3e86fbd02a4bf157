// Package statefile opens the files in which parts of the local runtime keep what
// must outlive them: bbolt databases that do not wait for the disk. What was
// written survives a kill of the process, not a loss of power.
//
// A file that is damaged is an error that names it and the ways out, whatever the
// damage; it is left as it is.
package statefile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bbolterrors "go.etcd.io/bbolt/errors"
)

// patience is how long somebody else may hold the file.
const patience = time.Second

// Open opens a file, making it (mode 0600) when there is none.
func Open(path string) (db *bbolt.DB, err error) {
	var file *os.File
	// Without a list of free pages, opening reads every page: one that makes no sense makes bbolt panic,
	// and one that was cut off is a fault of memory.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if found := recover(); found != nil {
			db, err = nil, damaged(path, fmt.Errorf("%v", found))
			// bbolt has not come to that. Its mapping keeps the file open, and so the lock.
			_ = syscall.Flock(int(file.Fd()), syscall.LOCK_UN)
			file.Close()
		}
	}()
	db, err = bbolt.Open(path, 0o600, &bbolt.Options{Timeout: patience, NoSync: true, NoFreelistSync: true,
		OpenFile: func(name string, flag int, mode fs.FileMode) (*os.File, error) {
			file, err = os.OpenFile(name, flag, mode)
			return file, err //nolint:wrapcheck // bbolt hands it back
		}})
	switch {
	case err == nil:
		return db, nil
	case errors.Is(err, bbolterrors.ErrInvalid), errors.Is(err, bbolterrors.ErrChecksum), errors.Is(err, bbolterrors.ErrVersionMismatch):
		return nil, damaged(path, err)
	case errors.Is(err, bbolterrors.ErrTimeout):
		return nil, fmt.Errorf("open %s: another process holds it: stop that one", path)
	default:
		return nil, fmt.Errorf("open %s: %w", path, err)
	}
}

func damaged(path string, why error) error {
	return fmt.Errorf("%s is damaged (%w): put a copy back, remove it to go on without what it held, or start with RESET=1 to begin from scratch", path, why)
}
