package completion_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/stowage-dev/stowage/shared/completion"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
)

// What is told by packages that may not be imported here is tested against the real engines
// beside the function that finishes uploads; this is what is decided by S3's answers alone.

// catalog is one upload in memory.
type catalog struct {
	u upload.Upload
	// meanwhile happens to the upload just after it was first read.
	meanwhile func(*upload.Upload)
}

func (c *catalog) Upload(context.Context, string, string) (upload.Upload, error) {
	u := c.u
	if c.meanwhile != nil {
		c.meanwhile(&c.u)
		c.meanwhile = nil
	}
	return u, nil
}

func (c *catalog) BeginCompletion(_ context.Context, _, _ string, said upload.Completion) (upload.Upload, error) {
	if done, err := c.u.Completed(said); done || err != nil {
		return c.u, err
	}
	u, err := c.u.Complete(said)
	if err == nil {
		c.u = u
	}
	return u, err
}

func (c *catalog) EndCompletion(_ context.Context, u upload.Upload, e upload.Event, by upload.Actor, why *object.Reason) (upload.Upload, error) {
	if c.u.Rev != u.Rev {
		return c.u, nil
	}
	to, err := upload.Transition(c.u.State, e, by)
	if err != nil {
		return c.u, err
	}
	c.u.State, c.u.Reason = to, why
	c.u.Rev++
	return c.u, nil
}

// storage answers as it is told.
type storage struct {
	parts    []upload.Part
	listErr  error
	complete func(ctx context.Context) error
}

func (s *storage) AllParts(context.Context, upload.Upload) ([]upload.Part, error) {
	return s.parts, s.listErr
}

func (s *storage) CompleteMultipart(ctx context.Context, _ upload.Upload, _ []upload.Part) error {
	return s.complete(ctx)
}

type queue struct{ sent int }

func (q *queue) Send(context.Context, []byte, time.Duration) error {
	q.sent++
	return nil
}

func open() upload.Upload {
	return upload.Upload{
		Workspace: "alpha", ID: "01JBQ8G7Z0Y5X4W3V2T1S0R9QP", Mode: upload.Multipart, Size: 7, PartSize: limits.PartBytes,
		State: upload.Uploading, S3UploadID: "s3", Rev: 2,
	}
}

func completer(c *catalog, s *storage, q *queue) *completion.Completer {
	return completion.New(completion.Deps{
		Catalog: c, Storage: s, Queue: q, Log: slog.New(slog.DiscardHandler), Now: time.Now, Inline: 50 * time.Millisecond,
	})
}

func TestWhatStorageAnswers(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		answer error
		state  upload.State
		code   fault.Code
	}{
		{"it is assembled", nil, upload.Uploaded, ""},
		{"another checksum", fault.New(fault.ChecksumMismatch, "no"), upload.Uploading, fault.ChecksumMismatch},
		{"another size", fault.New(fault.SizeMismatch, "no"), upload.Uploading, fault.SizeMismatch},
		{"bad parts", fault.New(fault.InvalidArgument, "no"), upload.Uploading, fault.InvalidArgument},
		{"no such upload", fault.New(fault.NotFound, "?"), upload.Completing, ""},
		{"an object at the key", fault.New(fault.PreconditionFailed, "?"), upload.Completing, ""},
		{"not now", fault.New(fault.Unavailable, "?"), upload.Completing, ""},
		{"nonsense", errors.New("?"), upload.Completing, ""},
	} {
		c, q := &catalog{u: open()}, &queue{}
		s := &storage{parts: []upload.Part{{Number: 1, Size: 7, ETag: "e"}}, complete: func(context.Context) error { return tc.answer }}
		now, err := completer(c, s, q).Complete(t.Context(), "alpha", c.u.ID, completion.Request{})
		if fault.CodeOf(err) != tc.code || err == nil && now.State != tc.state {
			t.Errorf("%s: %s, %v, want %s, %q", tc.name, now.State, err, tc.state, tc.code)
		}
		if c.u.State != tc.state || q.sent != 1 || (c.u.Reason != nil) != (tc.code != "") {
			t.Errorf("%s: is %s, because of %v, %d messages", tc.name, c.u.State, c.u.Reason, q.sent)
		}
	}
}

// TestMovedOn: storage does not know the parts because somebody else was faster.
func TestMovedOn(t *testing.T) {
	t.Parallel()
	same := upload.PartsDigest([]upload.Part{{Number: 1, ETag: "e"}})
	to := func(state upload.State, parts string) func(*upload.Upload) {
		return func(u *upload.Upload) {
			u.State, u.Completion = state, &upload.Completion{Parts: parts}
			u.Rev++
		}
	}
	for _, tc := range []struct {
		name      string
		meanwhile func(*upload.Upload)
		state     upload.State
		code      fault.Code
	}{
		{"nobody did anything", nil, "", fault.Conflict},
		{"it is being completed", to(upload.Completing, same), upload.Completing, ""},
		{"it was published", to(upload.Available, same), upload.Available, ""},
		{"it was completed otherwise", to(upload.Uploaded, "other"), "", fault.Conflict},
		{"it was aborted", to(upload.Aborted, ""), "", fault.UploadEnded},
		{"it was reopened", to(upload.Uploading, ""), "", fault.Conflict},
	} {
		c, q := &catalog{u: open(), meanwhile: tc.meanwhile}, &queue{}
		s := &storage{listErr: fault.New(fault.NotFound, "no such upload")}
		now, err := completer(c, s, q).Complete(t.Context(), "alpha", c.u.ID, completion.Request{Parts: []upload.Part{{Number: 1, ETag: "e"}}})
		if fault.CodeOf(err) != tc.code || now.State != tc.state || q.sent != 0 {
			t.Errorf("%s: %s, %v, %d messages", tc.name, now.State, err, q.sent)
		}
	}
}

func ExampleCompleter_Complete() {
	c := &catalog{u: open()}
	s := &storage{parts: []upload.Part{{Number: 1, Size: 7, ETag: "e"}}}
	s.complete = func(ctx context.Context) error { // S3 is slow
		<-ctx.Done()
		return ctx.Err()
	}
	u, err := completer(c, s, &queue{}).Complete(context.Background(), "alpha", c.u.ID, completion.Request{})
	fmt.Println(u.State, err)
	// Output: completing <nil>
}
