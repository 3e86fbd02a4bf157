package ledgerapi

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/functions/internal/tenancy"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/ledger"
)

type lineView struct {
	Class      ledger.Class `json:"class" example:"INTELLIGENT_TIERING"`
	From       time.Time    `json:"from" doc:"The line's beginning: the period's, or when a price changed."`
	Until      time.Time    `json:"until"`
	Measured   quantityView `json:"measured" doc:"What objects held."`
	Adjusted   quantityView `json:"adjusted" doc:"What adjustments added, or took off where it is below 0."`
	Total      quantityView `json:"total" doc:"What is charged for."`
	Price      *priceView   `json:"price,omitempty" doc:"Left out where the class has none; then nothing is charged."`
	AmountText string       `json:"amount" doc:"Rounded half to even, once." example:"1.234567"`
}

// quantities are integers of any size, and therefore text.
type quantityView struct {
	ByteHours  string `json:"byteHours" doc:"Rounded half to even." example:"744000000000"`
	ByteMillis string `json:"byteMillis" doc:"Exact: bytes times milliseconds." example:"2678400000000000000"`
}

func viewQuantity(q ledger.Quantity) quantityView { return quantityView{q.ByteHours(), q.ByteMillis()} }

type priceView struct {
	Currency        string    `json:"currency" example:"USD"`
	PicosPerGiBHour int64     `json:"picosPerGiBHour" doc:"In 10⁻¹² of the currency's unit." example:"31506849"`
	From            time.Time `json:"from" doc:"Since when it has been that."`
}

type totalView struct {
	Currency string `json:"currency" example:"USD"`
	Amount   string `json:"amount" doc:"The sum of the lines' amounts." example:"12.345678"`
}

type statementQuery struct {
	Period string `query:"period" required:"true" maxLength:"10" doc:"A year, a month or a day." example:"2026-11"`
	Zone   string `query:"zone" maxLength:"64" default:"UTC" doc:"The IANA name of the time zone whose days count." example:"Europe/Berlin"`
}

type statementAnswer struct {
	Body struct {
		Period   string      `json:"period" example:"2026-11"`
		Zone     string      `json:"zone" example:"Europe/Berlin"`
		From     time.Time   `json:"from"`
		Until    time.Time   `json:"until"`
		Hours    float64     `json:"hours" doc:"How long the period is: 23 or 25 for some days." example:"720"`
		Through  time.Time   `json:"through" doc:"Up to when it counts: until, or the last whole quarter of an hour of a period that is not over."`
		Complete bool        `json:"complete" doc:"The period is over."`
		Lines    []lineView  `json:"lines" nullable:"false"`
		Totals   []totalView `json:"totals" nullable:"false" doc:"By currency."`
	}
}

func (a *api) getStatement(ctx context.Context, in *statementQuery) (*statementAnswer, error) {
	zone, err := loadZone(in.Zone)
	if err != nil {
		return nil, err
	}
	period, err := ledger.ParsePeriod(in.Period, zone)
	if err != nil {
		return nil, fault.Inside("query.", err)
	}
	through, begun := ledger.Through(period, a.Now())
	if !begun {
		return nil, fault.Invalid("query.period", "%s has not begun, or not long enough ago", in.Period)
	}
	ws := tenancy.CallerFrom(ctx).Workspace
	s, err := a.Ledger.Statement(ctx, ws, period, through)
	if err != nil {
		return nil, fmt.Errorf("draw up a statement of %s: %w", ws, err)
	}
	return viewStatement(s), nil
}

// loadZone knows the zones of the IANA database and no files of this machine.
func loadZone(name string) (*time.Location, error) {
	if name == "" || name == "Local" || strings.Contains(name, "..") {
		return nil, fault.Invalid("query.zone", "must be the IANA name of a time zone such as Europe/Berlin")
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fault.Invalid("query.zone", "must be the IANA name of a time zone such as Europe/Berlin")
	}
	return zone, nil
}

func viewStatement(s ledger.Statement) *statementAnswer {
	out := &statementAnswer{}
	b := &out.Body
	b.Period, b.Zone = s.Period.Name, s.Period.Zone
	b.From, b.Until, b.Hours = s.Period.Start, s.Period.End, s.Period.Duration().Hours()
	b.Through, b.Complete = s.Through, s.Complete()
	b.Lines, b.Totals = make([]lineView, len(s.Lines)), make([]totalView, 0, len(s.Totals))
	for i, l := range s.Lines {
		b.Lines[i] = lineView{
			Class: l.Class, From: l.Span.Start, Until: l.Span.End,
			Measured: viewQuantity(l.Measured), Adjusted: viewQuantity(l.Adjusted), Total: viewQuantity(l.Total()),
			AmountText: l.Amount.String(),
		}
		if l.Price != nil {
			b.Lines[i].Price = &priceView{l.Price.Currency, l.Price.PicosPerGiBHour, l.Price.From}
		}
	}
	for _, currency := range slices.Sorted(maps.Keys(s.Totals)) {
		b.Totals = append(b.Totals, totalView{currency, s.Totals[currency].String()})
	}
	return out
}
