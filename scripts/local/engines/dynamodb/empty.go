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

// createDatabase puts the empty database where there is none.
func createDatabase(path string) error {
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
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
