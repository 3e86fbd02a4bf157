// Package scanner has clamd look at verified versions that wait in quarantine.
//
// A message names one version. Its bytes are streamed from S3 to clamd, a chunk at a
// time, and what clamd says goes as a message to the queue of verdicts, on which
// s3-ingest acts. The function that reads hostile bytes may so read them and nothing
// else: it can open no quarantine.
//
// A clamd that cannot be reached, or breaks off, fails the message: it is delivered again
// and ends in the dead-letter queue, and the version stays where it is.
package scanner

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/scan"
)

// Config is what the function is told by its environment.
type Config struct {
	Bucket           string
	DeadLetterBucket string
	VerdictQueueURL  string
	ClamdAddress     string
	// MaxBytes is the largest version that is sent to clamd. What is larger is
	// unsupported.
	MaxBytes int64
}

// ParseConfig reads the configuration; the error names all that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{
		Bucket:           s.Required("STOWAGE_BUCKET"),
		DeadLetterBucket: s.Required("STOWAGE_DEAD_LETTER_BUCKET"),
		VerdictQueueURL:  s.Required("STOWAGE_VERDICT_QUEUE_URL"),
		ClamdAddress:     s.Required("STOWAGE_CLAMD_ADDRESS"),
	}
	most, err := strconv.ParseInt(s.Required("STOWAGE_CLAMD_MAX_BYTES"), 10, 64)
	if err := s.Err(); err != nil {
		return cfg, err
	}
	if cfg.MaxBytes = most; err != nil || most < 1 {
		return cfg, errors.New("environment variable STOWAGE_CLAMD_MAX_BYTES: want a number of bytes, at least 1")
	}
	return cfg, nil
}

// Storage holds the bytes.
type Storage interface {
	// Open returns a fault.NotFound error for a version that is gone.
	Open(ctx context.Context, at object.Location) (io.ReadCloser, error)
}

// Scanner looks at bytes.
type Scanner interface {
	// Scan returns what was found, without the version's name. A fault.Unavailable error
	// says that the scanner could not look at all.
	Scan(ctx context.Context, body io.Reader) (scan.Verdict, error)
}

// Queue takes the verdicts.
type Queue interface {
	Send(ctx context.Context, body []byte, delay time.Duration) error
}

// Parts is what a Handler works with.
type Parts struct {
	Storage     Storage
	Scanner     Scanner
	Verdicts    Queue
	MaxBytes    int64
	DeadLetters batch.DeadLetters
	Observer    batch.Observer
	Metrics     *observe.Metrics
	Log         *slog.Logger
	Now         func() time.Time
}

// Handler scans the versions that messages name. It is safe for concurrent use.
type Handler struct{ Parts }

// New returns a handler.
func New(p Parts) *Handler { return &Handler{p} }

// Handle scans a batch of versions, one after the other.
func (h *Handler) Handle(ctx context.Context, ev events.SQSEvent) (events.SQSEventResponse, error) {
	return batch.SQS(ctx, ev, h.message,
		batch.Concurrency(1),
		batch.DeadLetter(h.DeadLetters),
		batch.PermanentIf(fault.Permanent),
		batch.Observe(h.Observer))
}

func (h *Handler) message(ctx context.Context, m events.SQSMessage) error {
	r, err := scan.DecodeRequest([]byte(m.Body))
	if err != nil {
		return fault.Wrap(fault.InvalidArgument, err, "the message asks for no scan")
	}
	ctx = observe.With(ctx, slog.String("key", r.Key), slog.String("version", r.VersionID))
	v, err := h.look(ctx, r)
	switch {
	case fault.Is(err, fault.NotFound):
		h.Metrics.Add("ScanVersionsGone", 1)
		h.Log.LogAttrs(ctx, slog.LevelInfo, "version is gone")
		return nil
	case err != nil:
		return err
	}
	v.Key, v.VersionID, v.Time = r.Key, r.VersionID, h.Now().UTC()
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the verdict on %s: %w", r.Location(), err)
	}
	if err := h.Verdicts.Send(ctx, body, 0); err != nil {
		return fmt.Errorf("tell the verdict on %s: %w", r.Location(), err)
	}
	h.Metrics.Add("Scans", 1, observe.Dimension{Name: "result", Value: string(v.Result)})
	h.Log.LogAttrs(ctx, slog.LevelInfo, "version scanned", slog.String("result", string(v.Result)))
	return nil
}

// look streams a version to the scanner, unless it is larger than the scanner takes.
func (h *Handler) look(ctx context.Context, r scan.Request) (scan.Verdict, error) {
	if r.Size > h.MaxBytes {
		return scan.Verdict{Scanner: "ClamAV", Result: scan.Unsupported, Detail: fmt.Sprintf("%d bytes, the most is %d", r.Size, h.MaxBytes)}, nil
	}
	body, err := h.Storage.Open(ctx, r.Location())
	if err != nil {
		return scan.Verdict{}, err
	}
	defer body.Close()
	counted := &counter{Reader: body}
	v, err := h.Scanner.Scan(ctx, counted)
	switch {
	case err != nil:
		return scan.Verdict{}, fmt.Errorf("scan %s: %w", r.Location(), err)
	case v.Result == scan.Clean && counted.n != r.Size:
		return scan.Verdict{}, fault.New(fault.Unavailable, "the scanner has seen %d bytes of %s, which has %d", counted.n, r.Location(), r.Size)
	default:
		return v, nil
	}
}

// counter counts what is read.
type counter struct {
	io.Reader
	n int64
}

func (c *counter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n += int64(n)
	return n, err //nolint:wrapcheck // a reader passes on io.EOF as it is
}
