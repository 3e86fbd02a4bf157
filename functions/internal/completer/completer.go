// Package completer finishes the multipart uploads that S3 did not assemble while their
// client was waiting.
//
// Each message names one upload. It was sent before anybody asked S3 for anything, so most
// find an upload that is settled already, and nothing is left to do. Otherwise S3 is asked
// again, for as long as it takes; the same parts with the same checksum make the same
// object, and whatever was done before by somebody who did not live to say so is found by
// looking at what is stored.
//
// Deliveries repeat and race: everything here may happen twice or stop between any two
// steps. The upload's state says what is left to do.
package completer

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/completion"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/upload"
)

// Config is what the function is told by its environment.
type Config struct {
	Table            string
	Bucket           string
	DeadLetterBucket string
}

// ParseConfig reads the configuration; the error names all that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{
		Table:            s.Required("STOWAGE_TABLE"),
		Bucket:           s.Required("STOWAGE_BUCKET"),
		DeadLetterBucket: s.Required("STOWAGE_DEAD_LETTER_BUCKET"),
	}
	return cfg, s.Err()
}

// Storage assembles parts and tells what is stored. Its errors are those of
// s3store.Multipart.
type Storage interface {
	completion.Storage
	// Stored reports whether bytes are stored at the upload's key.
	Stored(ctx context.Context, u upload.Upload) (bool, error)
}

// Catalog keeps the states of uploads. Its reads are strongly consistent.
type Catalog interface {
	Upload(ctx context.Context, workspace, id string) (upload.Upload, error)
	EndCompletion(ctx context.Context, u upload.Upload, e upload.Event, by upload.Actor, why *object.Reason) (upload.Upload, error)
}

// Settler ends uploads of which nothing is left.
type Settler interface {
	// RejectCompletion ends the upload. Its quota stays reserved.
	RejectCompletion(ctx context.Context, u upload.Upload, why object.Reason) (upload.Upload, error)
	// ReleaseUpload gives back what an ended upload still holds of the quota.
	ReleaseUpload(ctx context.Context, workspace, id string) error
}

// Parts is what a Handler works with.
type Parts struct {
	Storage     Storage
	Catalog     Catalog
	Settler     Settler
	DeadLetters batch.DeadLetters
	Observer    batch.Observer
	Metrics     *observe.Metrics
	Log         *slog.Logger
	Now         func() time.Time
	// Pause waits before the n-th repetition, from 1. Nil: Backoff.
	Pause func(ctx context.Context, n int) error
}

// Handler finishes uploads from a queue. It is safe for concurrent use.
type Handler struct{ Parts }

// New returns a handler.
func New(p Parts) *Handler {
	if p.Pause == nil {
		p.Pause = Backoff
	}
	return &Handler{p}
}

const (
	// concurrency is how many uploads are finished at a time. Each waits for S3.
	concurrency = 10
	// attempts is how often S3 is asked before the message goes back to the queue, where
	// it lies for many minutes.
	attempts = 6
	// gone is for how long an upload that S3 does not know any more, and of which nothing
	// is stored, is looked at again before it is given up.
	gone = 10 * time.Minute
)

// Backoff waits a second before the first repetition and twice as long before each next
// one.
func Backoff(ctx context.Context, n int) error {
	timer := time.NewTimer(time.Second << (n - 1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for storage: %w", context.Cause(ctx))
	}
}

// Handle finishes the uploads of a batch of messages. What fails transiently is handed back
// to the queue; what can never succeed goes to the dead letters.
func (h *Handler) Handle(ctx context.Context, ev events.SQSEvent) (events.SQSEventResponse, error) {
	return batch.SQS(ctx, ev, h.message,
		batch.Concurrency(concurrency),
		batch.DeadLetter(h.DeadLetters),
		batch.Observe(h.Observer))
}

// poison is an error that no repetition cures.
type poison struct{ error }

func (poison) Permanent() bool { return true }

func (p poison) Unwrap() error { return p.error }

func (h *Handler) message(ctx context.Context, m events.SQSMessage) error {
	var ask completion.Message
	if err := json.Unmarshal([]byte(m.Body), &ask); err != nil {
		return poison{fmt.Errorf("decode completion message: %w", err)}
	}
	if ask.Workspace == "" || !object.IsID(ask.Upload) {
		return poison{fmt.Errorf("completion message names workspace %q and upload %q", ask.Workspace, ask.Upload)}
	}
	ctx = observe.With(ctx, slog.String("workspace", ask.Workspace), slog.String("upload", ask.Upload))
	for n := 1; ; n++ {
		err := h.finish(ctx, ask)
		if !fault.Transient(err) || n == attempts {
			return err
		}
		h.Log.LogAttrs(ctx, slog.LevelWarn, "completion is tried again", slog.Any("error", err))
		if pauseErr := h.Pause(ctx, n); pauseErr != nil {
			return err
		}
	}
}

// finish does what is left to do for an upload, by its state.
func (h *Handler) finish(ctx context.Context, ask completion.Message) error {
	u, err := h.Catalog.Upload(ctx, ask.Workspace, ask.Upload)
	if fault.Is(err, fault.NotFound) {
		return poison{fmt.Errorf("no upload %s is known in %s: %w", ask.Upload, ask.Workspace, err)}
	}
	if err != nil {
		return err
	}
	if u.State != upload.Completing {
		h.Metrics.Add("CompletionsSettled", 1)
		return nil
	}
	switch err := h.assemble(ctx, u); {
	case err == nil:
		return h.end(ctx, u, upload.Assemble, nil)
	case completion.IsRefusal(err):
		h.Log.LogAttrs(ctx, slog.LevelWarn, "storage refused the parts", slog.Any("error", err))
		return h.end(ctx, u, upload.Reopen, completion.Reason(err))
	case fault.Is(err, fault.NotFound), fault.Is(err, fault.PreconditionFailed):
		return h.look(ctx, u, err)
	default:
		return err
	}
}

// assemble has S3 make the object of the parts that the client completed.
func (h *Handler) assemble(ctx context.Context, u upload.Upload) error {
	parts, err := h.Storage.AllParts(ctx, u)
	if err != nil {
		return err
	}
	if upload.PartsDigest(parts) != u.Completion.Parts {
		return fault.New(fault.InvalidArgument, "a part was sent again after the upload was completed: complete it again")
	}
	return h.Storage.CompleteMultipart(ctx, u, parts)
}

func (h *Handler) end(ctx context.Context, u upload.Upload, e upload.Event, why *object.Reason) error {
	now, err := h.Catalog.EndCompletion(ctx, u, e, upload.Completer, why)
	if err != nil {
		return err
	}
	h.Metrics.Add("CompletionsFinished", 1, observe.Dimension{Name: "event", Value: string(e)})
	h.Log.LogAttrs(ctx, slog.LevelInfo, "completion finished", slog.String("event", string(e)), slog.String("state", string(now.State)))
	return nil
}

// look finds out what became of an upload of which S3 knows nothing any more, or at whose
// key an object stands: both are so after a completion whose answer was lost.
func (h *Handler) look(ctx context.Context, u upload.Upload, said error) error {
	stored, err := h.Storage.Stored(ctx, u)
	switch {
	case err != nil:
		return err
	case stored:
		return h.end(ctx, u, upload.Assemble, nil)
	case fault.Is(said, fault.PreconditionFailed), h.Now().Sub(u.Completion.BegunAt) < gone:
		// Nobody has said yet that this is how it stays.
		return fault.Wrap(fault.Unavailable, said, "nothing is stored yet")
	}
	return h.giveUp(ctx, u)
}

// giveUp ends an upload whose parts were removed from outside. Nothing is stored and no URL
// can store anything, so its quota is free.
func (h *Handler) giveUp(ctx context.Context, u upload.Upload) error {
	_, err := h.Settler.RejectCompletion(ctx, u, object.Reason{
		Code: fault.PartsIncomplete, Detail: "storage does not have the parts any more",
	})
	if fault.Is(err, fault.UploadEnded) || fault.Is(err, fault.Forbidden) || fault.Is(err, fault.Conflict) {
		return nil // it was settled, or reopened, while it was looked at
	}
	if err != nil {
		return err
	}
	h.Metrics.Add("CompletionsLost", 1)
	h.Log.LogAttrs(ctx, slog.LevelError, "parts were removed from outside")
	return h.Settler.ReleaseUpload(ctx, u.Workspace, u.ID)
}
