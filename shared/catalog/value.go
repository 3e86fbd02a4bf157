package catalog

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Kind is the type of a Value.
type Kind uint8

// The kinds of values that items of the catalog hold. Unknown is any other type
// of DynamoDB's: no attribute of ours has it.
const (
	Unknown Kind = iota
	KindString
	KindNumber
	KindBool
	KindNull
	KindMap
	KindList
)

// Value is one DynamoDB attribute value, apart from any SDK. In JSON it has
// DynamoDB's own form, such as {"S": "text"}.
type Value struct {
	Kind Kind
	Text string // of a string or a number
	Bool bool
	Map  Item
	List []Value
}

// Item is a DynamoDB item, or a value of type map.
type Item map[string]Value

// Text returns a string value.
func Text(s string) Value { return Value{Kind: KindString, Text: s} }

// Int returns a number value.
func Int(n int64) Value { return Value{Kind: KindNumber, Text: strconv.FormatInt(n, 10)} }

// Bool returns a boolean value.
func Bool(b bool) Value { return Value{Kind: KindBool, Bool: b} }

// Map returns a map value.
func Map(m Item) Value { return Value{Kind: KindMap, Map: m} }

// List returns a list value.
func List(l []Value) Value { return Value{Kind: KindList, List: l} }

func (v Value) text() (string, error) {
	if v.Kind != KindString {
		return "", v.mismatch(KindString)
	}
	return v.Text, nil
}

func (v Value) int() (int64, error) {
	if v.Kind != KindNumber {
		return 0, v.mismatch(KindNumber)
	}
	n, err := strconv.ParseInt(v.Text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("number %q is not a 64-bit integer", v.Text)
	}
	return n, nil
}

func (v Value) bool() (bool, error) {
	if v.Kind != KindBool {
		return false, v.mismatch(KindBool)
	}
	return v.Bool, nil
}

func (v Value) fields() (Item, error) {
	if v.Kind != KindMap {
		return nil, v.mismatch(KindMap)
	}
	return v.Map, nil
}

func (v Value) elements() ([]Value, error) {
	if v.Kind != KindList {
		return nil, v.mismatch(KindList)
	}
	return v.List, nil
}

func (v Value) mismatch(want Kind) error {
	return fmt.Errorf("is a %s, want a %s", v.Kind, want)
}

// String returns the kind's name.
func (k Kind) String() string {
	switch k {
	case KindString:
		return "string"
	case KindNumber:
		return "number"
	case KindBool:
		return "boolean"
	case KindNull:
		return "null"
	case KindMap:
		return "map"
	case KindList:
		return "list"
	default:
		return "value of unknown type"
	}
}

// wire is DynamoDB's JSON form of a value. Exactly one field is set.
type wire struct {
	S    *string  `json:"S,omitempty"`
	N    *string  `json:"N,omitempty"`
	BOOL *bool    `json:"BOOL,omitempty"`
	NULL *bool    `json:"NULL,omitempty"`
	M    *Item    `json:"M,omitempty"`
	L    *[]Value `json:"L,omitempty"`
}

// MarshalJSON returns the value in DynamoDB's JSON form.
func (v Value) MarshalJSON() ([]byte, error) {
	var w wire
	switch v.Kind {
	case KindString:
		w.S = &v.Text
	case KindNumber:
		w.N = &v.Text
	case KindBool:
		w.BOOL = &v.Bool
	case KindNull:
		isNull := true
		w.NULL = &isNull
	case KindMap:
		w.M = &v.Map
	case KindList:
		w.L = &v.List
	default:
		return nil, fmt.Errorf("encode attribute: %s", v.Kind)
	}
	text, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encode attribute: %w", err)
	}
	return text, nil
}

// UnmarshalJSON reads a value in DynamoDB's JSON form. A type that the catalog
// does not use becomes a value of kind Unknown, so that an attribute which
// somebody else added does not stop a reader.
func (v *Value) UnmarshalJSON(text []byte) error {
	var w wire
	if err := json.Unmarshal(text, &w); err != nil {
		return fmt.Errorf("decode attribute: %w", err)
	}
	switch {
	case w.S != nil:
		*v = Text(*w.S)
	case w.N != nil:
		*v = Value{Kind: KindNumber, Text: *w.N}
	case w.BOOL != nil:
		*v = Bool(*w.BOOL)
	case w.NULL != nil:
		*v = Value{Kind: KindNull}
	case w.M != nil:
		*v = Map(*w.M)
	case w.L != nil:
		*v = List(*w.L)
	default:
		*v = Value{}
	}
	return nil
}
