package ledger

import (
	"cmp"
	"math/big"
	"slices"
	"time"
)

// Basis says where a quantity comes from.
type Basis string

// The two bases of what is billed.
const (
	Measured  Basis = "measured" // what objects held
	Corrected Basis = "adjusted" // what adjustments added or took off
)

// Sums is what the books hold of one class and basis about a span of whole quarters. What
// many entries sum up to may be more than 64 bits hold; nil is 0.
type Sums struct {
	Class Class
	Basis Basis
	Span  Span
	// Opening is the balance in bytes when the span begins.
	Opening *big.Int
	// Within is the sum of the movements within the span.
	Within *big.Int
	// Moment is the sum of each movement's bytes times the milliseconds from the span's
	// beginning to the movement.
	Moment *big.Int
}

// Quantity returns what was held over the span: every movement counts from its own
// millisecond on.
func (s Sums) Quantity() Quantity {
	total := new(big.Int)
	for _, bytes := range []*big.Int{s.Opening, s.Within} {
		if bytes != nil {
			total.Add(total, bytes)
		}
	}
	total.Mul(total, big.NewInt(s.Span.Duration().Milliseconds()))
	if s.Moment != nil {
		total.Sub(total, s.Moment)
	}
	return Quantity{total}
}

// Line is what was held of one class over a span of one price.
type Line struct {
	Class    Class
	Span     Span
	Measured Quantity
	Adjusted Quantity
	// Price is nil where the table has none; then Amount is 0.
	Price  *Price
	Amount Amount
}

// Total returns what the line is charged for.
func (l Line) Total() Quantity { return l.Measured.Add(l.Adjusted) }

// Statement is what a workspace held over a period, and what it costs.
type Statement struct {
	Workspace string
	Period    Period
	// Through is up to when it counts: the period's end, or the last whole quarter of an
	// hour of a period that is not over.
	Through time.Time
	Lines   []Line
	// Totals holds, by currency, the sum of the lines' amounts.
	Totals map[string]Amount
}

// Complete reports whether the period is over. Events that come later still add to it.
func (s Statement) Complete() bool { return !s.Through.Before(s.Period.End) }

// Through returns up to when a statement that is drawn up at a time can count, and
// whether that is after the period's beginning.
func Through(p Period, now time.Time) (through time.Time, begun bool) {
	through = QuarterStart(QuarterOf(now))
	if through.After(p.End) {
		through = p.End
	}
	return through, through.After(p.Start)
}

// Draw draws up a statement from the sums of every class, basis and span of one price.
func Draw(workspace string, p Period, through time.Time, prices Prices, sums []Sums) Statement {
	type key struct {
		class Class
		start int64
	}
	lines := map[key]*Line{}
	for _, s := range sums {
		k := key{s.Class, s.Span.Start.UnixMilli()}
		l := lines[k]
		if l == nil {
			l = &Line{Class: s.Class, Span: s.Span}
			lines[k] = l
		}
		if s.Basis == Corrected {
			l.Adjusted = l.Adjusted.Add(s.Quantity())
		} else {
			l.Measured = l.Measured.Add(s.Quantity())
		}
	}
	out := Statement{Workspace: workspace, Period: p, Through: through, Totals: map[string]Amount{}}
	for _, l := range lines {
		if l.Measured.Sign() == 0 && l.Adjusted.Sign() == 0 {
			continue
		}
		if price, ok := prices.At(l.Class, l.Span.Start); ok {
			l.Price, l.Amount = &price, price.Cost(l.Total())
			out.Totals[price.Currency] = out.Totals[price.Currency].Add(l.Amount)
		}
		out.Lines = append(out.Lines, *l)
	}
	slices.SortFunc(out.Lines, func(a, b Line) int {
		return cmp.Or(cmp.Compare(a.Class, b.Class), a.Span.Start.Compare(b.Span.Start))
	})
	return out
}
