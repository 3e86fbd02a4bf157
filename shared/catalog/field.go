package catalog

import (
	"fmt"
	"time"
)

// field is one attribute of an entity whose Go type is T: its name, and how it
// goes into an item and comes back. Empty strings, zero times, empty maps and
// empty lists are not stored, and an attribute that is missing leaves the zero
// value.
type field[T any] struct {
	name  string
	kind  Kind
	doc   string
	write func(*T) (v Value, present bool)
	read  func(*T, Value) error
}

func text[T any, S ~string](name, doc string, at func(*T) *S) field[T] {
	return field[T]{
		name: name, kind: KindString, doc: doc,
		write: func(t *T) (Value, bool) { return Text(string(*at(t))), *at(t) != "" },
		read: func(t *T, v Value) error {
			s, err := v.text()
			*at(t) = S(s)
			return err
		},
	}
}

func number[T any, N ~int | ~int64](name, doc string, at func(*T) *N) field[T] {
	return field[T]{
		name: name, kind: KindNumber, doc: doc,
		write: func(t *T) (Value, bool) { return Int(int64(*at(t))), true },
		read: func(t *T, v Value) error {
			n, err := v.int()
			*at(t) = N(n)
			return err
		},
	}
}

func boolean[T any](name, doc string, at func(*T) *bool) field[T] {
	return field[T]{
		name: name, kind: KindBool, doc: doc,
		write: func(t *T) (Value, bool) { return Bool(*at(t)), *at(t) },
		read: func(t *T, v Value) error {
			b, err := v.bool()
			*at(t) = b
			return err
		},
	}
}

func moment[T any](name, doc string, at func(*T) *time.Time) field[T] {
	return field[T]{
		name: name, kind: KindString, doc: doc,
		write: func(t *T) (Value, bool) { return Text(stamp(*at(t))), !at(t).IsZero() },
		read: func(t *T, v Value) error {
			s, err := v.text()
			if err != nil {
				return err
			}
			*at(t), err = parseStamp(s)
			return err
		},
	}
}

// labels is a map from strings to strings.
func labels[T any](name, doc string, at func(*T) *map[string]string) field[T] {
	return field[T]{
		name: name, kind: KindMap, doc: doc,
		write: func(t *T) (Value, bool) {
			m := make(Item, len(*at(t)))
			for k, s := range *at(t) {
				m[k] = Text(s)
			}
			return Map(m), len(m) > 0
		},
		read: func(t *T, v Value) error {
			m, err := v.fields()
			if err != nil {
				return err
			}
			out := make(map[string]string, len(m))
			for k, e := range m {
				if out[k], err = e.text(); err != nil {
					return fmt.Errorf("entry %q %w", k, err)
				}
			}
			*at(t) = out
			return nil
		},
	}
}

// list is a slice whose elements have their own form.
func list[T, E any](name, doc string, at func(*T) *[]E, encode func(E) Value, decode func(Value) (E, error)) field[T] {
	return field[T]{
		name: name, kind: KindList, doc: doc,
		write: func(t *T) (Value, bool) {
			l := make([]Value, len(*at(t)))
			for i, e := range *at(t) {
				l[i] = encode(e)
			}
			return List(l), len(l) > 0
		},
		read: func(t *T, v Value) error {
			l, err := v.elements()
			if err != nil {
				return err
			}
			out := make([]E, len(l))
			for i, e := range l {
				if out[i], err = decode(e); err != nil {
					return fmt.Errorf("element %d %w", i, err)
				}
			}
			*at(t) = out
			return nil
		},
	}
}

// texts is a list of strings.
func texts[T any](name, doc string, at func(*T) *[]string) field[T] {
	return list(name, doc, at, Text, Value.text)
}

// record is a nested struct, stored as a map of its own fields. It is absent
// when the pointer is nil.
func record[T, R any](name, doc string, at func(*T) **R, fields []field[R]) field[T] {
	return field[T]{
		name: name, kind: KindMap, doc: doc,
		write: func(t *T) (Value, bool) {
			if *at(t) == nil {
				return Value{}, false
			}
			return Map(encodeFields(*at(t), fields)), true
		},
		read: func(t *T, v Value) error {
			m, err := v.fields()
			if err != nil {
				return err
			}
			r := new(R)
			*at(t) = r
			return decodeFields(r, m, fields)
		},
	}
}

func encodeFields[T any](t *T, fields []field[T]) Item {
	item := make(Item, len(fields))
	for _, f := range fields {
		if v, present := f.write(t); present {
			item[f.name] = v
		}
	}
	return item
}

func decodeFields[T any](t *T, item Item, fields []field[T]) error {
	for _, f := range fields {
		v, present := item[f.name]
		if !present {
			continue
		}
		if err := f.read(t, v); err != nil {
			return fmt.Errorf("attribute %s %w", f.name, err)
		}
	}
	return nil
}

// stampForm is RFC 3339 in UTC with a fixed number of digits, so that the
// order of the texts is the order of the times.
const stampForm = "2006-01-02T15:04:05.000Z"

// Precision is how exactly the catalog stores a time. A time that is to be
// equal after a round trip must be truncated to it.
const Precision = time.Millisecond

func stamp(t time.Time) string { return t.UTC().Format(stampForm) }

func parseStamp(s string) (time.Time, error) {
	t, err := time.Parse(stampForm, s)
	if err != nil {
		return time.Time{}, fmt.Errorf("is %q, not a time of the form %s", s, stampForm)
	}
	return t, nil
}
