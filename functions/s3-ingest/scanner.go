package main

import (
	"github.com/stowage-dev/stowage/functions/internal/ingest"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/guarddutyscan"
	"github.com/stowage-dev/stowage/shared/scan"
	"github.com/stowage-dev/stowage/shared/sqsqueue"
)

// newScanner is the one that the configuration names: nil for none.
func newScanner(rt *boot.Runtime, cfg ingest.Config) ingest.Scanner {
	switch cfg.Scanner {
	case ingest.GuardDuty:
		return guarddutyscan.New(cfg.Bucket)
	case ingest.Clamd:
		return scan.NewQueued(sqsqueue.New(rt.AWS, cfg.ScanQueueURL))
	default:
		return nil
	}
}
