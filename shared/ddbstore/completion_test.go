package ddbstore_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// multipart opens a multipart upload that takes parts.
func (b *bench) multipart(w workspace.Workspace, path string, size int64) upload.Upload {
	b.t.Helper()
	u := b.upload(w.ID, path, size)
	u.Mode, u.SHA256, u.PartSize = upload.Multipart, "", limits.PartBytes
	u = b.open(w, u)
	started, err := b.StartMultipart(b.t.Context(), w.ID, u.ID, "s3-upload")
	if err != nil {
		b.t.Fatal(err)
	}
	return started
}

func (b *bench) begin(u upload.Upload, c upload.Completion) upload.Upload {
	b.t.Helper()
	begun, err := b.BeginCompletion(b.t.Context(), u.Workspace, u.ID, c)
	if err != nil {
		b.t.Fatal(err)
	}
	return begun
}

func TestStartMultipart(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.multipart(w, "p", 10)
	if u.State != upload.Uploading || u.S3UploadID != "s3-upload" || u.Rev != 2 || u.PartSize != limits.PartBytes {
		t.Errorf("started as %+v", u)
	}
	again, err := b.StartMultipart(t.Context(), "alpha", u.ID, "another")
	if err != nil || again.S3UploadID != "s3-upload" || again.Rev != 2 {
		t.Errorf("started again as %+v, %v", again, err)
	}
	single := b.open(w, b.upload("alpha", "q", 10))
	_, err = b.StartMultipart(t.Context(), "alpha", single.ID, "s3")
	wantCode(t, err, fault.Conflict)
	if _, err := b.EndUpload(t.Context(), "alpha", u.ID, upload.Abort, upload.Client); err != nil {
		t.Fatal(err)
	}
	_, err = b.StartMultipart(t.Context(), "alpha", u.ID, "s3")
	wantCode(t, err, fault.UploadEnded)
	_, err = b.StartMultipart(t.Context(), "alpha", newID(), "s3")
	wantCode(t, err, fault.NotFound)
}

func TestCompletionIsRecordedOnce(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.multipart(w, "p", 10)
	said := upload.Completion{Parts: "digest", CRC64NVME: "AAAAAAAAAAA=", BegunAt: b.now()}
	begun := b.begin(u, said)
	if begun.State != upload.Completing || begun.Rev != 3 || begun.Checksum() != said.CRC64NVME {
		t.Errorf("begun as %+v", begun)
	}
	read, err := b.Upload(t.Context(), "alpha", u.ID)
	if diff := cmp.Diff(begun, read); diff != "" || err != nil {
		t.Errorf("reads as (%v):\n%s", err, diff)
	}
	later := said
	later.BegunAt = b.now()
	if again := b.begin(u, later); again.Rev != 3 || !again.Completion.BegunAt.Equal(said.BegunAt) {
		t.Errorf("begun again as %+v", again)
	}
	other := said
	other.Parts = "another"
	_, err = b.BeginCompletion(t.Context(), "alpha", u.ID, other)
	wantCode(t, err, fault.Conflict)
	_, err = b.EndUpload(t.Context(), "alpha", u.ID, upload.Abort, upload.Client)
	wantCode(t, err, fault.Conflict)
	b.wantUsage("alpha", amount(10, 1, 1), amount(0, 0, 0))

	done, err := b.EndCompletion(t.Context(), begun, upload.Assemble, upload.Client, nil)
	if err != nil || done.State != upload.Uploaded || done.Rev != 4 {
		t.Errorf("assembled as %+v, %v", done, err)
	}
	if again := b.begin(u, later); again.State != upload.Uploaded {
		t.Errorf("completed after that: %+v", again)
	}
	b.publish(done)
	if again := b.begin(u, later); again.State != upload.Available {
		t.Errorf("completed after it was published: %+v", again)
	}
}

func TestRefusedCompletionCanBeRepeated(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	first := b.begin(b.multipart(w, "p", 10), upload.Completion{Parts: "one"})
	why := object.Reason{Code: fault.ChecksumMismatch, Detail: "other bytes"}
	open, err := b.EndCompletion(t.Context(), first, upload.Reopen, upload.Completer, &why)
	if err != nil || open.State != upload.Uploading || open.Reason == nil || *open.Reason != why {
		t.Fatalf("reopened as %+v, %v", open, err)
	}
	second := b.begin(open, upload.Completion{Parts: "two"})
	if second.State != upload.Completing || second.Reason != nil || second.Completion.Parts != "two" {
		t.Errorf("completed again as %+v", second)
	}
	// What becomes of the first completion does not matter any more.
	for _, e := range []upload.Event{upload.Reopen, upload.Assemble} {
		now, err := b.EndCompletion(t.Context(), first, e, upload.Client, nil)
		if err != nil || now.State != upload.Completing || now.Rev != second.Rev {
			t.Errorf("%s of the first: %+v, %v", e, now, err)
		}
	}
	// S3's event overtakes the answer.
	b.publish(second)
	now, err := b.EndCompletion(t.Context(), second, upload.Assemble, upload.Client, nil)
	if err != nil || now.State != upload.Available {
		t.Errorf("assembled after it was published: %+v, %v", now, err)
	}
	_, err = b.EndCompletion(t.Context(), second, upload.Publish, upload.Ingest, nil)
	if err == nil {
		t.Error("publish ended a completion")
	}
}

func TestLostPartsRejectTheUpload(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	u := b.begin(b.multipart(w, "p", 10), upload.Completion{Parts: "one", BegunAt: time.Now()})
	why := object.Reason{Code: fault.PartsIncomplete, Detail: "gone"}
	for range 2 {
		rejected, err := b.RejectCompletion(t.Context(), u, why)
		if err != nil || rejected.State != upload.Rejected || rejected.EndedBy != upload.Completer || len(rejected.Reservation) == 0 {
			t.Fatalf("rejected as %+v, %v", rejected, err)
		}
	}
	b.wantUsage("alpha", amount(10, 1, 1), amount(0, 0, 0))
	if err := b.ReleaseUpload(t.Context(), "alpha", u.ID); err != nil {
		t.Fatal(err)
	}
	b.wantUsage("alpha", amount(0, 0, 0), amount(0, 0, 0))
	o, err := b.Object(t.Context(), "alpha", u.ObjectID)
	if err != nil || o.State != object.Rejected || *o.Reason != why {
		t.Errorf("the object is %+v, %v", o, err)
	}
	open := b.multipart(w, "q", 10)
	_, err = b.RejectCompletion(t.Context(), open, why)
	wantCode(t, err, fault.Forbidden) // nobody but ingest rejects what was not completed
}

// TestCompletionMeetsOthers completes, aborts, reopens and publishes one upload at the same
// moment, many times: it moves on step by step, and its quota is where its state says.
func TestCompletionMeetsOthers(t *testing.T) {
	t.Parallel()
	b := newBench(t)
	w := b.workspace("alpha", roomy())
	for round := range 12 {
		u := b.multipart(w, path(round), 10)
		together(6, func(i int) {
			ctx := t.Context()
			switch i {
			case 0, 1, 2:
				begun, err := b.BeginCompletion(ctx, "alpha", u.ID, upload.Completion{Parts: path(i % 2)})
				crowd{b: b}.tolerate(t, err, fault.Conflict, fault.UploadEnded)
				if err == nil {
					_, err = b.EndCompletion(ctx, begun, []upload.Event{upload.Assemble, upload.Reopen}[(round+i)%2], upload.Client, nil)
					crowd{b: b}.tolerate(t, err)
				}
			case 3:
				_, err := b.EndUpload(ctx, "alpha", u.ID, upload.Abort, upload.Client)
				crowd{b: b}.tolerate(t, err, fault.Conflict, fault.UploadEnded)
			case 4:
				_, err := b.Publish(ctx, u, facts(u))
				crowd{b: b}.tolerate(t, err, fault.UploadEnded)
			default:
				_, err := b.RejectCompletion(ctx, u, object.Reason{Code: fault.PartsIncomplete})
				crowd{b: b}.tolerate(t, err, fault.Conflict, fault.Forbidden, fault.UploadEnded)
			}
		})
		now, err := b.Upload(t.Context(), "alpha", u.ID)
		if err != nil || !now.State.Ended() { // publish always can
			t.Errorf("round %d: %+v, %v", round, now, err)
		}
		if err := b.ReleaseUpload(t.Context(), "alpha", u.ID); err != nil {
			t.Error(err)
		}
		if o, err := b.Object(t.Context(), "alpha", u.ObjectID); err == nil && o.State == object.Available {
			if _, err := b.DeleteObject(t.Context(), "alpha", o.ID, 0, "owner"); err != nil {
				t.Error(err)
			}
		}
	}
	if got := b.usage("alpha"); got.Reserved != (workspace.Amount{}) || got.Total() != got.Limit {
		t.Errorf("usage is %+v", got)
	}
}
