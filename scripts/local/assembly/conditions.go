package assembly

import (
	"fmt"
	"slices"
)

// choose evaluates only the branch that its condition takes.
func (s *scope) choose(arg any) (any, error) {
	args, ok := arg.([]any)
	if !ok || len(args) != 3 {
		return nil, fmt.Errorf("want [condition, then, else], have %s", describe(arg))
	}
	name, ok := args[0].(string)
	if !ok {
		return nil, fmt.Errorf("want a condition's name, have %s", describe(args[0]))
	}
	yes, err := s.wanted(name)
	if err != nil {
		return nil, err
	}
	if yes {
		return s.eval(args[1])
	}
	return s.eval(args[2])
}

// evalCondition resolves an expression of the Conditions section.
func (s *scope) evalCondition(expr any) (bool, error) {
	m, ok := expr.(map[string]any)
	if !ok || len(m) != 1 {
		return false, fmt.Errorf("want one condition function, have %s", describe(expr))
	}
	for name, arg := range m {
		if name == "Condition" {
			id, ok := arg.(string)
			if !ok {
				return false, fmt.Errorf("want a condition's name, have %s", describe(arg))
			}
			return s.wanted(id)
		}
		if name == "Fn::Equals" {
			args, err := s.args(arg, 2)
			if err != nil {
				return false, fmt.Errorf("%s: %w", name, err)
			}
			return text(args[0]) == text(args[1]), nil
		}
		list, ok := arg.([]any)
		if !ok {
			return false, fmt.Errorf("%s: want a list, have %s", name, describe(arg))
		}
		return s.combine(name, list)
	}
	return false, nil
}

func (s *scope) combine(name string, list []any) (bool, error) {
	values := make([]bool, len(list))
	for i, e := range list {
		v, err := s.evalCondition(e)
		if err != nil {
			return false, fmt.Errorf("%s: %w", name, err)
		}
		values[i] = v
	}
	switch {
	case name == "Fn::And":
		return !slices.Contains(values, false), nil
	case name == "Fn::Or":
		return slices.Contains(values, true), nil
	case name == "Fn::Not" && len(values) == 1:
		return !values[0], nil
	}
	return false, fmt.Errorf("%s of %d: the local runtime does not know this condition function", name, len(values))
}
