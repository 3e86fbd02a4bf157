package template

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"time"
)

// NoLocalEffect is a property that the local runtime accepts whatever it says,
// because nothing on a laptop would behave differently.
type NoLocalEffect struct{}

// UnmarshalJSON accepts any value.
func (*NoLocalEffect) UnmarshalJSON([]byte) error { return nil }

// integer is a whole number, which CloudFormation also takes as a string.
type integer int

func (n *integer) UnmarshalJSON(b []byte) error {
	v, err := strconv.ParseInt(string(bytes.Trim(b, `"`)), 10, 64)
	if err != nil {
		return fmt.Errorf("want a whole number, have %s", b)
	}
	*n = integer(v)
	return nil
}

// boolean is true or false, which CloudFormation also takes as a string.
type boolean bool

func (v *boolean) UnmarshalJSON(b []byte) error {
	got, err := strconv.ParseBool(string(bytes.Trim(b, `"`)))
	if err != nil {
		return fmt.Errorf("want true or false, have %s", b)
	}
	*v = boolean(got)
	return nil
}

// document is JSON within a property: an object, or a string that holds one.
type document json.RawMessage

func (d *document) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] == '"' {
		var text string
		if err := json.Unmarshal(b, &text); err != nil {
			return fmt.Errorf("decode string: %w", err)
		}
		b = []byte(text)
		if !json.Valid(b) {
			return fmt.Errorf("want JSON, have the string %q", text)
		}
	}
	*d = append((*d)[:0], b...)
	return nil
}

func (d document) raw() json.RawMessage { return json.RawMessage(d) }

// seconds is a pointer's value as a duration, or the default.
func seconds(n *integer, otherwise time.Duration) time.Duration {
	if n == nil {
		return otherwise
	}
	return time.Duration(*n) * time.Second
}

// number is a pointer's value, or the default.
func number(n *integer, otherwise int) int {
	if n == nil {
		return otherwise
	}
	return int(*n)
}

// optional keeps "not said" apart from zero.
func optional(n *integer) *int {
	if n == nil {
		return nil
	}
	v := int(*n)
	return &v
}

// tags as CloudFormation lists them.
type tags []struct{ Key, Value string }

func (t tags) toMap() map[string]string {
	m := make(map[string]string, len(t))
	for _, tag := range t {
		m[tag.Key] = tag.Value
	}
	return m
}

func oneOf(property, value string, known ...string) error {
	for _, k := range known {
		if value == k {
			return nil
		}
	}
	return fmt.Errorf("property %s: the local runtime knows %v, not %q", property, known, value)
}

func required(property, value string) error {
	if value == "" {
		return fmt.Errorf("property %s is required", property)
	}
	return nil
}

// day is the unit of the retention properties.
const day = 24 * time.Hour
