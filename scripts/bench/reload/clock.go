package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
)

// Variables that a timed go finds what it needs in.
const (
	realGo   = "RELOAD_BENCH_GO"
	clockLog = "RELOAD_BENCH_CLOCK"
)

// clock times the builds that others start: this program stands in for go, and
// hands on to the real one.
type clock struct{ log string }

func newClock(dir string) (*clock, error) {
	program, err := exec.LookPath("go")
	if err != nil {
		return nil, fmt.Errorf("find go: %w", err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program: %w", err)
	}
	c := &clock{log: filepath.Join(dir, "builds.json")}
	path := filepath.Join(dir, "path")
	if err := os.Mkdir(path, 0o750); err != nil {
		return nil, fmt.Errorf("stand in for go: %w", err)
	}
	if err := os.Symlink(self, filepath.Join(path, "go")); err != nil {
		return nil, fmt.Errorf("stand in for go: %w", err)
	}
	for name, value := range map[string]string{realGo: program, clockLog: c.log, "PATH": path + string(os.PathListSeparator) + os.Getenv("PATH")} {
		if err := os.Setenv(name, value); err != nil {
			return nil, fmt.Errorf("stand in for go: %w", err)
		}
	}
	return c, nil
}

// lastBuild is how long the build that ended last has taken.
func (c *clock) lastBuild() (time.Duration, error) {
	raw, err := os.ReadFile(c.log)
	if err != nil {
		return 0, fmt.Errorf("read the time of the build: %w", err)
	}
	var took time.Duration
	if err := json.Unmarshal(raw, &took); err != nil {
		return 0, fmt.Errorf("read the time of the build: %w", err)
	}
	return took, nil
}

// timed runs go and notes how long a build took. It returns the exit code.
func timed(args []string) int {
	begin := time.Now()
	cmd := exec.Command(os.Getenv(realGo), args...) //nolint:gosec // what this program itself has set
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	err := cmd.Run()
	if len(args) > 0 && args[0] == "build" {
		if raw, err := json.Marshal(time.Since(begin)); err == nil {
			_ = os.WriteFile(os.Getenv(clockLog), raw, 0o600) // whoever reads it notices
		}
	}
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}
