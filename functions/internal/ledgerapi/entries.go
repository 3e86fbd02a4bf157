package ledgerapi

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/cursor"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/httpapi"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/pgstore"
)

type entryView struct {
	ID       string         `json:"id" doc:"Rises with every entry, with gaps."`
	Journal  string         `json:"journal" doc:"What was booked: an object and its rev, or the id of an adjustment. Its entries sum up to 0."`
	Account  ledger.Account `json:"account" enum:"stored,supply,adjusted,allowance"`
	Class    ledger.Class   `json:"class" doc:"The storage class." example:"INTELLIGENT_TIERING"`
	Object   string         `json:"object,omitempty" doc:"The object whose bytes they are; not of adjustments."`
	At       time.Time      `json:"at" doc:"When the bytes came or went."`
	BookedAt time.Time      `json:"bookedAt" doc:"When that was booked, which may be later."`
	Bytes    int64          `json:"bytes" doc:"A debit, or a credit where it is below 0."`
}

type entryList struct {
	httpapi.PageQuery
	Account string    `query:"account" enum:"stored,supply,adjusted,allowance" doc:"Entries of that account only."`
	Class   string    `query:"class" maxLength:"32" doc:"Entries of that storage class only." example:"STANDARD"`
	Object  string    `query:"object" maxLength:"64" doc:"Entries of that object only."`
	From    time.Time `query:"from" doc:"Entries of bytes that came or went then or later."`
	Until   time.Time `query:"until" doc:"Entries of bytes that came or went before."`
}

type entryPage struct {
	Body struct {
		Items      []entryView `json:"items" nullable:"false"`
		NextCursor *string     `json:"nextCursor" doc:"For the next page; null on the last one."`
	}
}

func (a *api) listEntries(ctx context.Context, in *entryList) (*entryPage, error) {
	filter, err := in.filter()
	if err != nil {
		return nil, err
	}
	ws := tenancy.CallerFrom(ctx).Workspace
	binding := cursor.Binding{Workspace: ws, Query: fmt.Sprintf("entries %q %q %q %s %s",
		filter.Account, filter.Class, filter.Object, filter.From.Format(time.RFC3339Nano), filter.Until.Format(time.RFC3339Nano))}
	position, err := a.position(ctx, binding, in.Cursor)
	if err != nil {
		return nil, err
	}
	before := int64(0)
	if position != nil {
		if before, err = strconv.ParseInt(string(position), 10, 64); err != nil {
			return nil, fmt.Errorf("position of a list of entries: %w", err)
		}
	}
	entries, next, err := a.Ledger.Entries(ctx, ws, filter, before, in.Limit)
	if err != nil {
		return nil, fmt.Errorf("list the entries of %s: %w", ws, err)
	}
	out := &entryPage{}
	out.Body.Items = make([]entryView, len(entries))
	for i, e := range entries {
		out.Body.Items[i] = entryView{
			ID: strconv.FormatInt(e.ID, 10), Journal: e.Journal, Account: e.Account, Class: e.Class,
			Object: e.Object, At: e.At, BookedAt: e.BookedAt, Bytes: e.Bytes,
		}
	}
	if next != 0 {
		out.Body.NextCursor, err = a.seal(ctx, binding, strconv.AppendInt(nil, next, 10))
	}
	return out, err
}

func (in *entryList) filter() (pgstore.EntryFilter, error) {
	f := pgstore.EntryFilter{Account: ledger.Account(in.Account), Object: in.Object, From: in.From.UTC(), Until: in.Until.UTC()}
	if in.Class != "" {
		class, err := ledger.ParseClass(in.Class)
		if err != nil {
			return f, fault.Inside("query.", err)
		}
		f.Class = class
	}
	if in.Object != "" && !object.IsID(in.Object) {
		return f, fault.Invalid("query.object", "must be the id of an object")
	}
	if in.From.IsZero() {
		f.From = time.Time{}
	}
	if in.Until.IsZero() {
		f.Until = time.Time{}
	}
	return f, fault.Join(sane("query.from", in.From), sane("query.until", in.Until))
}

// sane refuses times that are no times of this ledger, and that a database may not know.
func sane(field string, t time.Time) error {
	if !t.IsZero() && (t.Year() < 1900 || t.Year() > 2300) {
		return fault.Invalid(field, "lies outside the years 1900 to 2300")
	}
	return nil
}
