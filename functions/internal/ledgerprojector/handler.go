// Package ledgerprojector keeps the storage ledger and the search index up to date with
// what happens to objects.
//
// A rule on the bus sends every event of an object to a queue. A batch of events is booked
// in one transaction: what each object holds from when on, and what can be found of it.
// Events come late, twice and in any order: the books are the same (see package ledger).
//
// Of small text files the beginning is read from storage, before the transaction, by the
// key that the event tells; one that cannot be read is found by its name alone. What is
// wrong with one event holds up no other: it goes to the dead letters. While the database or
// storage is out of reach, events wait in the queue, for days.
package ledgerprojector

import (
	"context"
	"encoding/json"
	"log/slog"
	"sync"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/pgstore"
	"github.com/stowage-dev/stowage/shared/search"
)

// Config is what the function is told by its environment.
type Config struct {
	Database         pgstore.Settings
	Bucket           string // STOWAGE_BUCKET
	DeadLetterBucket string // STOWAGE_DEAD_LETTER_BUCKET
}

// ParseConfig reads the configuration; the error names all that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{
		Database:         pgstore.ParseSettings(s),
		Bucket:           s.Required("STOWAGE_BUCKET"),
		DeadLetterBucket: s.Required("STOWAGE_DEAD_LETTER_BUCKET"),
	}
	return cfg, s.Err()
}

// Books keeps the ledger and the index.
type Books interface {
	// Book is one transaction, and repeating it changes nothing.
	Book(ctx context.Context, facts []ledger.Fact, docs []search.Document) (pgstore.Booked, error)
}

// Texts reads the beginnings of text files.
type Texts interface {
	// Beginning returns a fault.NotFound error for a key that cannot be read.
	Beginning(ctx context.Context, key string, most int) ([]byte, error)
}

// Parts is what a Handler works with.
type Parts struct {
	Books       Books
	Texts       Texts
	DeadLetters batch.DeadLetters
	Observer    batch.Observer
	Metrics     *observe.Metrics
	Log         *slog.Logger
	Now         func() time.Time
}

// Handler books the events of a queue. It is safe for concurrent use.
type Handler struct{ Parts }

// New returns a handler.
func New(p Parts) *Handler { return &Handler{p} }

const (
	// together is how many events are booked in one transaction: a whole batch.
	together = 100
	// readers is how many texts are read at a time.
	readers = 8
	// givenUpAfter is how often an event is tried whose failure is neither known to last nor
	// known to pass: every 6 minutes for two hours. An outage may last as long as the queue
	// delivers, which is days.
	givenUpAfter = 20
)

// Handle books a batch of messages. What fails transiently is handed back to the queue;
// what can never succeed goes to the dead letters at once, and what nobody has foreseen
// after a while.
func (h *Handler) Handle(ctx context.Context, ev events.SQSEvent) (events.SQSEventResponse, error) {
	back, err := batch.ProcessGroups(ctx, batch.SQSSource(), ev.Records, batch.Group[events.SQSMessage]{MaxRecords: together}, h.messages,
		batch.DeadLetter(h.DeadLetters),
		batch.PermanentIf(fault.Permanent),
		batch.GiveUpAfter(givenUpAfter, func(err error) bool { return fault.Transient(err) || pgstore.OfServer(err) }),
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

// messages books several messages together, or each alone when they cannot be.
func (h *Handler) messages(ctx context.Context, messages []events.SQSMessage) []error {
	errs := make([]error, len(messages))
	var good []projection
	var place []int // of each good one among the messages
	for i, m := range messages {
		p, err := decode(m.Body)
		if errs[i] = err; err == nil {
			good, place = append(good, p), append(place, i)
		}
	}
	for i, err := range h.readTexts(ctx, good) {
		errs[place[i]] = err
	}
	var ready []projection
	var at []int
	for i, p := range good {
		if errs[place[i]] == nil {
			ready, at = append(ready, p), append(at, place[i])
		}
	}
	err := h.book(ctx, ready)
	if err == nil {
		return errs
	}
	for i, p := range ready {
		errs[at[i]] = err
		if fault.Transient(err) || len(ready) == 1 {
			continue
		}
		// One of them is at fault: the others are not to wait for it.
		errs[at[i]] = h.book(ctx, []projection{p})
	}
	return errs
}

func (h *Handler) book(ctx context.Context, all []projection) error {
	facts, docs := make([]ledger.Fact, len(all)), make([]search.Document, len(all))
	for i, p := range all {
		facts[i], docs[i] = p.fact, p.document
	}
	done, err := h.Books.Book(ctx, facts, docs)
	if err != nil {
		return err
	}
	h.Metrics.Add("LedgerFactsBooked", done.Applied)
	h.Metrics.Add("LedgerFactsRepeated", done.Repeated)
	if done.Unforgotten != nil {
		h.Metrics.Add("LedgerWordsUnforgotten", 1)
		h.Log.LogAttrs(ctx, slog.LevelWarn, "words that objects have lost were not looked up", slog.Any("error", done.Unforgotten))
	}
	for _, f := range done.Disputed {
		h.Metrics.Add("LedgerFactsDisputed", 1)
		h.Log.LogAttrs(ctx, slog.LevelError, "event contradicts what is booked for its rev",
			slog.String("workspace", f.Workspace), slog.String("object", f.Object), slog.Int64("rev", f.Rev))
	}
	if len(all) > 0 {
		oldest := all[0].fact.At
		for _, p := range all {
			if p.fact.At.Before(oldest) {
				oldest = p.fact.At
			}
		}
		h.Metrics.Observe("LedgerLagMillis", observe.Milliseconds, float64(h.Now().Sub(oldest).Milliseconds()))
	}
	return nil
}

// readTexts puts the beginnings of text files into the documents of those that have one.
func (h *Handler) readTexts(ctx context.Context, all []projection) []error {
	errs := make([]error, len(all))
	var wg sync.WaitGroup
	slots := make(chan struct{}, readers)
	for i := range all {
		if all[i].textKey == "" {
			continue
		}
		wg.Go(func() {
			slots <- struct{}{}
			defer func() { <-slots }()
			errs[i] = h.readText(ctx, &all[i])
		})
	}
	wg.Wait()
	return errs
}

func (h *Handler) readText(ctx context.Context, p *projection) error {
	data, err := h.Texts.Beginning(ctx, p.textKey, search.BodyBytes)
	switch {
	case fault.Is(err, fault.NotFound):
		// Deleted since, or published under another object than its key names: what is
		// found of it is its name.
		h.Metrics.Add("LedgerTextsMissing", 1)
		return nil
	case err != nil:
		return err
	}
	text := search.Clean(string(data), search.BodyBytes)
	p.document.Body = &text
	h.Metrics.Add("LedgerTextsRead", 1)
	return nil
}

// decode reads what a message says.
func decode(body string) (projection, error) {
	var envelope struct {
		Detail *event.Event `json:"detail"`
	}
	if err := json.Unmarshal([]byte(body), &envelope); err != nil {
		return projection{}, fault.Wrap(fault.InvalidArgument, err, "the message is no event of the bus")
	}
	if envelope.Detail == nil {
		return projection{}, fault.New(fault.InvalidArgument, "the message has no detail")
	}
	return project(*envelope.Detail)
}
