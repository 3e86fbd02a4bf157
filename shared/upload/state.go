package upload

import (
	"slices"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
)

// State is where an upload stands.
type State string

const (
	// Open uploads take bytes from their client.
	Open State = "open"
	// Uploading ones have parts that were signed.
	Uploading State = "uploading"
	// Completing ones wait for S3 to assemble their parts.
	Completing State = "completing"
	// Uploaded ones have all bytes in S3 and wait for their verification.
	Uploaded State = "uploaded"
	// Quarantined ones were verified and wait for a scanner's verdict.
	Quarantined State = "quarantined"
	// Available is the end of an upload that was published.
	Available State = "available"
	// Rejected is the end of an upload whose bytes were refused.
	Rejected State = "rejected"
	// Expired is the end of an upload that was left behind.
	Expired State = "expired"
	// Aborted is the end of an upload that its client gave up.
	Aborted State = "aborted"
)

// Ended reports whether nothing can happen to an upload in state s any more.
func (s State) Ended() bool {
	switch s {
	case Available, Rejected, Expired, Aborted:
		return true
	default:
		return false
	}
}

// Actor is who makes a transition.
type Actor string

const (
	// Client is whoever calls the API.
	Client Actor = "client"
	// Ingest verifies bytes that S3 says have arrived.
	Ingest Actor = "ingest"
	// Completer finishes multipart uploads in the background.
	Completer Actor = "completer"
	// Sweeper ends what was left behind.
	Sweeper Actor = "sweeper"
)

// Event is what happens to an upload.
type Event string

const (
	// SignParts is the signing of parts for the client.
	SignParts Event = "sign_parts"
	// Complete is the client saying that all parts are there.
	Complete Event = "complete"
	// Assemble is S3 having made one object of the parts.
	Assemble Event = "assemble"
	// Reopen is S3 refusing to make an object of the parts: the client can put
	// them right.
	Reopen Event = "reopen"
	// Hold is the bytes being what was declared, and a scanner having to look at them
	// before they are published.
	Hold Event = "hold"
	// Publish is the bytes being what was declared, and clean where a scanner looks at
	// them.
	Publish Event = "publish"
	// Reject is the bytes being something else, or not allowed.
	Reject Event = "reject"
	// Abort is the client giving up.
	Abort Event = "abort"
	// Expire is the time being up.
	Expire Event = "expire"
)

// transition is one row of the state machine.
type transition struct {
	event Event
	by    []Actor
	from  []State
	to    State
}

// transitions is the whole state machine. S3's event can overtake the
// completer, and a scanner's verdict S3's event, so Hold, Publish and Reject are
// allowed from every state in which bytes may be in S3; and a client cannot abort
// what S3 may already have assembled. What waits for a scanner does so for as long
// as it takes: its time is never up.
func transitions() []transition {
	return []transition{
		{SignParts, []Actor{Client}, []State{Open, Uploading}, Uploading},
		{Complete, []Actor{Client}, []State{Uploading, Completing}, Completing},
		{Assemble, []Actor{Client, Completer}, []State{Completing, Uploaded}, Uploaded},
		{Reopen, []Actor{Client, Completer}, []State{Completing}, Uploading},
		{Hold, []Actor{Ingest}, []State{Open, Uploading, Completing, Uploaded}, Quarantined},
		{Publish, []Actor{Ingest}, []State{Open, Uploading, Completing, Uploaded, Quarantined}, Available},
		{Reject, []Actor{Ingest}, []State{Open, Uploading, Completing, Uploaded, Quarantined}, Rejected},
		{Reject, []Actor{Completer}, []State{Completing}, Rejected},
		{Abort, []Actor{Client}, []State{Open, Uploading}, Aborted},
		{Expire, []Actor{Sweeper}, []State{Open, Uploading, Completing, Uploaded}, Expired},
	}
}

// Transition returns the state that follows from when event happens by actor.
// It returns an UploadEnded error when from is an end, a Forbidden error when
// only other actors may do that, and a Conflict error when nobody may from
// there. An end is never left: a repeated event on it is for the caller to
// recognise.
func Transition(from State, event Event, by Actor) (State, error) {
	if from.Ended() {
		return "", fault.New(fault.UploadEnded, "the upload is %s", from).With("state", string(from))
	}
	known := false
	for _, t := range transitions() {
		if t.event != event || !slices.Contains(t.from, from) {
			continue
		}
		if slices.Contains(t.by, by) {
			return t.to, nil
		}
		known = true
	}
	if known {
		return "", fault.New(fault.Forbidden, "%s may not %s an upload that is %s", by, event, from)
	}
	return "", fault.New(fault.Conflict, "cannot %s an upload that is %s", event, from).With("state", string(from))
}

// EndedAs reports whether u has ended in the way in which event ends an upload.
func (u Upload) EndedAs(event Event) bool {
	if !u.State.Ended() {
		return false
	}
	return slices.ContainsFunc(transitions(), func(t transition) bool {
		return t.event == event && t.to == u.State
	})
}

// End returns u after event has ended it, still with its reservation, or the
// error of Transition.
func (u Upload) End(event Event, by Actor, at time.Time) (Upload, error) {
	to, err := Transition(u.State, event, by)
	if err != nil {
		return Upload{}, err
	}
	u.State, u.EndedAt, u.EndedBy = to, at, by
	u.Rev++
	return u, nil
}
