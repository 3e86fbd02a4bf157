package assembly

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// noValue is what Ref AWS::NoValue gives: the property or element disappears.
type noValue struct{}

// eval resolves a value of the template, whatever it nests.
func (s *scope) eval(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		if name, arg, ok := intrinsic(v); ok {
			out, err := s.call(name, arg)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return out, nil
		}
		return s.evalMap(v)
	case []any:
		return s.evalList(v)
	case string:
		if strings.Contains(v, "{{resolve:") {
			return nil, fmt.Errorf("dynamic reference %q is not supported", v)
		}
		return v, nil
	default:
		return v, nil
	}
}

func (s *scope) evalMap(m map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v, err := s.eval(m[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if _, gone := v.(noValue); !gone {
			out[key] = v
		}
	}
	return out, nil
}

func (s *scope) evalList(list []any) ([]any, error) {
	out := make([]any, 0, len(list))
	for i, e := range list {
		v, err := s.eval(e)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		if _, gone := v.(noValue); !gone {
			out = append(out, v)
		}
	}
	return out, nil
}

// evalString resolves a value that must come out as one scalar.
func (s *scope) evalString(v any) (string, error) {
	out, err := s.eval(v)
	if err != nil {
		return "", err
	}
	switch out.(type) {
	case string, json.Number, bool:
		return text(out), nil
	}
	return "", fmt.Errorf("want a string, have %s", describe(out))
}

// args resolves a function's argument list of known length.
func (s *scope) args(arg any, n int) ([]any, error) {
	list, ok := arg.([]any)
	if !ok || len(list) != n {
		return nil, fmt.Errorf("want a list of %d, have %s", n, describe(arg))
	}
	out := make([]any, n)
	for i, e := range list {
		v, err := s.eval(e)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}
