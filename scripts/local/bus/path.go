package bus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// path is a JSON path of the kind EventBridge knows: $.detail.items[0].name, $.resources[*].
type path []step

// step is a field, an index, or, with neither, every element.
type step struct {
	field string
	index int // -1: not an index
}

// parsePath parses dot notation with indices and wildcards; field names are made of letters,
// digits, dashes, underscores and slashes.
func parsePath(s string) (path, error) {
	rest, ok := strings.CutPrefix(s, "$")
	if !ok {
		return nil, fmt.Errorf("JSON path %q must begin with $", s)
	}
	var p path
	for rest != "" {
		var st step
		var err error
		switch rest[0] {
		case '.':
			st, rest, err = fieldStep(rest[1:])
		case '[':
			st, rest, err = elementStep(rest[1:])
		default:
			err = fmt.Errorf("%q is unexpected", rest)
		}
		if err != nil {
			return nil, fmt.Errorf("JSON path %q: %w", s, err)
		}
		p = append(p, st)
	}
	return p, nil
}

func fieldStep(s string) (step, string, error) {
	if rest, ok := strings.CutPrefix(s, "*"); ok {
		return step{index: -1}, rest, nil
	}
	end := strings.IndexFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-_/", r)
	})
	if end < 0 {
		end = len(s)
	}
	if end == 0 {
		return step{}, "", fmt.Errorf("a field name is missing before %q", s)
	}
	return step{field: s[:end], index: -1}, s[end:], nil
}

func elementStep(s string) (step, string, error) {
	inside, rest, ok := strings.Cut(s, "]")
	if !ok {
		return step{}, "", fmt.Errorf("a ] is missing")
	}
	if inside == "*" {
		return step{index: -1}, rest, nil
	}
	if quoted := strings.Trim(inside, `'"`); len(quoted) == len(inside)-2 && quoted != "" {
		return step{field: quoted, index: -1}, rest, nil
	}
	i, err := strconv.Atoi(inside)
	if err != nil || i < 0 {
		return step{}, "", fmt.Errorf("[%s] must be an index, a quoted name or *", inside)
	}
	return step{index: i}, rest, nil
}

// lookup finds a value, exactly as it is written; a path with a wildcard finds an array.
func (p path) lookup(doc json.RawMessage) (json.RawMessage, bool) {
	if len(p) == 0 {
		return bytes.TrimSpace(doc), true
	}
	st, rest := p[0], p[1:]
	switch {
	case st.field != "":
		var object map[string]json.RawMessage
		if json.Unmarshal(doc, &object) != nil {
			return nil, false
		}
		v, ok := object[st.field]
		if !ok {
			return nil, false
		}
		return rest.lookup(v)
	case st.index >= 0:
		var list []json.RawMessage
		if json.Unmarshal(doc, &list) != nil || st.index >= len(list) {
			return nil, false
		}
		return rest.lookup(list[st.index])
	default:
		var list []json.RawMessage
		if json.Unmarshal(doc, &list) != nil {
			return nil, false
		}
		found := [][]byte{}
		for _, e := range list {
			if v, ok := rest.lookup(e); ok {
				found = append(found, v)
			}
		}
		return slicesJSON(found), true
	}
}

func slicesJSON(values [][]byte) json.RawMessage {
	return append(append([]byte{'['}, bytes.Join(values, []byte{','})...), ']')
}
