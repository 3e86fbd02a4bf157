package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	fastjson "github.com/segmentio/encoding/json"
)

// maxJSONDepth is deeper than any request body goes.
const maxJSONDepth = 16

// UnmarshalStrict reads one JSON value as encoding/json does, and refuses what that lets
// pass: duplicate keys, invalid UTF-8, unpaired surrogates, fields that the target does
// not have or has in another spelling, and deep nesting. Two readers of such a text may
// see two different requests.
func UnmarshalStrict(data []byte, into any) error {
	if !utf8.Valid(data) {
		return errors.New("the body is not valid UTF-8")
	}
	if hasUnpairedSurrogate(data) {
		return errors.New("the body escapes an unpaired surrogate")
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber() // numbers are skipped here, not converted
	if err := checkValue(decoder, reflect.TypeOf(into), "", 0); err != nil {
		return err
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body holds more than one JSON value")
	}
	err := json.Unmarshal(data, into)
	var unfit *json.UnmarshalTypeError
	switch {
	case errors.As(err, &unfit):
		return fmt.Errorf("the field %q takes no %s", unfit.Field, unfit.Value)
	case err != nil:
		return fmt.Errorf("decode the body: %w", err)
	default:
		return nil
	}
}

// Marshal writes what encoding/json would, without escaping for HTML, in a third of the
// time (decision 0018). It knows no tag omitzero: see checkEncodable.
func Marshal(w io.Writer, v any) error {
	encoder := fastjson.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	return nil
}

// checkEncodable refuses a type that Marshal would write otherwise than encoding/json: one in
// which a field is to be left out by the tag omitzero, which it ignores.
func checkEncodable(t reflect.Type) error { return checkFields(t, map[reflect.Type]bool{}) }

func checkFields(t reflect.Type, seen map[reflect.Type]bool) error {
	if seen[t] || t.Implements(reflect.TypeFor[json.Marshaler]()) {
		return nil // it writes itself
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Pointer, reflect.Slice, reflect.Array, reflect.Map:
		return checkFields(t.Elem(), seen)
	case reflect.Struct:
	default:
		return nil
	}
	for f := range t.Fields() {
		if !f.IsExported() && !f.Anonymous {
			continue
		}
		if _, options, _ := strings.Cut(f.Tag.Get("json"), ","); slices.Contains(strings.Split(options, ","), "omitzero") {
			return fmt.Errorf("the field %s of %s has the tag omitzero, which the encoder ignores: make it a pointer with omitempty", f.Name, t)
		}
		if err := checkFields(f.Type, seen); err != nil {
			return err
		}
	}
	return nil
}

// checkValue reads the next value, which is to go into a t (nil or an interface: anything).
func checkValue(decoder *json.Decoder, t reflect.Type, at string, depth int) error {
	token, err := decoder.Token()
	if err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	delim, ok := token.(json.Delim)
	if !ok {
		return nil
	}
	if depth >= maxJSONDepth {
		return fmt.Errorf("the body is nested deeper than %d levels", maxJSONDepth)
	}
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if delim == '{' {
		return checkObject(decoder, t, at, depth)
	}
	var element reflect.Type
	if t != nil && (t.Kind() == reflect.Slice || t.Kind() == reflect.Array) {
		element = t.Elem()
	}
	for decoder.More() {
		if err := checkValue(decoder, element, at+"[]", depth+1); err != nil {
			return err
		}
	}
	return closeOf(decoder)
}

func checkObject(decoder *json.Decoder, t reflect.Type, at string, depth int) error {
	fields, isStruct := fieldsOf(t)
	seen := make(map[string]struct{}, 8)
	for decoder.More() {
		token, err := decoder.Token()
		if err != nil {
			return fmt.Errorf("the body is not JSON: %w", err)
		}
		name, _ := token.(string) // the decoder takes nothing but a string here
		here := strings.TrimPrefix(at+"."+name, ".")
		if _, twice := seen[name]; twice {
			return fmt.Errorf("the key %q appears twice", here)
		}
		seen[name] = struct{}{}
		next, known := fields[name]
		if isStruct && !known {
			return fmt.Errorf("there is no field %q (names are case-sensitive)", here)
		}
		if t != nil && t.Kind() == reflect.Map {
			next = t.Elem()
		}
		if err := checkValue(decoder, next, here, depth+1); err != nil {
			return err
		}
	}
	return closeOf(decoder)
}

func closeOf(decoder *json.Decoder) error {
	if _, err := decoder.Token(); err != nil {
		return fmt.Errorf("the body is not JSON: %w", err)
	}
	return nil
}

// fieldsOf lists what encoding/json would fill in of a struct, by name.
func fieldsOf(t reflect.Type) (fields map[string]reflect.Type, isStruct bool) {
	if t == nil || t.Kind() != reflect.Struct || t.Implements(reflect.TypeFor[json.Unmarshaler]()) ||
		reflect.PointerTo(t).Implements(reflect.TypeFor[json.Unmarshaler]()) {
		return nil, false
	}
	fields = make(map[string]reflect.Type, t.NumField())
	for _, f := range reflect.VisibleFields(t) {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case name == "-" || !f.IsExported() || f.Anonymous && name == "":
			continue
		case name == "":
			name = f.Name
		}
		fields[name] = f.Type
	}
	return fields, true
}

// hasUnpairedSurrogate reports whether a string escapes half of a UTF-16 pair, which
// encoding/json would replace silently.
func hasUnpairedSurrogate(data []byte) bool {
	for i := 0; i < len(data); i++ {
		if data[i] != '\\' {
			continue
		}
		unit, ok := escapedUnit(data[i:])
		if !ok {
			i++ // the escaped character, which may be a backslash
			continue
		}
		i += 5
		switch {
		case 0xD800 <= unit && unit < 0xDC00:
			low, ok := escapedUnit(data[i+1:])
			if !ok || low < 0xDC00 || low > 0xDFFF {
				return true
			}
			i += 6
		case 0xDC00 <= unit && unit <= 0xDFFF:
			return true
		}
	}
	return false
}

// escapedUnit reads the \uXXXX that data begins with.
func escapedUnit(data []byte) (unit rune, ok bool) {
	if len(data) < 6 || data[0] != '\\' || data[1] != 'u' {
		return 0, false
	}
	for _, c := range data[2:6] {
		unit <<= 4
		switch {
		case '0' <= c && c <= '9':
			unit |= rune(c - '0')
		case 'a' <= c && c <= 'f':
			unit |= rune(c-'a') + 10
		case 'A' <= c && c <= 'F':
			unit |= rune(c-'A') + 10
		default:
			return 0, false
		}
	}
	return unit, true
}
