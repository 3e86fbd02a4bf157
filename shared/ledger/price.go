package ledger

import (
	"cmp"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"time"
)

// Price is what holding a GiB of a class for an hour costs from a time on.
type Price struct {
	Class    Class
	Currency string // ISO 4217
	// From is a whole quarter of an hour.
	From time.Time
	// PicosPerGiBHour is in 10⁻¹² of the currency's unit.
	PicosPerGiBHour int64
}

// Cost returns what a quantity costs at the price.
func (p Price) Cost(q Quantity) Amount {
	// picos = byte-ms × (picos / GiB-hour) / (bytes/GiB × ms/hour); an amount is in micros.
	n := new(big.Int).Mul(q.int(), big.NewInt(p.PicosPerGiBHour))
	return Amount{divide(n, perUnit())}
}

// perUnit is how many byte-milliseconds and picos make 10⁻⁶ of a currency's unit.
func perUnit() *big.Int {
	const bytesPerGiB, picosPerMicro = 1 << 30, 1_000_000
	return new(big.Int).Mul(product(bytesPerGiB, millisPerHour), big.NewInt(picosPerMicro))
}

// Amount is money in 10⁻⁶ of a currency's unit. The zero Amount is 0. It is a value.
type Amount struct{ micros *big.Int }

func (a Amount) int() *big.Int {
	if a.micros == nil {
		return new(big.Int)
	}
	return a.micros
}

// Add returns a + b.
func (a Amount) Add(b Amount) Amount { return Amount{new(big.Int).Add(a.int(), b.int())} }

// String is the amount with six decimals, such as "-0.000150".
func (a Amount) String() string {
	digits, sign := new(big.Int).Abs(a.int()).String(), ""
	if a.int().Sign() < 0 {
		sign = "-"
	}
	const decimals = 6
	if n := decimals + 1 - len(digits); n > 0 {
		digits = strings.Repeat("0", n) + digits
	}
	cut := len(digits) - decimals
	return sign + digits[:cut] + "." + digits[cut:]
}

// Prices are the prices of every class, at all times.
type Prices struct{ byClass map[Class][]Price }

// NewPrices returns the prices; of each class there is at most one from the same time on.
func NewPrices(list []Price) (Prices, error) {
	p := Prices{byClass: map[Class][]Price{}}
	for _, price := range list {
		if !price.From.Equal(price.From.Truncate(Quarter)) {
			return Prices{}, fmt.Errorf("price of %s from %s: a price begins at a whole quarter of an hour", price.Class, price.From)
		}
		p.byClass[price.Class] = append(p.byClass[price.Class], price)
	}
	for class, prices := range p.byClass {
		slices.SortFunc(prices, func(a, b Price) int { return a.From.Compare(b.From) })
		for i := 1; i < len(prices); i++ {
			if prices[i].From.Equal(prices[i-1].From) {
				return Prices{}, fmt.Errorf("%s has two prices from %s on", class, prices[i].From)
			}
		}
	}
	return p, nil
}

// At returns the price of a class at a time.
func (p Prices) At(class Class, at time.Time) (Price, bool) {
	prices := p.byClass[class]
	i, found := slices.BinarySearchFunc(prices, at, func(p Price, at time.Time) int { return p.From.Compare(at) })
	if found {
		return prices[i], true
	}
	if i == 0 {
		return Price{}, false
	}
	return prices[i-1], true
}

// Spans cuts a span of time at every change of a price, of whatever class.
func (p Prices) Spans(whole Span) []Span {
	var cuts []time.Time
	for _, prices := range p.byClass {
		for _, price := range prices {
			if price.From.After(whole.Start) && price.From.Before(whole.End) {
				cuts = append(cuts, price.From)
			}
		}
	}
	slices.SortFunc(cuts, func(a, b time.Time) int { return cmp.Compare(a.UnixMilli(), b.UnixMilli()) })
	cuts = slices.CompactFunc(cuts, time.Time.Equal)
	spans := make([]Span, 0, len(cuts)+1)
	for _, cut := range cuts {
		spans = append(spans, Span{whole.Start, cut})
		whole.Start = cut
	}
	return append(spans, whole)
}
