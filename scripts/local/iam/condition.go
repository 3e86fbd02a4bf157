package iam

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// condition is one operator on one key with its values, compiled.
type condition struct {
	key      string // in lower case
	words    string // operator and key, as they are written
	quantity quantifier
	ifExists bool
	null     bool // the operator Null; want says what of
	want     bool
	negated  bool
	values   []comparison
}

// quantifier is how many values of a key must meet a condition.
type quantifier int

const (
	single quantifier = iota // the key has one value; should it have several, one is enough
	forAllValues
	forAnyValue
)

// Prefixes and suffix of operators.
const (
	prefixAll    = "ForAllValues:"
	prefixAny    = "ForAnyValue:"
	suffixExists = "IfExists"
)

func compileConditions(block map[string]map[string]oneOrMore, variables bool) ([]condition, error) {
	var conditions []condition
	for _, operator := range slices.Sorted(maps.Keys(block)) {
		keys := block[operator]
		if len(keys) == 0 {
			return nil, fmt.Errorf("condition %s names no key", operator)
		}
		for _, key := range slices.Sorted(maps.Keys(keys)) {
			c, err := compileCondition(operator, key, keys[key], variables)
			if err != nil {
				return nil, fmt.Errorf("condition %s on %s: %w", operator, key, err)
			}
			conditions = append(conditions, c)
		}
	}
	return conditions, nil
}

func compileCondition(operator, key string, values []string, variables bool) (condition, error) {
	if err := checkKey(key); err != nil {
		return condition{}, err
	}
	c := condition{key: strings.ToLower(key), words: operator + " on " + key}
	name := operator
	if rest, ok := strings.CutPrefix(name, prefixAll); ok {
		c.quantity, name = forAllValues, rest
	} else if rest, ok := strings.CutPrefix(name, prefixAny); ok {
		c.quantity, name = forAnyValue, rest
	}
	name, c.ifExists = strings.CutSuffix(name, suffixExists)
	if len(values) == 0 {
		return condition{}, fmt.Errorf("it has no value")
	}
	if name == "Null" {
		return compileNull(c, values)
	}
	op, ok := operators(name)
	if !ok {
		return condition{}, fmt.Errorf("the operator %q is not known", operator)
	}
	c.negated = op.negated
	for _, v := range values {
		cmp, err := op.compile(v, variables)
		if err != nil {
			return condition{}, err
		}
		c.values = append(c.values, cmp)
	}
	return c, nil
}

func compileNull(c condition, values []string) (condition, error) {
	if c.ifExists || c.quantity != single {
		return c, fmt.Errorf("the operator Null takes neither IfExists nor a quantifier")
	}
	if len(values) != 1 {
		return c, fmt.Errorf("the operator Null takes one value")
	}
	c.null = true
	switch strings.ToLower(values[0]) {
	case "true":
		c.want = true
	case "false":
	default:
		return c, fmt.Errorf("the operator Null takes true or false, not %q", values[0])
	}
	return c, nil
}

// holds says whether a request meets the condition. Where a value of the policy has a variable that the
// request does not give, it does not, unless IfExists spares it.
func (c *condition) holds(ctx Context) bool {
	given, present := ctx.values(c.key)
	if c.null {
		return c.want != present
	}
	if !present {
		// "If the key that you specify in a policy condition is not present in the request context, the
		// values do not match"; ForAllValues is true for want of values, ForAnyValue false.
		switch {
		case c.ifExists || c.quantity == forAllValues:
			return true
		case c.quantity == forAnyValue:
			return false
		}
		return c.negated
	}
	matchers := make([]func(string) bool, len(c.values))
	for i, v := range c.values {
		m, ok := v.against(ctx)
		if !ok {
			return false
		}
		matchers[i] = m
	}
	meets := func(value string) bool {
		matched := slices.ContainsFunc(matchers, func(m func(string) bool) bool { return m(value) })
		return matched != c.negated // negated: none of the policy's values may match
	}
	switch {
	case c.quantity == forAllValues, c.quantity == single && c.negated:
		return !slices.ContainsFunc(given, func(v string) bool { return !meets(v) })
	default:
		return slices.ContainsFunc(given, meets)
	}
}
