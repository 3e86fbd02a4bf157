package ledger

import (
	"fmt"
	"math/big"
	"time"
)

// Quantity is bytes times milliseconds: an integer of any size. The zero Quantity is 0.
// It is a value: no method changes its receiver.
type Quantity struct{ n *big.Int }

// millisPerHour is how many milliseconds an hour has; none of ours is longer or shorter:
// a day of 25 hours has 25 of these.
const millisPerHour = int64(time.Hour / time.Millisecond)

// Held returns the quantity of bytes that are held for a time.
func Held(bytes int64, d time.Duration) Quantity {
	return Quantity{product(bytes, d.Milliseconds())}
}

// QuantityOf returns a quantity of n byte-milliseconds.
func QuantityOf(n *big.Int) Quantity { return Quantity{new(big.Int).Set(n)} }

// ParseQuantity reads a decimal integer of byte-milliseconds.
func ParseQuantity(text string) (Quantity, error) {
	n, ok := new(big.Int).SetString(text, 10)
	if !ok {
		return Quantity{}, fmt.Errorf("%q is not an integer of byte-milliseconds", text)
	}
	return Quantity{n}, nil
}

func product(a, b int64) *big.Int { return new(big.Int).Mul(big.NewInt(a), big.NewInt(b)) }

func (q Quantity) int() *big.Int {
	if q.n == nil {
		return new(big.Int)
	}
	return q.n
}

// Add returns q + r.
func (q Quantity) Add(r Quantity) Quantity { return Quantity{new(big.Int).Add(q.int(), r.int())} }

// Sub returns q - r.
func (q Quantity) Sub(r Quantity) Quantity { return Quantity{new(big.Int).Sub(q.int(), r.int())} }

// Sign is -1, 0 or 1.
func (q Quantity) Sign() int { return q.int().Sign() }

// Equal reports whether q and r are the same.
func (q Quantity) Equal(r Quantity) bool { return q.int().Cmp(r.int()) == 0 }

// ByteMillis is the exact quantity, in decimal.
func (q Quantity) ByteMillis() string { return q.int().String() }

// ByteHours is the quantity in whole byte-hours, half to even, in decimal.
func (q Quantity) ByteHours() string { return divide(q.int(), big.NewInt(millisPerHour)).String() }

// divide returns n / d, d > 0, rounded half to even.
func divide(n, d *big.Int) *big.Int {
	quotient, rest := new(big.Int).DivMod(n, d, new(big.Int)) // 0 <= rest < d
	twice := rest.Lsh(rest, 1)
	if c := twice.Cmp(d); c > 0 || c == 0 && quotient.Bit(0) == 1 {
		quotient.Add(quotient, big.NewInt(1))
	}
	return quotient
}
