package dynamodb

import (
	"bytes"
	"compress/gzip"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// emptyDatabase is what the engine makes of a file that does not exist, with
// indexes for its stream records: see empty.py, which makes it.
//
//go:embed empty.sqlite.gz
var emptyDatabase []byte

// sqliteHeader begins every database file (https://www.sqlite.org/fileformat.html).
const sqliteHeader = "SQLite format 3\x00"

// createDatabase puts the empty database where there is none, and refuses a file that is none.
func createDatabase(path string) error {
	f, err := os.Open(path)
	if err == nil {
		defer f.Close()
		header := make([]byte, len(sqliteHeader))
		if _, err := io.ReadFull(f, header); err != nil || string(header) != sqliteHeader {
			return fmt.Errorf("%s is damaged: put a copy back, remove it to go on without what it held, or start with RESET=1 to begin from scratch", path)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return nil // what cannot be looked at, the engine will name
	}
	packed, err := gzip.NewReader(bytes.NewReader(emptyDatabase))
	if err != nil {
		return fmt.Errorf("unpack the empty database: %w", err)
	}
	content, err := io.ReadAll(packed)
	if err != nil {
		return fmt.Errorf("unpack the empty database: %w", err)
	}
	tmp := path + ".new" // whole or not at all
	if err := os.WriteFile(tmp, content, 0o600); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	if err := os.Rename(tmp, path); err != nil {
		return fmt.Errorf("create the database: %w", err)
	}
	return nil
}
