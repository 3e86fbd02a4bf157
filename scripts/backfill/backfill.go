package main

import (
	"context"
	"fmt"
	"io"
	"iter"
	"time"

	"github.com/stowage-dev/stowage/shared/ddbstore"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/object"
)

// objects reads the catalog.
type objects interface {
	ObjectsFrom(ctx context.Context, end string) iter.Seq2[ddbstore.ObjectPage, error]
}

// sender takes messages.
type sender interface {
	send(ctx context.Context, bodies []string) error
}

// backfill sends the events of a catalog's objects.
type backfill struct {
	options
	catalog       objects
	queue         sender
	to            envelope
	out, progress io.Writer
	told          time.Time // when it last said how far it is

	read, sent int
	place      string // up to which everything was sent
}

// progressEvery is how often it is said how far it is.
const progressEvery = 2 * time.Second

func (b *backfill) do(ctx context.Context) error {
	b.place = b.after
	for page, err := range b.catalog.ObjectsFrom(ctx, b.after) {
		if err == nil {
			err = b.page(ctx, page.Objects)
		}
		if err != nil {
			b.tell()
			return fmt.Errorf("%w; %s", err, b.goOn())
		}
		b.place = page.End
		if time.Since(b.told) >= progressEvery {
			b.tell()
		}
	}
	if b.dryRun {
		fmt.Fprintf(b.out, "%d objects read, %d events would be sent\n", b.read, b.sent)
		return nil
	}
	fmt.Fprintf(b.out, "%d objects read, %d events sent\n", b.read, b.sent)
	return nil
}

func (b *backfill) tell() {
	b.told = time.Now()
	if b.place != "" {
		fmt.Fprintf(b.progress, "backfill: %d objects read, %d events sent; to go on from here: -after %s\n", b.read, b.sent, b.place)
	}
}

// goOn says what to do after an interruption.
func (b *backfill) goOn() string {
	if b.place == "" {
		return "nothing is done yet: run it again"
	}
	return "go on with -after " + b.place
}

// page sends the events of a page's objects.
func (b *backfill) page(ctx context.Context, page []object.Object) error {
	bodies := make([]string, 0, len(page))
	for _, o := range page {
		if b.workspace != "" && o.Workspace != b.workspace {
			continue
		}
		b.read++
		body, made, err := b.to.message(o)
		if err != nil {
			return fmt.Errorf("make the event of object %s of %s: %w", o.ID, o.Workspace, err)
		}
		if made {
			bodies = append(bodies, body)
		}
	}
	if !b.dryRun {
		if err := b.queue.send(ctx, bodies); err != nil {
			return err
		}
	}
	b.sent += len(bodies)
	return nil
}

// message is the event of an object as it stands, as EventBridge would deliver it; of an
// object in a state that makes no event there is none.
func (e envelope) message(o object.Object) (string, bool, error) {
	ev, made := event.FromTransition(nil, &o)
	if !made {
		return "", false, nil
	}
	encoded, err := event.Encode(ev)
	if err != nil {
		return "", false, err
	}
	body, err := e.around(encoded)
	return body, true, err
}
