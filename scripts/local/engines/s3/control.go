package s3

import (
	"context"
	"fmt"
	"log/slog"
	"net/rpc"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// The runtime and the engine's process call each other over two sockets that the process inherits,
// one for each direction, with net/rpc.
const (
	toRuntimeFD = 3 // the engine calls the runtime: runtimeService
	toEngineFD  = 4 // the runtime calls the engine: engineService
)

// settings are what the engine's process reads from its standard input.
type settings struct {
	Dir       string
	Region    string
	MasterKey []byte
	Users     []string
	Buckets   []Bucket
	Address   string // to serve at; empty: any free port
}

// Names of the calls.
const (
	runtimeName = "Runtime"
	callReady   = runtimeName + ".Ready"
	callEvents  = runtimeName + ".Events"

	engineName = "Engine"
	callTags   = engineName + ".Tags"
)

// nothing is the answer of a call that answers nothing; net/rpc must have one. (It must have types
// that are exported or, as these, have no name.)
type nothing = bool

// runtimeService is what the engine's process may call.
type runtimeService struct {
	ctx   context.Context //nolint:containedctx // net/rpc passes none: this is the engine's lifetime
	event func(ctx context.Context, e Event) error
	ready chan<- string
}

// Ready tells at which address the engine serves.
func (s *runtimeService) Ready(address string, _ *nothing) error {
	s.ready <- address
	return nil
}

// Events tells of changes; an error has them told again.
func (s *runtimeService) Events(events []Event, _ *nothing) error {
	for _, e := range events {
		trace, _ := xray.ParseHeader(e.Caller.Trace)
		if err := s.event(xray.WithHeader(s.ctx, trace), e); err != nil {
			return fmt.Errorf("%s of %s/%s: %w", e.Name, e.Bucket, e.Key, err)
		}
	}
	return nil
}

// tagsQuery asks for an object's tags; an empty version asks for the newest.
type tagsQuery = struct{ Bucket, Key, VersionID string }

// tagsAnswer has Found false when there is no such object, or when it is a delete marker.
type tagsAnswer = struct {
	Found bool
	Tags  map[string]string
}

// teller tells the runtime of events, and goes on trying where that fails.
type teller struct {
	runtime *rpc.Client
	outbox  *outbox
	logger  *slog.Logger
}

// Pauses between attempts to tell of an event.
const (
	firstPause = 100 * time.Millisecond
	lastPause  = 5 * time.Second
)

// events returns when the runtime has taken the events, or has refused them once: then they stay in the
// outbox and are told later.
func (t *teller) events(entry string, events []Event) {
	if t.attempt(entry, events) {
		return
	}
	go func() {
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			time.Sleep(pause)
			if t.attempt(entry, events) {
				return
			}
		}
	}()
}

func (t *teller) attempt(entry string, events []Event) bool {
	if err := t.runtime.Call(callEvents, events, new(nothing)); err != nil {
		t.logger.Error("could not tell the runtime of an object event; trying again", "entry", entry, "error", err)
		return false
	}
	if err := t.outbox.done(entry); err != nil {
		t.logger.Error("could not remove an event that was told; it will be told again", "entry", entry, "error", err)
	}
	return true
}
