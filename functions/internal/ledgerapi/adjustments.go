package ledgerapi

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/idempotency"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore"
)

type adjustmentBody struct {
	Class  string     `json:"class" maxLength:"32" doc:"The storage class." example:"INTELLIGENT_TIERING"`
	Bytes  int64      `json:"bytes" doc:"What is added to what is billed, or taken off where it is below 0." example:"-1073741824"`
	From   time.Time  `json:"from" doc:"Since when; not in the future."`
	Until  *time.Time `json:"until,omitempty" doc:"Until when; left out, it goes on."`
	Reason string     `json:"reason" minLength:"1" maxLength:"500" doc:"For whoever reads the statement." example:"counted twice"`
}

type adjustmentInput struct {
	Key  string `header:"Idempotency-Key" required:"true" minLength:"1" maxLength:"255" pattern:"^[ -~]+$" doc:"Makes the request safe to send again: the same key with the same request books once."`
	Body adjustmentBody
}

type adjustmentAnswer struct {
	Body struct {
		ID string `json:"id" doc:"Also the journal of its entries."`
		adjustmentBody
		BookedBy string    `json:"bookedBy"`
		BookedAt time.Time `json:"bookedAt"`
	}
}

func (a *api) createAdjustment(ctx context.Context, in *adjustmentInput) (*adjustmentAnswer, error) {
	c, now := tenancy.CallerFrom(ctx), a.Now().UTC().Truncate(time.Millisecond)
	class, err := ledger.ParseClass(in.Body.Class)
	if err == nil && in.Body.Class == "" {
		err = fault.Invalid("class", "must name a storage class")
	}
	wanted := ledger.Adjustment{
		Workspace: c.Workspace, ID: a.NewID(), Class: class, Bytes: in.Body.Bytes, From: millis(in.Body.From),
		Reason: in.Body.Reason, BookedBy: c.Sub, BookedAt: now,
	}
	if in.Body.Until != nil {
		wanted.Until = millis(*in.Body.Until)
	}
	key := idempotency.Request{Scope: []string{c.Workspace, c.Sub}, Key: in.Key, Payload: idempotency.Sum(string(httpapi.Body(ctx)))}
	if err := fault.Join(fault.Inside("body.", err), fault.Inside("body.", wanted.Validate(now)), fault.Inside("header.", key.Validate())); err != nil {
		return nil, err
	}
	booked, repeated, err := a.Ledger.Adjust(ctx, wanted, pgstore.Key{Name: in.Key, Request: key.Payload[:]})
	if err != nil {
		return nil, fmt.Errorf("adjust %s: %w", c.Workspace, err)
	}
	httpapi.Annotate(ctx, slog.Bool("replayed", repeated), slog.String("adjustment", booked.ID))
	out := &adjustmentAnswer{}
	out.Body.ID, out.Body.BookedBy, out.Body.BookedAt = booked.ID, booked.BookedBy, booked.BookedAt
	out.Body.adjustmentBody = adjustmentBody{Class: string(booked.Class), Bytes: booked.Bytes, From: booked.From, Reason: booked.Reason}
	if !booked.Until.IsZero() {
		out.Body.Until = &booked.Until
	}
	return out, nil
}

// millis is a time as exactly as the ledger keeps it.
func millis(t time.Time) time.Time { return t.UTC().Truncate(time.Millisecond) }
