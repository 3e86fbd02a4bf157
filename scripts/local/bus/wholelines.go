package bus

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// lookBack is how much of a file's end is read at once.
const lookBack = 64 << 10

// dropUnfinished takes away what follows the last newline of a file. A kill has cut
// that line short while it was appended, before anybody was told that it is kept; the
// next line would become a part of it and be lost.
func dropUnfinished(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for an unfinished line: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("look for an unfinished line: %w", err)
	}
	end := info.Size()
	for part := make([]byte, lookBack); end > 0; {
		part = part[:min(end, lookBack)]
		if _, err := f.ReadAt(part, end-int64(len(part))); err != nil {
			return fmt.Errorf("look for an unfinished line: %w", err)
		}
		if i := bytes.LastIndexByte(part, '\n'); i >= 0 {
			end -= int64(len(part) - i - 1)
			break
		}
		end -= int64(len(part))
	}
	if end == info.Size() {
		return nil
	}
	if err := f.Truncate(end); err != nil {
		return fmt.Errorf("drop an unfinished line: %w", err)
	}
	return nil
}

// dropUnfinished does so with the file of events and every archive.
func (b *Bus) dropUnfinished() error {
	files, err := filepath.Glob(filepath.Join(b.cfg.StateDir, "archives", "*.jsonl"))
	if err != nil {
		return fmt.Errorf("find the archives: %w", err)
	}
	if b.cfg.EventsPath != "" {
		files = append(files, b.cfg.EventsPath)
	}
	for _, file := range files {
		if err := dropUnfinished(file); err != nil {
			return err
		}
	}
	return nil
}
