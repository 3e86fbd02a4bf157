package pattern

import (
	"errors"
	"fmt"
	"strings"
)

// wildcard compiles {"wildcard": "a*b"}: * stands for any run of characters, \* and \\ for
// themselves.
func wildcard(v any) (test, error) {
	s, ok := v.(string)
	if !ok {
		return nil, errors.New("wildcard must be a string")
	}
	parts, err := splitWildcard(s)
	if err != nil {
		return nil, fmt.Errorf("wildcard %q: %w", s, err)
	}
	return onString(func(got string) bool { return matchParts(parts, got) }), nil
}

// splitWildcard cuts at each * and removes the escapes: n wildcards make n+1 literals.
func splitWildcard(s string) ([]string, error) {
	var parts []string
	var literal []byte
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '*' || s[i+1] == '\\'):
			i++
			literal = append(literal, s[i])
		case c == '\\':
			return nil, fmt.Errorf("a backslash may stand only before * and \\ (at position %d)", i)
		case c == '*' && i+1 < len(s) && s[i+1] == '*':
			return nil, fmt.Errorf("consecutive wildcard characters (at position %d)", i)
		case c == '*':
			parts, literal = append(parts, string(literal)), nil
		default:
			literal = append(literal, c)
		}
	}
	return append(parts, string(literal)), nil
}

// matchParts looks for the literals in order, the first at the start and the last at the end;
// taking each inner one at its first occurrence leaves the most room for the rest.
func matchParts(parts []string, s string) bool {
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 {
		return s == first
	}
	if len(s) < len(first)+len(last) || s[:len(first)] != first || s[len(s)-len(last):] != last {
		return false
	}
	s = s[len(first) : len(s)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
	return true
}
