// Package assets says where the built functions lie.
package assets

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Dist is a directory that holds, for each function, a directory of its name
// with the executable "bootstrap".
type Dist string

// Find gives the Dist called name in the module that dir lies in: beside the
// nearest go.mod, so that the app synthesizes the same from any directory.
func Find(dir, name string) (Dist, error) {
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the module of %s: %w", dir, err)
	}
	for at := abs; ; at = filepath.Dir(at) {
		_, err := os.Stat(filepath.Join(at, "go.mod"))
		if err == nil {
			return Dist(filepath.Join(at, name)), nil
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("find the module of %s: %w", dir, err)
		}
		if at == filepath.Dir(at) {
			return "", fmt.Errorf("find the module of %s: no go.mod there or above: run from within the repository", abs)
		}
	}
}

// Function is the directory of one function.
func (d Dist) Function(name string) string { return filepath.Join(string(d), name) }

// Missing names those of the functions that are not built.
func (d Dist) Missing(functions ...string) []string {
	var missing []string
	for _, name := range functions {
		if _, err := os.Stat(filepath.Join(d.Function(name), "bootstrap")); err != nil {
			missing = append(missing, name)
		}
	}
	return missing
}
