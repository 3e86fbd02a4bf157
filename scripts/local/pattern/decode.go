package pattern

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// maxDepth bounds the nesting of a pattern.
const maxDepth = 100

// object is a JSON object with its members in order.
type object struct {
	members []member
}

type member struct {
	name  string
	value any // *object, []any, string, json.Number, bool or nil
}

func (o *object) names() string {
	names := make([]string, len(o.members))
	for i, m := range o.members {
		names[i] = m.name
	}
	return "{" + strings.Join(names, ", ") + "}"
}

// decodeStrict decodes one JSON object, refusing names that stand twice: of two conditions on one
// field encoding/json would silently keep the last.
func decodeStrict(raw []byte) (*object, error) {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	v, err := decodeValue(d, nil)
	if err != nil {
		return nil, err
	}
	o, ok := v.(*object)
	if !ok {
		return nil, errors.New("event pattern: must be a JSON object")
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("event pattern: there is something after the object")
	}
	return o, nil
}

func decodeValue(d *json.Decoder, path []string) (any, error) {
	if len(path) > maxDepth {
		return nil, fmt.Errorf("event pattern: nested more than %d levels deep", maxDepth)
	}
	t, err := d.Token()
	if err != nil {
		return nil, fieldError(path, fmt.Errorf("not JSON: %w", err))
	}
	switch t {
	case json.Delim('{'):
		return decodeObject(d, path)
	case json.Delim('['):
		return decodeArray(d, path)
	default:
		return t, nil
	}
}

func decodeObject(d *json.Decoder, path []string) (*object, error) {
	o := &object{}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return nil, fieldError(path, fmt.Errorf("not JSON: %w", err))
		}
		name, ok := t.(string)
		if !ok {
			return nil, fieldError(path, fmt.Errorf("not JSON: %v is not a field name", t))
		}
		below := append(path[:len(path):len(path)], name)
		if seen[name] {
			return nil, fieldError(below, errors.New("stands twice"))
		}
		seen[name] = true
		v, err := decodeValue(d, below)
		if err != nil {
			return nil, err
		}
		o.members = append(o.members, member{name: name, value: v})
	}
	return o, closing(d, path)
}

func decodeArray(d *json.Decoder, path []string) ([]any, error) {
	list := []any{}
	for i := 0; d.More(); i++ {
		v, err := decodeValue(d, append(path[:len(path):len(path)], fmt.Sprintf("[%d]", i)))
		if err != nil {
			return nil, err
		}
		list = append(list, v)
	}
	return list, closing(d, path)
}

func closing(d *json.Decoder, path []string) error {
	if _, err := d.Token(); err != nil {
		return fieldError(path, fmt.Errorf("not JSON: %w", err))
	}
	return nil
}
