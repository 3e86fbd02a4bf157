// Package completion finishes multipart uploads: it has S3 make one object of their parts,
// and records in the catalog what became of that.
//
// Three races are lived with. Whoever completes may die at any point: so a message that asks
// to finish the upload is sent before anything else, held back for a while, and finds
// nothing to do when all went well. S3's answer may be lost, or S3 may be asked twice: what
// it says then (no such upload, or an object at the key) proves nothing, so what is stored is
// looked at. And S3's event may overtake the answer: then ingest has ended the upload
// already, which is the result.
//
// The upload's state says who may do what: while it is completing nobody aborts it, and a
// refusal of S3's reopens it, so that its client can send parts again. A second completion
// that is the same is answered as the first one was.
//
// A Completer is safe for concurrent use.
package completion

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

const (
	// Inline is how long a client waits for S3 before it is told to come back: well under
	// the time-out of the function that answers it.
	Inline = 4 * time.Second
	// Delay is how long the message is held back that finishes what was not finished
	// inline: until the one who sent it has surely stopped.
	Delay = 15 * time.Second
)

// Catalog keeps the states of uploads. Its reads are strongly consistent.
type Catalog interface {
	Upload(ctx context.Context, workspace, id string) (upload.Upload, error)
	BeginCompletion(ctx context.Context, workspace, id string, c upload.Completion) (upload.Upload, error)
	EndCompletion(ctx context.Context, u upload.Upload, e upload.Event, by upload.Actor, why *object.Reason) (upload.Upload, error)
}

// Storage assembles parts. Its errors are those of s3store.Multipart.
type Storage interface {
	AllParts(ctx context.Context, u upload.Upload) ([]upload.Part, error)
	CompleteMultipart(ctx context.Context, u upload.Upload, parts []upload.Part) error
}

// Queue takes messages, to be delivered after a delay.
type Queue interface {
	Send(ctx context.Context, body []byte, delay time.Duration) error
}

// Message asks to finish one upload.
type Message struct {
	Workspace string `json:"workspace"`
	Upload    string `json:"upload"`
}

// Request is what a client completes an upload with.
type Request struct {
	// Parts names every part with its ETag, in order. Nil: all that S3 has.
	Parts []upload.Part
	// CRC64NVME is the checksum of the whole object, "" when the client declares none
	// here.
	CRC64NVME string
}

// Deps is what a Completer works with.
type Deps struct {
	Catalog Catalog
	Storage Storage
	Queue   Queue
	Log     *slog.Logger
	Now     func() time.Time
	// Inline is how long S3 may take. Zero: the constant Inline.
	Inline time.Duration
}

// Completer completes uploads for their clients.
type Completer struct{ Deps }

// New returns a Completer.
func New(d Deps) *Completer {
	if d.Inline == 0 {
		d.Inline = Inline
	}
	return &Completer{d}
}

// Complete completes an upload. It returns the upload as it is afterwards, which is
// uploaded, or even available, when S3 has assembled it, and completing when that takes
// longer: it will be finished from the queue.
//
// PartsIncomplete, SizeMismatch, ChecksumMismatch and InvalidArgument errors leave the
// upload open for its client to put right. A Conflict says that it was completed with other
// parts, that it is a single PUT, or that S3 has lost its parts; UploadEnded, that it has
// ended.
func (c *Completer) Complete(ctx context.Context, ws, id string, r Request) (upload.Upload, error) {
	u, err := c.Catalog.Upload(ctx, ws, id)
	if err != nil {
		return upload.Upload{}, err
	}
	said := upload.Completion{CRC64NVME: r.CRC64NVME, BegunAt: c.Now()}
	if r.Parts != nil {
		if err := u.CheckNamed(r.Parts); err != nil {
			return upload.Upload{}, err
		}
		said.Parts = upload.PartsDigest(r.Parts)
	}
	if done, err := u.Completed(said); done || err != nil {
		return u, err
	}
	if _, err := u.Complete(said); err != nil {
		return upload.Upload{}, err
	}
	parts, err := c.partsOf(ctx, u, r)
	if err != nil {
		return c.orMovedOn(ctx, u, said, err)
	}
	said.Parts = upload.PartsDigest(parts)
	if err := c.ask(ctx, u); err != nil {
		return upload.Upload{}, err
	}
	if u, err = c.Catalog.BeginCompletion(ctx, ws, id, said); err != nil || u.State != upload.Completing {
		return u, err
	}
	return c.assemble(ctx, u, parts)
}

// partsOf returns the parts to assemble: what S3 has, which must be all and what the client
// named.
func (c *Completer) partsOf(ctx context.Context, u upload.Upload, r Request) ([]upload.Part, error) {
	stored, err := c.Storage.AllParts(ctx, u)
	if fault.Is(err, fault.NotFound) {
		return nil, fault.Wrap(fault.Conflict, err, "storage does not have the parts of this upload any more: abort it and begin again")
	}
	if err != nil {
		return nil, err
	}
	if err := u.CheckStored(stored); err != nil {
		return nil, err
	}
	return stored, upload.CheckSame(r.Parts, stored)
}

// orMovedOn returns err, unless the upload was completed by somebody else while its parts
// were looked at: then they are gone because they were assembled.
func (c *Completer) orMovedOn(ctx context.Context, u upload.Upload, said upload.Completion, err error) (upload.Upload, error) {
	now, readErr := c.Catalog.Upload(ctx, u.Workspace, u.ID)
	if readErr != nil || now.Rev == u.Rev {
		return upload.Upload{}, err
	}
	done, conflict := now.Completed(said)
	switch {
	case conflict != nil:
		return upload.Upload{}, conflict
	case done:
		return now, nil
	case now.State.Ended():
		return upload.Upload{}, fault.New(fault.UploadEnded, "the upload is %s", now.State).With("state", string(now.State))
	default:
		return upload.Upload{}, err
	}
}

// ask sends the message that finishes the upload, should this attempt not.
func (c *Completer) ask(ctx context.Context, u upload.Upload) error {
	body, err := json.Marshal(Message{Workspace: u.Workspace, Upload: u.ID})
	if err != nil {
		return fmt.Errorf("encode the message of upload %s: %w", u.ID, err)
	}
	if err := c.Queue.Send(ctx, body, Delay); err != nil {
		return fmt.Errorf("queue the completion of upload %s: %w", u.ID, err)
	}
	return nil
}

// assemble has S3 make the object and waits as long as a client can wait.
func (c *Completer) assemble(ctx context.Context, u upload.Upload, parts []upload.Part) (upload.Upload, error) {
	brief, cancel := context.WithTimeout(ctx, c.Inline)
	defer cancel()
	err := c.Storage.CompleteMultipart(brief, u, parts)
	switch {
	case err == nil:
		return c.Catalog.EndCompletion(ctx, u, upload.Assemble, upload.Client, nil)
	case IsRefusal(err):
		return c.reopen(ctx, u, err)
	}
	// Slow, unavailable, or a state of S3's that proves nothing: the queue finishes it.
	c.Log.LogAttrs(ctx, slog.LevelInfo, "completion left to the queue", slog.String("upload", u.ID), slog.Any("error", err))
	return u, nil
}

func (c *Completer) reopen(ctx context.Context, u upload.Upload, refusal error) (upload.Upload, error) {
	now, err := c.Catalog.EndCompletion(ctx, u, upload.Reopen, upload.Client, Reason(refusal))
	if err != nil {
		return upload.Upload{}, err
	}
	if now.State == upload.Uploaded || now.State == upload.Quarantined || now.State == upload.Available {
		return now, nil // somebody else's attempt went through
	}
	return upload.Upload{}, refusal
}

// IsRefusal reports whether S3 refused to assemble the parts, which it then still has.
func IsRefusal(err error) bool {
	switch fault.CodeOf(err) {
	case fault.InvalidArgument, fault.ChecksumMismatch, fault.SizeMismatch:
		return true
	default:
		return false
	}
}

// Reason is a refusal as the upload shows it.
func Reason(refusal error) *object.Reason {
	why := &object.Reason{Code: fault.CodeOf(refusal)}
	var coded *fault.Error
	if errors.As(refusal, &coded) {
		why.Detail = coded.Message
	}
	return why
}
