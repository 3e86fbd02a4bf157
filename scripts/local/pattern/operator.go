package pattern

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

func compileOperator(name string, v any) (test, error) {
	switch name {
	case "prefix":
		return affix(name, v, strings.HasPrefix)
	case "suffix":
		return affix(name, v, strings.HasSuffix)
	case "equals-ignore-case":
		want, ok := v.(string)
		if !ok {
			return nil, errors.New("equals-ignore-case must be a string")
		}
		return onString(func(got string) bool { return strings.EqualFold(got, want) }), nil
	case "wildcard":
		return wildcard(v)
	case "numeric":
		return numeric(v)
	case "cidr":
		return cidr(v)
	case "anything-but":
		return anythingBut(v)
	default:
		return nil, fmt.Errorf("unknown operator %q", name)
	}
}

func onString(f func(string) bool) test {
	return func(v any) bool {
		s, ok := v.(string)
		return ok && f(s)
	}
}

func equalsString(want string) test {
	// AWS takes every string that looks like an address for one.
	if ip, err := netip.ParseAddr(want); err == nil {
		return onString(func(got string) bool {
			other, err := netip.ParseAddr(got)
			return err == nil && other == ip
		})
	}
	return onString(func(got string) bool { return got == want })
}

func equalsNumber(want json.Number) test {
	micros, comparable := toMicros(want)
	return func(v any) bool {
		got, ok := v.(json.Number)
		if !ok {
			return false
		}
		if got == want {
			return true
		}
		other, ok := toMicros(got)
		return ok && comparable && other == micros
	}
}

// affix compiles prefix and suffix: a string, or {"equals-ignore-case": string}.
func affix(name string, v any, has func(s, affix string) bool) (test, error) {
	switch v := v.(type) {
	case string:
		return onString(func(got string) bool { return has(got, v) }), nil
	case *object:
		if len(v.members) != 1 || v.members[0].name != "equals-ignore-case" {
			return nil, fmt.Errorf("%s takes a string or equals-ignore-case, not %s", name, v.names())
		}
		want, ok := v.members[0].value.(string)
		if !ok {
			return nil, fmt.Errorf("%s with equals-ignore-case must be a string", name)
		}
		want = strings.ToLower(want)
		return onString(func(got string) bool { return has(strings.ToLower(got), want) }), nil
	default:
		return nil, fmt.Errorf("%s must be a string", name)
	}
}

func cidr(v any) (test, error) {
	s, ok := v.(string)
	if !ok {
		return nil, errors.New("cidr must be a string")
	}
	prefix, err := netip.ParsePrefix(s)
	if err != nil {
		return nil, fmt.Errorf("cidr %q: %w", s, err)
	}
	if prefix.Bits() == prefix.Addr().BitLen() {
		return nil, fmt.Errorf("cidr %q: the mask must be shorter than the address", s)
	}
	return onString(func(got string) bool {
		ip, err := netip.ParseAddr(got)
		return err == nil && prefix.Contains(ip)
	}), nil
}

// anythingBut compiles {"anything-but": X}, where X is a string or number, a list of the one or the
// other, or an object with one of the operators below over a string or a list of strings.
func anythingBut(v any) (test, error) {
	if o, ok := v.(*object); ok {
		return anythingButOperator(o)
	}
	values, ok := v.([]any)
	if !ok {
		values = []any{v}
	}
	if len(values) == 0 {
		return nil, errors.New("anything-but: empty lists are not allowed")
	}
	var tests []test
	var numbers int
	for _, v := range values {
		switch v := v.(type) {
		case string:
			tests = append(tests, onString(func(got string) bool { return got == v }))
		case json.Number:
			if _, ok := toMicros(v); !ok {
				return nil, fmt.Errorf("anything-but: %s is out of range (%s)", v, numberRange)
			}
			numbers++
			tests = append(tests, equalsNumber(v))
		default:
			return nil, errors.New("anything-but: a value must be a string or a number")
		}
	}
	if numbers != 0 && numbers != len(values) {
		return nil, errors.New("anything-but: a list must hold strings only or numbers only")
	}
	return none(tests), nil
}

func anythingButOperator(o *object) (test, error) {
	if len(o.members) != 1 {
		return nil, fmt.Errorf("anything-but takes one operator, not %s", o.names())
	}
	op := o.members[0]
	if !slices.Contains([]string{"prefix", "suffix", "equals-ignore-case", "wildcard"}, op.name) {
		return nil, fmt.Errorf("unknown operator %q within anything-but", op.name)
	}
	values, ok := op.value.([]any)
	if !ok {
		values = []any{op.value}
	}
	if len(values) == 0 {
		return nil, fmt.Errorf("anything-but %s: empty lists are not allowed", op.name)
	}
	var tests []test
	for _, v := range values {
		s, ok := v.(string)
		if !ok {
			return nil, fmt.Errorf("anything-but %s must be a string or a list of strings", op.name)
		}
		if s == "" && (op.name == "prefix" || op.name == "suffix") {
			return nil, fmt.Errorf("anything-but %s: the empty string is not allowed", op.name)
		}
		t, err := compileOperator(op.name, s)
		if err != nil {
			return nil, fmt.Errorf("anything-but %w", err)
		}
		tests = append(tests, t)
	}
	return none(tests), nil
}

func none(tests []test) test {
	return func(v any) bool {
		return !slices.ContainsFunc(tests, func(t test) bool { return t(v) })
	}
}
