package pgstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/big"

	"github.com/jackc/pgx/v5"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/pgstore/internal/queries"
)

// Key makes an adjustment the same however often it is asked for: who asks, under which
// Idempotency-Key, and a digest of what the request says.
type Key struct {
	Name    string
	Request []byte
}

// Adjust books an adjustment once for each key, which never expires. It returns the one that
// was booked, and whether that was before. What is taken off must be there: an adjustment
// after which the class's balance, at the end of some quarter of an hour from its beginning
// to its end (to whatever comes last where it has none), would be below 0 gets a Conflict
// error; so does one after which it would be more than the books can hold.
//
// The transaction is serializable: of adjustments that compete for the same bytes, those
// win that are there for.
func (db *DB) Adjust(ctx context.Context, a ledger.Adjustment, key Key) (booked ledger.Adjustment, repeated bool, err error) {
	t := transaction{name: "Adjust", begin: serializable, workspaces: []string{a.Workspace}}
	t.do = func(ctx context.Context, q *queries.Queries) error {
		was, err := adjustmentOf(ctx, q, a, key)
		switch {
		case err == nil:
			booked, repeated = was, true
			return nil
		case !errors.Is(err, pgx.ErrNoRows):
			return err
		}
		booked, repeated = a, false
		return bookAdjustment(ctx, q, a, key)
	}
	if err := db.write(ctx, t); err != nil {
		return ledger.Adjustment{}, false, err
	}
	// An attempt whose commit was not answered is found by the next one, with the id that
	// this call has chosen: it was not booked before.
	return booked, repeated && booked.ID != a.ID, nil
}

func adjustmentOf(ctx context.Context, q *queries.Queries, a ledger.Adjustment, key Key) (ledger.Adjustment, error) {
	r, err := q.AdjustmentOfKey(ctx, queries.AdjustmentOfKeyParams{Workspace: a.Workspace, BookedBy: a.BookedBy, Key: key.Name})
	if err != nil {
		return ledger.Adjustment{}, fmt.Errorf("look for the adjustment: %w", err)
	}
	if !bytes.Equal(r.Request, key.Request) {
		return ledger.Adjustment{}, fault.New(fault.IdempotencyReused, "the Idempotency-Key was used for another adjustment")
	}
	was := ledger.Adjustment{
		Workspace: r.Workspace, ID: r.ID, Class: ledger.Class(r.Class), Bytes: r.Bytes, From: r.FromAt.UTC(),
		Reason: r.Reason, BookedBy: r.BookedBy, BookedAt: r.BookedAt.UTC(),
	}
	if r.UntilAt != nil {
		was.Until = r.UntilAt.UTC()
	}
	return was, nil
}

func bookAdjustment(ctx context.Context, q *queries.Queries, a ledger.Adjustment, key Key) error {
	span := queries.BalanceBoundsParams{Workspace: a.Workspace, Class: string(a.Class), FromQuarter: ledger.QuarterOf(a.From)}
	if !a.Until.IsZero() { // what goes on is checked against all that comes after, too
		to := max(ledger.QuarterOf(a.Until), span.FromQuarter+1)
		span.ToQuarter = &to
	}
	bounds, err := q.BalanceBounds(ctx, span)
	if err != nil {
		return fmt.Errorf("find the lowest and the highest balance: %w", err)
	}
	if err := checkBalance(a, bounds.Lowest, bounds.Highest); err != nil {
		return err
	}
	var b bookings
	b.post(a.Workspace, a.ID, "", ledger.Adjusted, ledger.Corrected, a.Movements())
	if err := q.AddAdjustment(ctx, queries.AddAdjustmentParams{
		Workspace: a.Workspace, ID: a.ID, Class: string(a.Class), Bytes: a.Bytes, FromAt: a.From, UntilAt: optionalTime(a.Until),
		Reason: a.Reason, BookedBy: a.BookedBy, BookedAt: a.BookedAt, Key: key.Name, Request: key.Request,
	}); err != nil {
		return fmt.Errorf("add the adjustment: %w", err)
	}
	return b.write(ctx, q)
}

// checkBalance refuses an adjustment that takes off more than there is at the lowest balance
// of its time, or that adds more to the highest one than the books are to hold.
func checkBalance(a ledger.Adjustment, lowest, highest string) error {
	low, ok := new(big.Int).SetString(lowest, 10)
	if !ok {
		return fmt.Errorf("lowest balance of %s is no integer", a.Class)
	}
	high, ok := new(big.Int).SetString(highest, 10)
	if !ok {
		return fmt.Errorf("highest balance of %s is no integer", a.Class)
	}
	bytes := big.NewInt(a.Bytes)
	least, most := new(big.Int).Add(low, bytes), new(big.Int).Add(high, bytes)
	switch {
	case a.Bytes < 0 && least.Sign() < 0:
		return fault.New(fault.Conflict, "%s holds %s bytes at its lowest in that time, fewer than would be taken off", a.Class, low).
			With("lowest", low.String()).With("bytes", a.Bytes)
	case a.Bytes > 0 && most.Cmp(big.NewInt(ledger.MaxAdjustmentBytes)) > 0:
		return fault.New(fault.Conflict, "%s would hold %s bytes at its highest in that time, more than the %d that the books can hold", a.Class, most, ledger.MaxAdjustmentBytes)
	}
	return nil
}
