package pattern

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/big"
	"strings"
)

// numberRange says which numbers compare by value.
const numberRange = "numbers compare within ±5000000000, with up to 6 decimal places"

const maxMicros = 5_000_000_000 * 1_000_000

// toMicros gives a number as a whole count of millionths, which is how exactly AWS compares; ok is
// false for those outside the range or with more decimal places.
func toMicros(n json.Number) (micros int64, ok bool) {
	s := n.String()
	// An exponent of a few digits in the text could be a number of a billion digits in memory.
	if _, exponent, found := strings.Cut(strings.ToLower(s), "e"); len(s) > 64 || found && len(strings.TrimLeft(exponent, "+-0")) > 2 {
		return 0, false
	}
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		return 0, false
	}
	r.Mul(r, big.NewRat(1_000_000, 1))
	if !r.IsInt() || !r.Num().IsInt64() {
		return 0, false
	}
	micros = r.Num().Int64()
	return micros, micros >= -maxMicros && micros <= maxMicros
}

// numeric compiles {"numeric": [">", 0, "<=", 5]}: one comparison, or a lower and then an upper bound.
func numeric(v any) (test, error) {
	terms, ok := v.([]any)
	if !ok || len(terms) == 0 {
		return nil, errors.New("numeric must be an array such as [\">\", 0, \"<=\", 5]")
	}
	if len(terms) != 2 && len(terms) != 4 {
		return nil, fmt.Errorf("numeric takes one or two comparisons, not %d terms", len(terms))
	}
	first, op, err := comparison(terms[0], terms[1])
	if err != nil {
		return nil, err
	}
	if len(terms) == 2 {
		return onNumber(first), nil
	}
	second, op2, err := comparison(terms[2], terms[3])
	if err != nil {
		return nil, err
	}
	if op[0] != '>' || op2[0] != '<' {
		return nil, fmt.Errorf("numeric: a range is a lower bound and then an upper one, not %q and %q", op, op2)
	}
	return onNumber(func(n int64) bool { return first(n) && second(n) }), nil
}

func comparison(operator, bound any) (holds func(int64) bool, op string, err error) {
	op, _ = operator.(string)
	n, isNumber := bound.(json.Number)
	if !isNumber {
		return nil, "", fmt.Errorf("numeric: what follows %v must be a number", operator)
	}
	b, ok := toMicros(n)
	if !ok {
		return nil, "", fmt.Errorf("numeric: %s is out of range (%s)", n, numberRange)
	}
	switch op {
	case "=":
		holds = func(n int64) bool { return n == b }
	case "<":
		holds = func(n int64) bool { return n < b }
	case "<=":
		holds = func(n int64) bool { return n <= b }
	case ">":
		holds = func(n int64) bool { return n > b }
	case ">=":
		holds = func(n int64) bool { return n >= b }
	default:
		return nil, "", fmt.Errorf("numeric: unknown comparison %v", operator)
	}
	return holds, op, nil
}

func onNumber(f func(int64) bool) test {
	return func(v any) bool {
		n, ok := v.(json.Number)
		if !ok {
			return false
		}
		micros, ok := toMicros(n)
		return ok && f(micros)
	}
}
