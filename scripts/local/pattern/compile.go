package pattern

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// maxCombinations is how many alternatives the $or of one pattern may make: AWS refuses more.
const maxCombinations = 1000

// combination is one alternative of a pattern: leaves of which all must match.
type combination []*leaf

// compileObject adds the fields of an object to every combination made so far.
func compileObject(o *object, path []string, sofar []combination, inOr bool) ([]combination, error) {
	if len(o.members) == 0 {
		return nil, fieldError(path, errors.New("empty objects are not allowed"))
	}
	for _, m := range o.members {
		var err error
		if m.name == "$or" {
			sofar, err = compileOr(m.value, path, sofar)
		} else {
			sofar, err = compileMember(m, slices.Concat(path, []string{m.name}), sofar, inOr)
		}
		if err != nil {
			return nil, err
		}
	}
	return sofar, nil
}

func compileMember(m member, path []string, sofar []combination, inOr bool) ([]combination, error) {
	if inOr && reserved(m.name) {
		return nil, fieldError(path, fmt.Errorf("%q is an operator and cannot be a field within $or", m.name))
	}
	switch v := m.value.(type) {
	case *object:
		return compileObject(v, path, sofar, inOr)
	case []any:
		l, err := compileLeaf(v, path)
		if err != nil {
			return nil, fieldError(path, err)
		}
		for i, c := range sofar {
			for _, other := range c {
				if slices.Equal(other.path, path) {
					return nil, fieldError(path, errors.New("the field stands in the pattern and in its $or"))
				}
			}
			sofar[i] = append(c, l)
		}
		return sofar, nil
	default:
		return nil, fieldError(path, errors.New("must be an object or an array"))
	}
}

// compileOr makes one copy of every combination for each branch.
func compileOr(v any, path []string, sofar []combination) ([]combination, error) {
	path = slices.Concat(path, []string{"$or"})
	branches, ok := v.([]any)
	if !ok || len(branches) < 2 {
		return nil, fieldError(path, errors.New("must be an array of at least two objects"))
	}
	var all []combination
	for _, b := range branches {
		o, ok := b.(*object)
		if !ok {
			return nil, fieldError(path, errors.New("must be an array of objects"))
		}
		forked := make([]combination, len(sofar))
		for i, c := range sofar {
			forked[i] = slices.Clone(c)
		}
		forked, err := compileObject(o, path[:len(path)-1], forked, true)
		if err != nil {
			return nil, err
		}
		if all = append(all, forked...); len(all) > maxCombinations {
			return nil, fieldError(path, fmt.Errorf("makes more than %d combinations", maxCombinations))
		}
	}
	return all, nil
}

func compileLeaf(values []any, path []string) (*leaf, error) {
	if len(values) == 0 {
		return nil, errors.New("empty arrays are not allowed")
	}
	l := &leaf{path: path}
	for _, v := range values {
		switch v := v.(type) {
		case string:
			l.tests = append(l.tests, equalsString(v))
		case json.Number:
			l.tests = append(l.tests, equalsNumber(v))
		case bool, nil:
			l.tests = append(l.tests, func(got any) bool { return got == v })
		case *object:
			if err := l.addOperator(v); err != nil {
				return nil, err
			}
		default:
			return nil, errors.New("a value must be a string, a number, true, false, null or an operator, not an array")
		}
	}
	return l, nil
}

func (l *leaf) addOperator(o *object) error {
	if len(o.members) != 1 {
		return fmt.Errorf("an operator object has exactly one key, this one has %d", len(o.members))
	}
	m := o.members[0]
	if m.name == "exists" {
		exists, ok := m.value.(bool)
		if !ok {
			return errors.New("exists must be true or false")
		}
		if exists {
			l.tests = append(l.tests, func(any) bool { return true })
		}
		l.absent = l.absent || !exists
		return nil
	}
	t, err := compileOperator(m.name, m.value)
	if err != nil {
		return err
	}
	l.tests = append(l.tests, t)
	return nil
}

// reserved names are those that AWS refuses as fields within $or, to stay free to give them a meaning.
func reserved(name string) bool {
	switch name {
	case "exactly", "equals-ignore-case", "prefix", "suffix", "anything-but", "exists", "wildcard",
		"numeric", "cidr", "=", "<", "<=", ">", ">=", "regex", "not-wildcard", "not-equals-ignore-case",
		"date-after", "date-on-or-after", "date-before", "date-on-or-before", "in-date-range",
		"ip-address-in-range", "ip-address-not-in-range":
		return true
	}
	return false
}

func fieldError(path []string, err error) error {
	if len(path) == 0 {
		return fmt.Errorf("event pattern: %w", err)
	}
	return fmt.Errorf("event pattern, field %s: %w", strings.Join(path, "."), err)
}
