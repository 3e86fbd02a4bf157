// Package pattern matches events against event patterns, as the rules of EventBridge and the filter
// criteria of Lambda's event source mappings do.
//
// The rules are those of https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html;
// where that text is silent, those of AWS's own matcher, https://github.com/aws/event-ruler:
//
//   - A pattern has the structure of the event. All its fields must match; of the values listed for
//     a field one is enough. Fields that the pattern does not name are ignored.
//   - An array in the event matches when one of its elements does, and two fields that lie under one
//     array must match in the same element.
//   - anything-but matches every present value that is not excluded, also one of another type, and
//     does not match an absent field.
//   - exists looks at leaves: an object or an empty array counts as absent.
//   - Numbers compare by value within ±5,000,000,000 and six decimal places; beyond that a plain
//     number matches by its text, and numeric does not match.
//   - A string that is an IP address equals the other spellings of that address.
//
// Two differences from AWS: a dot in a field name is a character like any other, and $or must be
// what it looks like (AWS takes a malformed $or for a field of that name).
package pattern

import (
	"bytes"
	"encoding/json"
	"io"
)

// Pattern is a compiled event pattern. It is immutable and safe for concurrent use.
type Pattern struct {
	// alternatives are what $or expands to; without $or there is one.
	alternatives []*node
}

// Compile parses an event pattern. Whatever AWS would refuse is an error that names the field, and
// the operator where one is at fault.
func Compile(raw []byte) (*Pattern, error) {
	doc, err := decodeStrict(raw)
	if err != nil {
		return nil, err
	}
	combinations, err := compileObject(doc, nil, []combination{nil}, false)
	if err != nil {
		return nil, err
	}
	p := &Pattern{}
	for _, c := range combinations {
		root := &node{}
		for _, l := range c {
			root.insert(l.path, l)
		}
		p.alternatives = append(p.alternatives, root)
	}
	return p, nil
}

// Match reports whether a JSON event matches. What is not one JSON object matches nothing.
func (p *Pattern) Match(event []byte) bool {
	d := json.NewDecoder(bytes.NewReader(event))
	d.UseNumber()
	var root map[string]any
	if d.Decode(&root) != nil || root == nil {
		return false
	}
	if _, err := d.Token(); err != io.EOF {
		return false
	}
	for _, alternative := range p.alternatives {
		if alternative.matches(root, true, root) {
			return true
		}
	}
	return false
}

// node is one level of a pattern: the fields below it, and the values for the field itself.
type node struct {
	fields []field
	leaf   *leaf
}

type field struct {
	name string
	node *node
}

func (n *node) insert(path []string, l *leaf) {
	if len(path) == 0 {
		n.leaf = l
		return
	}
	for _, f := range n.fields {
		if f.name == path[0] {
			f.node.insert(path[1:], l)
			return
		}
	}
	child := &node{}
	n.fields = append(n.fields, field{name: path[0], node: child})
	child.insert(path[1:], l)
}

// matches decides for the value v of this node; present is false where the event has no such field.
func (n *node) matches(v any, present bool, root map[string]any) bool {
	if elements, ok := v.([]any); ok {
		for _, e := range elements {
			if n.matches(e, true, root) {
				return true
			}
		}
		return n.matches(nil, false, root)
	}
	if n.leaf != nil && !n.leaf.matches(v, present, root) {
		return false
	}
	object, _ := v.(map[string]any)
	for _, f := range n.fields {
		child, ok := object[f.name]
		if !f.node.matches(child, ok, root) {
			return false
		}
	}
	return true
}

// leaf is the list of values for one field, of which one must hold.
type leaf struct {
	path   []string
	absent bool // {"exists": false} is among them
	tests  []test
}

// test decides for a scalar: a string, a json.Number, a bool or nil.
type test func(v any) bool

func (l *leaf) matches(v any, present bool, root map[string]any) bool {
	if _, isObject := v.(map[string]any); isObject || !present {
		// Absence is a property of the whole event: a field that is missing from this element of
		// an array may still be there in another.
		return l.absent && !hasLeaf(root, l.path)
	}
	for _, t := range l.tests {
		if t(v) {
			return true
		}
	}
	return false
}

// hasLeaf reports whether any scalar stands at path, looking into every element of arrays.
func hasLeaf(v any, path []string) bool {
	switch v := v.(type) {
	case []any:
		for _, e := range v {
			if hasLeaf(e, path) {
				return true
			}
		}
		return false
	case map[string]any:
		if len(path) == 0 {
			return false
		}
		child, ok := v[path[0]]
		return ok && hasLeaf(child, path[1:])
	default:
		return len(path) == 0
	}
}
