package client

import (
	"context"
	"iter"
	"net/http"
	"net/url"
	"time"
)

// Entry is one side of a movement of bytes in the ledger: a debit, or a credit where
// Bytes is below 0. The entries of one Journal sum up to 0.
type Entry struct {
	ID       string    `json:"id"`
	Journal  string    `json:"journal"` // an object and its rev, or the id of an adjustment
	Account  string    `json:"account"` // stored, supply, adjusted, allowance
	Class    string    `json:"class"`   // the storage class
	Object   string    `json:"object"`  // empty for adjustments
	At       time.Time `json:"at"`      // when the bytes came or went
	BookedAt time.Time `json:"bookedAt"`
	Bytes    int64     `json:"bytes"`
}

// EntryFilter chooses entries. The zero value is all of them.
type EntryFilter struct {
	Account, Class, Object string
	From, Until            time.Time // of bytes that came or went in [From, Until)
}

// Entries yields the entries of the workspace's ledger, page by page, the last booked first.
// The ledger is there where the relational stack is deployed; elsewhere its methods
// return a Problem with the status 404.
func (c *Client) Entries(ctx context.Context, f EntryFilter) iter.Seq2[Entry, error] {
	query := url.Values{}
	setText(query, "account", f.Account)
	setText(query, "class", f.Class)
	setText(query, "object", f.Object)
	setTime(query, "from", f.From)
	setTime(query, "until", f.Until)
	return pages[Entry](ctx, c, "/v1/ledger/entries", query)
}

// Statement is what a workspace held over a period, and what that costs.
type Statement struct {
	Period   string          `json:"period"`
	Zone     string          `json:"zone"`
	From     time.Time       `json:"from"`
	Until    time.Time       `json:"until"`
	Hours    float64         `json:"hours"`   // 23 or 25 for days on which clocks change
	Through  time.Time       `json:"through"` // up to when it counts: Until, or now's last whole quarter of an hour
	Complete bool            `json:"complete"`
	Lines    []StatementLine `json:"lines"`
	Totals   []struct {
		Currency string `json:"currency"`
		Amount   string `json:"amount"`
	} `json:"totals"`
}

// StatementLine is one storage class, over the time of one price.
type StatementLine struct {
	Class    string    `json:"class"`
	From     time.Time `json:"from"`
	Until    time.Time `json:"until"`
	Measured Quantity  `json:"measured"` // what objects held
	Adjusted Quantity  `json:"adjusted"` // what adjustments added, or took off
	Total    Quantity  `json:"total"`
	Price    *struct { // nil where the class has none
		Currency        string    `json:"currency"`
		PicosPerGiBHour int64     `json:"picosPerGiBHour"` // in 10⁻¹² of the currency's unit
		From            time.Time `json:"from"`
	} `json:"price"`
	Amount string `json:"amount"` // decimal
}

// Quantity is bytes held over time, as integers of any size.
type Quantity struct {
	ByteHours  string `json:"byteHours"`  // rounded half to even
	ByteMillis string `json:"byteMillis"` // exact
}

// Statement draws up the statement of a period: a year, a month or a day such as 2026,
// 2026-11 or 2026-11-23, of the days of an IANA time zone ("" is UTC).
func (c *Client) Statement(ctx context.Context, period, zone string) (Statement, error) {
	query := url.Values{"period": {period}}
	setText(query, "zone", zone)
	var statement Statement
	err := c.call(ctx, request{method: http.MethodGet, path: "/v1/ledger/statement", query: query, out: &statement})
	return statement, err
}

// NewAdjustment adds bytes to what is billed, or takes them off where Bytes is below 0.
type NewAdjustment struct {
	Class  string     `json:"class"`
	Bytes  int64      `json:"bytes"`
	From   time.Time  `json:"from"`            // not in the future
	Until  *time.Time `json:"until,omitempty"` // nil: it goes on
	Reason string     `json:"reason"`
}

// Adjustment is an adjustment that was booked.
type Adjustment struct {
	NewAdjustment
	ID       string    `json:"id"` // also the journal of its entries
	BookedBy string    `json:"bookedBy"`
	BookedAt time.Time `json:"bookedAt"`
}

// Adjust books an adjustment. It takes a token with the scope billing. The key, which you
// choose and keep, books once however often it is sent, for good: the same key with the same
// adjustment returns what was booked, and with another one is refused.
func (c *Client) Adjust(ctx context.Context, key string, adjustment NewAdjustment) (Adjustment, error) {
	var booked Adjustment
	err := c.call(ctx, request{
		method: http.MethodPost, path: "/v1/ledger/adjustments", in: adjustment, out: &booked, repeatable: true, key: key,
	})
	return booked, err
}
