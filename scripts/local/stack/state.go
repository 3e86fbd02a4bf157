package stack

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// state is the directory in which a runtime keeps everything.
type state struct {
	dir  string
	lock *os.File
}

func (s state) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir}, elem...)...)
}

// What is where. Binaries are a cache and outlive a reset.
func (s state) data(elem ...string) string { return s.path(append([]string{"data"}, elem...)...) }
func (s state) logs(elem ...string) string { return s.path(append([]string{"logs"}, elem...)...) }
func (s state) events() string             { return s.path("events.jsonl") }
func (s state) dev() string                { return s.path("dev.json") }
func (s state) bin() string                { return s.path("bin") }

// openState takes the directory for this process and makes it ready to be used.
func openState(dir string, reset bool) (state, error) {
	s, err := lockState(dir, reset)
	if err != nil {
		return s, err
	}
	if err := s.prepare(reset); err != nil {
		return s, errors.Join(err, s.close())
	}
	return s, nil
}

// lockState takes the directory for this process and changes nothing in it. The lock
// is the kernel's, so that it ends with the process, however that ends.
func lockState(dir string, reset bool) (state, error) {
	s := state{dir: dir}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return s, fmt.Errorf("make the state directory: %w", err)
	}
	lock, err := os.OpenFile(s.path("lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return s, fmt.Errorf("open the state's lock: %w", err)
	}
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder, _ := os.ReadFile(lock.Name()) // only to say who
		lock.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return s, fmt.Errorf("another runtime (process %s) uses %s: stop it, or give this one a directory and ports of its own "+
				"(STOWAGE_STATE=%s STOWAGE_API_PORT=0 STOWAGE_GATEWAY_PORT=0, or --state, --api-port and --gateway-port)",
				strings.TrimSpace(string(holder)), dir, s.path("second"))
		}
		return s, fmt.Errorf("lock %s: %w", dir, err)
	}
	s.lock = lock
	if err := errors.Join(s.checkVersion(reset), s.checkDisk()); err != nil {
		return s, errors.Join(err, s.close())
	}
	return s, nil
}

func (s state) prepare(reset bool) error {
	if err := s.lock.Truncate(0); err != nil {
		return fmt.Errorf("write the state's lock: %w", err)
	}
	if _, err := fmt.Fprintln(s.lock, os.Getpid()); err != nil {
		return fmt.Errorf("write the state's lock: %w", err)
	}
	// A runtime that was killed leaves its file, which would mislead: nothing is ready yet.
	stale := []string{s.dev(), s.logs()}
	if reset {
		stale = append(stale, s.data(), s.events())
	}
	for _, path := range stale {
		if err := os.RemoveAll(path); err != nil {
			return fmt.Errorf("clear the state: %w", err)
		}
	}
	if err := os.WriteFile(s.path(versionFile), []byte(stateVersion+"\n"), 0o600); err != nil {
		return fmt.Errorf("write the state's version: %w", err)
	}
	for _, dir := range []string{s.data(), s.data("s3"), s.data("bus"), s.data("issuer"), s.data("secrets"), s.logs(), s.bin()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make the state directory: %w", err)
		}
	}
	return nil
}

func (s state) close() error {
	if s.lock == nil {
		return nil
	}
	if err := s.lock.Close(); err != nil {
		return fmt.Errorf("release the state's lock: %w", err)
	}
	return nil
}

// LogDir holds the log of every function, engine and API.
func (s *Stack) LogDir() string { return s.state.logs() }
