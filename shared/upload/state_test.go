package upload_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/upload"
)

func states() []upload.State {
	return []upload.State{
		upload.Open, upload.Uploading, upload.Completing, upload.Uploaded, upload.Quarantined,
		upload.Available, upload.Rejected, upload.Expired, upload.Aborted,
	}
}

func events() []upload.Event {
	return []upload.Event{
		upload.SignParts, upload.Complete, upload.Assemble, upload.Reopen, upload.Hold, upload.Publish, upload.Reject, upload.Abort, upload.Expire,
	}
}

func actors() []upload.Actor {
	return []upload.Actor{upload.Client, upload.Ingest, upload.Completer, upload.Sweeper}
}

// TestTransitions is the state machine, written down once more by what the
// product wants: for each event, who may make it, from where, to where.
func TestTransitions(t *testing.T) {
	t.Parallel()
	type step struct {
		from  upload.State
		event upload.Event
		by    upload.Actor
	}
	allowed := map[step]upload.State{}
	allow := func(event upload.Event, to upload.State, by []upload.Actor, from ...upload.State) {
		for _, b := range by {
			for _, f := range from {
				allowed[step{f, event, b}] = to
			}
		}
	}
	client, ingest, sweeper := []upload.Actor{upload.Client}, []upload.Actor{upload.Ingest}, []upload.Actor{upload.Sweeper}
	finishers := []upload.Actor{upload.Client, upload.Completer}
	allow(upload.SignParts, upload.Uploading, client, upload.Open, upload.Uploading)
	allow(upload.Complete, upload.Completing, client, upload.Uploading, upload.Completing)
	allow(upload.Assemble, upload.Uploaded, finishers, upload.Completing, upload.Uploaded)
	allow(upload.Reopen, upload.Uploading, finishers, upload.Completing)
	allow(upload.Hold, upload.Quarantined, ingest, upload.Open, upload.Uploading, upload.Completing, upload.Uploaded)
	allow(upload.Publish, upload.Available, ingest, upload.Open, upload.Uploading, upload.Completing, upload.Uploaded, upload.Quarantined)
	allow(upload.Reject, upload.Rejected, ingest, upload.Open, upload.Uploading, upload.Completing, upload.Uploaded, upload.Quarantined)
	allow(upload.Reject, upload.Rejected, []upload.Actor{upload.Completer}, upload.Completing)
	allow(upload.Abort, upload.Aborted, client, upload.Open, upload.Uploading)
	allow(upload.Expire, upload.Expired, sweeper, upload.Open, upload.Uploading, upload.Completing, upload.Uploaded)

	for _, from := range states() {
		for _, event := range events() {
			for _, by := range actors() {
				to, err := upload.Transition(from, event, by)
				want, ok := allowed[step{from, event, by}]
				if ok != (err == nil) || to != want {
					t.Errorf("%s by %s from %s: %q, %v, want %q", event, by, from, to, err, want)
				}
			}
		}
	}
}

func TestCodesOfRefusedTransitions(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		from  upload.State
		event upload.Event
		by    upload.Actor
		code  fault.Code
	}{
		{upload.Aborted, upload.Publish, upload.Ingest, fault.UploadEnded},
		{upload.Available, upload.Publish, upload.Ingest, fault.UploadEnded},
		{upload.Open, upload.Publish, upload.Client, fault.Forbidden},
		{upload.Completing, upload.Abort, upload.Client, fault.Conflict},
		{"nonsense", upload.Publish, upload.Ingest, fault.Conflict},
	} {
		if _, err := upload.Transition(tc.from, tc.event, tc.by); !fault.Is(err, tc.code) {
			t.Errorf("%s by %s from %s: %v, want %s", tc.event, tc.by, tc.from, err, tc.code)
		}
	}
}

// TestAnyLifeEndsOnce lets anything happen in any order: an upload ends at most
// once, only its end is final, and the sweeper can end it unless it waits for a
// scanner.
func TestAnyLifeEndsOnce(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		u := upload.Upload{State: upload.Open, Rev: 1}
		ends := 0
		for range rapid.IntRange(1, 30).Draw(t, "steps") {
			event := rapid.SampledFrom(events()).Draw(t, "event")
			by := rapid.SampledFrom(actors()).Draw(t, "by")
			to, err := upload.Transition(u.State, event, by)
			if u.State.Ended() != fault.Is(err, fault.UploadEnded) {
				t.Fatalf("%s from %s: %v", event, u.State, err)
			}
			if err != nil {
				continue
			}
			if !to.Ended() {
				u.State = to
				continue
			}
			ended, err := u.End(event, by, time.Unix(1, 0))
			if err != nil || !ended.EndedAs(event) || ended.State != to || ended.Rev != u.Rev+1 || ended.EndedBy != by {
				t.Fatalf("ended by %s as %+v, %v", event, ended, err)
			}
			u = ended
			ends++
		}
		if ends > 1 || (ends == 1) != u.State.Ended() {
			t.Fatalf("ended %d times, is %s", ends, u.State)
		}
		if !u.State.Ended() {
			_, err := u.End(upload.Expire, upload.Sweeper, time.Unix(1, 0))
			if waits := u.State == upload.Quarantined; waits != (err != nil) {
				t.Fatalf("the sweeper ends it while it is %s: %v", u.State, err)
			}
		}
	})
}

func TestKeeps(t *testing.T) {
	t.Parallel()
	for _, state := range states() {
		u := upload.Upload{State: state, S3VersionID: "v1"}
		if got := u.Keeps("v1"); got != (state == upload.Available) {
			t.Errorf("%s keeps its version: %t", state, got)
		}
		if u.Keeps("v2") {
			t.Errorf("%s keeps another version", state)
		}
	}
}
