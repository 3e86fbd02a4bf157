package stack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// versionFile says, in the state directory, by which layout the state was written.
const versionFile = "version"

// stateVersion is the layout that this runtime reads and writes. It changes when
// older state can no longer be read as it is.
const stateVersion = "1"

// checkVersion refuses state that this runtime would misread. It changes nothing.
// State from before there were versions is of the first one.
func (s state) checkVersion(reset bool) error {
	raw, err := os.ReadFile(s.path(versionFile))
	if errors.Is(err, fs.ErrNotExist) || reset {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the state's version: %w", err)
	}
	if found := strings.TrimSpace(string(raw)); found != stateVersion {
		return fmt.Errorf("the state in %s is of version %q, and this runtime reads version %q: nothing was changed; "+
			"start with RESET=1 to begin from scratch, choose another directory with STOWAGE_STATE or --state, or use the runtime that wrote it", s.dir, found, stateVersion)
	}
	return nil
}
