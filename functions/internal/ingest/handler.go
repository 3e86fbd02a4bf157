// Package ingest verifies what clients have put into the content bucket and
// publishes it.
//
// S3 says that an object was created; the message names one version of one key,
// and the key names the upload. The version is inspected (size, checksum, the type
// of its first bytes), never read whole. If it is what the upload declared and the
// workspace allows, it is tagged as available, which opens the quarantine, and
// published in one transaction; otherwise the upload is rejected, the version
// deleted for good, the key sealed against a replay of the signed request, and its
// quota given back. An empty version of an upload that has ended is such a seal,
// and stays.
//
// Where a scanner is configured, a verified version first waits in quarantine for its
// verdict, which comes as a message of another queue, before or after that of S3. Only a
// scanner that says that it is clean lets it out: see package scan.
//
// Deliveries repeat and race: everything here may happen twice or stop between any
// two steps. The upload's state, which only transactions change, says what is left
// to do.
package ingest

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/scan"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Config is what the function is told by its environment.
type Config struct {
	Table            string
	Bucket           string
	DeadLetterBucket string
	// Scanner is one of the constants below. VerdictQueueARN is the queue of its
	// verdicts, ScanQueueURL that of what it has to look at.
	Scanner         string
	VerdictQueueARN string
	ScanQueueURL    string
}

// The scanners.
const (
	NoScanner = "none" // verified versions become available at once
	GuardDuty = "guardduty"
	Clamd     = "clamd"
)

// ParseConfig reads the configuration; the error names all that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{
		Table:            s.Required("STOWAGE_TABLE"),
		Bucket:           s.Required("STOWAGE_BUCKET"),
		DeadLetterBucket: s.Required("STOWAGE_DEAD_LETTER_BUCKET"),
		Scanner:          s.OneOf("STOWAGE_SCANNER", NoScanner, GuardDuty, Clamd),
	}
	if cfg.Scanner != NoScanner {
		cfg.VerdictQueueARN = s.Required("STOWAGE_VERDICT_QUEUE_ARN")
	}
	if cfg.Scanner == Clamd {
		cfg.ScanQueueURL = s.Required("STOWAGE_SCAN_QUEUE_URL")
	}
	return cfg, s.Err()
}

// Inspector tells what is stored under a version.
type Inspector interface {
	// Inspect returns a fault.NotFound error for a version that is gone.
	Inspect(ctx context.Context, at object.Location) (object.Facts, error)
	// FirstBytes reads at most n bytes of a version that is not empty.
	FirstBytes(ctx context.Context, at object.Location, n int) ([]byte, error)
}

// Quarantine lets versions out, or removes them.
type Quarantine interface {
	SetVerdict(ctx context.Context, at object.Location, verdict string) error
	// Delete removes a version for good. It may be gone already.
	Delete(ctx context.Context, at object.Location) error
}

// Sealer closes the keys of uploads that have ended without an object.
type Sealer interface {
	// Seal deletes for good what is stored at a key, and closes it to every signed
	// request.
	Seal(ctx context.Context, key string) error
}

// Catalog knows what was declared. Its reads are strongly consistent.
type Catalog interface {
	Upload(ctx context.Context, workspace, id string) (upload.Upload, error)
	Workspace(ctx context.Context, id string) (workspace.Workspace, error)
	Version(ctx context.Context, workspace, object, id string) (object.Version, error)
}

// Scanner looks for malware in verified versions. Its verdicts come when they come.
type Scanner interface {
	// Submit has a version looked at. It may be submitted more than once.
	Submit(ctx context.Context, r scan.Request) error
	// Verdict reads a message of the queue of verdicts.
	Verdict(body []byte) (scan.Verdict, error)
}

// Settler ends uploads. Each method is one transaction, and repeating it has no
// further effect.
type Settler interface {
	// Publish makes the version the object at the upload's path and settles the
	// quota. It returns fault.PathTaken when another object has the path, and
	// fault.UploadEnded when the upload has ended without this version.
	Publish(ctx context.Context, u upload.Upload, f object.Facts) (object.Object, error)
	// Hold keeps the version in quarantine for a scanner. It returns fault.PathTaken and
	// fault.UploadEnded as Publish does, and fault.Conflict when this very version was
	// published.
	Hold(ctx context.Context, u upload.Upload, f object.Facts) (upload.Upload, error)
	// NoteUpload records why an upload waits.
	NoteUpload(ctx context.Context, workspace, id string, why object.Reason) error
	// SetStorageClass records where S3 has moved the current version of an object.
	SetStorageClass(ctx context.Context, workspace, object, version, class string) error
	// RejectUpload ends the upload. Its quota stays reserved. It returns
	// fault.UploadEnded when the upload has ended in another way, and
	// fault.Conflict when this very version was published.
	RejectUpload(ctx context.Context, u upload.Upload, f object.Facts, why object.Reason) (upload.Upload, error)
	// ReleaseUpload gives back what an ended upload still holds of the quota.
	ReleaseUpload(ctx context.Context, workspace, id string) error
}

// Parts is what a Handler works with.
type Parts struct {
	Inspector  Inspector
	Quarantine Quarantine
	Sealer     Sealer
	Catalog    Catalog
	Settler    Settler
	// Scanner is nil where verified versions become available at once.
	Scanner Scanner
	// VerdictQueueARN is the queue whose messages Scanner reads.
	VerdictQueueARN string
	DeadLetters     batch.DeadLetters
	Observer        batch.Observer
	Metrics         *observe.Metrics
	Log             *slog.Logger
}

// Handler ingests S3 notifications from a queue. It is safe for concurrent use.
type Handler struct{ Parts }

// New returns a handler.
func New(p Parts) *Handler { return &Handler{p} }

// concurrency is how many messages are ingested at a time. Each waits for AWS most
// of its time.
const concurrency = 10

// Handle ingests a batch of messages. What fails transiently is handed back to the
// queue; what can never succeed goes to the dead letters. Messages about one key are
// dealt with one after the other, in the order that S3 gives them.
func (h *Handler) Handle(ctx context.Context, ev events.SQSEvent) (events.SQSEventResponse, error) {
	back, err := batch.Process(ctx, deliveries(), h.open(ev.Records), h.deliver,
		batch.Concurrency(concurrency),
		batch.DeadLetter(h.DeadLetters),
		batch.Observe(h.Observer))
	if err != nil {
		return events.SQSEventResponse{}, err
	}
	resp := events.SQSEventResponse{BatchItemFailures: make([]events.SQSBatchItemFailure, len(back))}
	for i, id := range back {
		resp.BatchItemFailures[i].ItemIdentifier = id
	}
	return resp, nil
}

// deliver deals with one message.
func (h *Handler) deliver(ctx context.Context, d delivery) error {
	switch {
	case d.err != nil:
		return d.err
	case d.verdict != nil:
		return h.verdict(ctx, *d.verdict)
	case len(d.records) == 0:
		h.Metrics.Add("IngestTestEvents", 1)
		return nil
	}
	// S3 puts one record into each message; should there be more, a bad one holds up no
	// other.
	var errs []error
	for _, r := range d.records {
		errs = append(errs, h.record(ctx, r, sent(d.SQSMessage)))
	}
	return errors.Join(errs...)
}

// record ingests one record. One that can never be ingested is written to the dead
// letters here, under its own identity, and is no error.
func (h *Handler) record(ctx context.Context, r record, sent time.Time) error {
	err := r.err
	if err == nil {
		ctx = observe.With(ctx, slog.String("key", r.at.Key), slog.String("version", r.at.VersionID))
		err = h.ingest(ctx, r)
	}
	var p poison
	if !errors.As(err, &p) {
		return err
	}
	if err := h.DeadLetters.Put(ctx, r.letter(sent, err)); err != nil {
		return errors.Join(p.error, err)
	}
	h.Metrics.Add("RecordsDeadLettered", 1) // as package observe counts those of a whole message
	h.Log.LogAttrs(ctx, slog.LevelError, "S3 record dead-lettered", slog.Any("error", err))
	return nil
}
