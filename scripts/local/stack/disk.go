package stack

import (
	"context"
	"fmt"
	"log/slog"
	"syscall"
	"time"
)

const (
	// leastFree is what the disk of the state must have left to begin with, and what it is full below.
	leastFree = 1 << 20
	// diskEvery is how often the disk is looked at.
	diskEvery = time.Second
)

// freeBytes is what the disk of the state directory has left.
func (s state) freeBytes() (uint64, error) {
	var fs syscall.Statfs_t
	if err := syscall.Statfs(s.dir, &fs); err != nil {
		return 0, fmt.Errorf("look at the disk of %s: %w", s.dir, err)
	}
	return fs.Bavail * uint64(fs.Bsize), nil
}

// checkDisk refuses to begin on a full disk.
func (s state) checkDisk() error {
	free, err := s.freeBytes()
	if err != nil {
		return err
	}
	if free < leastFree {
		return fmt.Errorf("the disk of %s is full, with %d KB left: make room there, or choose another directory with STOWAGE_STATE or --state", s.dir, free>>10)
	}
	return nil
}

// watchDisk tells when the disk gets full, and when it no longer is, until ctx
// ends. The engines need no telling: what they cannot write they refuse.
func (s state) watchDisk(ctx context.Context, logger *slog.Logger) {
	ticker := time.NewTicker(diskEvery)
	defer ticker.Stop()
	full := false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		free, err := s.freeBytes()
		if err != nil {
			logger.Warn("the disk cannot be looked at", "error", err)
			return
		}
		switch now := free < leastFree; {
		case now && !full:
			logger.Error("the disk of the state is full: services refuse what they cannot write; what they have acknowledged is kept. Make room there",
				"directory", s.dir, "leftBytes", free)
		case !now && full:
			logger.Info("the disk of the state has room again", "directory", s.dir, "leftBytes", free)
		}
		full = free < leastFree
	}
}
