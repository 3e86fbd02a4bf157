package iam

import (
	"encoding/base64"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// operator is one condition operator, without quantifier and IfExists.
type operator struct {
	negated bool
	compile func(value string, variables bool) (comparison, error)
}

// comparison is one value of a policy's condition.
type comparison interface {
	// against gives what compares a value of the request with this one; false when a variable of this
	// one has no value in the request.
	against(c Context) (func(given string) bool, bool)
}

// operators finds an operator by its name
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html).
func operators(name string) (operator, bool) {
	switch name {
	case "StringEquals":
		return operator{compile: compileText(exact)}, true
	case "StringNotEquals":
		return operator{negated: true, compile: compileText(exact)}, true
	case "StringEqualsIgnoreCase":
		return operator{compile: compileText(foldCase)}, true
	case "StringNotEqualsIgnoreCase":
		return operator{negated: true, compile: compileText(foldCase)}, true
	case "StringLike":
		return operator{compile: compileText(wildcard)}, true
	case "StringNotLike":
		return operator{negated: true, compile: compileText(wildcard)}, true
	case "ArnEquals", "ArnLike":
		return operator{compile: compileARNCondition}, true
	case "ArnNotEquals", "ArnNotLike":
		return operator{negated: true, compile: compileARNCondition}, true
	case "Bool":
		return operator{compile: compileBool}, true
	case "BinaryEquals":
		return operator{compile: compileBinary}, true
	case "IpAddress":
		return operator{compile: compileIP}, true
	case "NotIpAddress":
		return operator{negated: true, compile: compileIP}, true
	}
	if rest, ok := strings.CutPrefix(name, "Numeric"); ok {
		return ordered(rest, compileNumber)
	}
	if rest, ok := strings.CutPrefix(name, "Date"); ok {
		return ordered(rest, compileDate)
	}
	return operator{}, false
}

// textMode is how texts are compared.
type textMode int

const (
	exact textMode = iota
	foldCase
	wildcard
)

// text is a string value.
type text struct {
	pattern pattern
	mode    textMode
}

func compileText(mode textMode) func(string, bool) (comparison, error) {
	return func(value string, variables bool) (comparison, error) {
		p, err := compile(value, syntax{wildcards: mode == wildcard, variables: variables})
		return text{pattern: p, mode: mode}, err
	}
}

func (t text) against(c Context) (func(string) bool, bool) {
	p, ok := t.pattern.resolve(c)
	if !ok {
		return nil, false
	}
	switch t.mode {
	case foldCase:
		want := p.text()
		return func(given string) bool { return strings.EqualFold(given, want) }, true
	case wildcard:
		return p.match, true
	case exact:
	}
	want := p.text()
	return func(given string) bool { return given == want }, true
}

// arnValue is a value of the ARN operators.
type arnValue struct{ pattern arnPattern }

func compileARNCondition(value string, variables bool) (comparison, error) {
	a, err := compileARN(value, variables)
	if err == nil && !a.all && len(a.parts) != arnParts && !strings.Contains(value, "${") {
		err = fmt.Errorf("%q is not an ARN, which has six parts", value)
	}
	return arnValue{pattern: a}, err
}

func (v arnValue) against(c Context) (func(string) bool, bool) {
	resolved, ok := v.pattern.resolve(c)
	return resolved.like, ok
}

// constant is a value without variables.
type constant func(given string) bool

func (f constant) against(Context) (func(string) bool, bool) { return f, true }

// errVariable refuses variables where AWS does not replace them.
var errVariable = errors.New("policy variables work with string and ARN operators alone")

func refuseVariable(value string, variables bool) error {
	if variables && strings.Contains(value, "${") {
		return fmt.Errorf("%q: %w", value, errVariable)
	}
	return nil
}

func compileBool(value string, variables bool) (comparison, error) {
	if err := refuseVariable(value, variables); err != nil {
		return nil, err
	}
	if !strings.EqualFold(value, "true") && !strings.EqualFold(value, "false") {
		return nil, fmt.Errorf("%q is neither true nor false", value)
	}
	return constant(func(given string) bool { return strings.EqualFold(given, value) }), nil
}

func compileBinary(value string, variables bool) (comparison, error) {
	if err := refuseVariable(value, variables); err != nil {
		return nil, err
	}
	want, err := base64.StdEncoding.DecodeString(value)
	if err != nil {
		return nil, fmt.Errorf("%q is not in base64", value)
	}
	return constant(func(given string) bool {
		got, err := base64.StdEncoding.DecodeString(given)
		return err == nil && string(got) == string(want)
	}), nil
}

func compileIP(value string, variables bool) (comparison, error) {
	if err := refuseVariable(value, variables); err != nil {
		return nil, err
	}
	prefix, err := netip.ParsePrefix(value)
	if err != nil {
		address, err := netip.ParseAddr(value)
		if err != nil {
			return nil, fmt.Errorf("%q is neither an IP address nor a CIDR range", value)
		}
		prefix = netip.PrefixFrom(address, address.BitLen())
	}
	return constant(func(given string) bool {
		address, err := netip.ParseAddr(given)
		return err == nil && prefix.Contains(address.Unmap())
	}), nil
}

// ordered gives the operators of values that have an order, by what follows their type in the name.
func ordered(relation string, read func(string) (float64, error)) (operator, bool) {
	var holds func(given, want float64) bool
	switch relation {
	case "Equals", "NotEquals":
		holds = func(given, want float64) bool { return given == want }
	case "LessThan":
		holds = func(given, want float64) bool { return given < want }
	case "LessThanEquals":
		holds = func(given, want float64) bool { return given <= want }
	case "GreaterThan":
		holds = func(given, want float64) bool { return given > want }
	case "GreaterThanEquals":
		holds = func(given, want float64) bool { return given >= want }
	default:
		return operator{}, false
	}
	return operator{negated: relation == "NotEquals", compile: func(value string, variables bool) (comparison, error) {
		if err := refuseVariable(value, variables); err != nil {
			return nil, err
		}
		want, err := read(value)
		if err != nil {
			return nil, err
		}
		return constant(func(given string) bool {
			got, err := read(given)
			return err == nil && holds(got, want)
		}), nil
	}}, true
}

func compileNumber(value string) (float64, error) {
	n, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is not a number", value)
	}
	return n, nil
}

// compileDate reads W3C dates ("one of the W3C implementations of the ISO 8601 date formats") and
// seconds since 1970.
func compileDate(value string) (float64, error) {
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04Z07:00", "2006-01-02T15:04:05", "2006-01-02", "2006-01", "2006"} {
		if layout == "2006" && len(value) != len(layout) {
			continue
		}
		if t, err := time.Parse(layout, value); err == nil {
			return float64(t.UnixMilli()) / 1000, nil
		}
	}
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is neither a date of ISO 8601 nor seconds since 1970", value)
	}
	return seconds, nil
}
