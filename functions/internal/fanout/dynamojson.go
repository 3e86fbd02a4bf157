package fanout

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/stowage-dev/stowage/shared/catalog"
)

// maxDepth bounds the nesting that a reader follows. DynamoDB allows 32 levels of
// lists and maps, each of which is two levels of JSON.
const maxDepth = 128

// reader goes through JSON text from left to right and decodes only what it is asked
// for. Strings are parts of the text wherever they hold no escapes, so that an item
// costs little more than its map: events.DynamoDBEvent makes some 160 allocations a
// record, most of them for images of items that make no event.
//
// It is lenient where it skips: whoever hands it text that is not JSON gets an
// error or nonsense, but no panic.
type reader struct {
	text string
	at   int
	deep int
}

var errEnd = errors.New("unexpected end of JSON")

func (r *reader) fail(want string) error {
	if r.at >= len(r.text) {
		return errEnd
	}
	return fmt.Errorf("found %q at byte %d, want %s", r.text[r.at], r.at, want)
}

// next skips white space and returns the byte that follows, 0 at the end.
func (r *reader) next() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\n', '\r':
		default:
			return c
		}
	}
	return 0
}

// object calls field for each member. field must read the value.
func (r *reader) object(field func(name string) error) error {
	return r.list('{', '}', "an object", func() error {
		name, err := r.string()
		if err != nil {
			return err
		}
		if r.next() != ':' {
			return r.fail("a colon")
		}
		r.at++
		return field(name)
	})
}

// array calls element for each element. element must read it.
func (r *reader) array(element func() error) error {
	return r.list('[', ']', "an array", element)
}

func (r *reader) list(open, end byte, what string, element func() error) error {
	if r.next() != open {
		return r.fail(what)
	}
	if r.deep++; r.deep > maxDepth {
		return fmt.Errorf("more than %d levels deep at byte %d", maxDepth, r.at)
	}
	defer func() { r.deep-- }()
	r.at++
	if r.next() == end {
		r.at++
		return nil
	}
	for {
		if err := element(); err != nil {
			return err
		}
		switch r.next() {
		case ',':
			r.at++
		case end:
			r.at++
			return nil
		default:
			return r.fail("a comma or the end of " + what)
		}
	}
}

// string reads a string.
func (r *reader) string() (string, error) {
	if r.next() != '"' {
		return "", r.fail("a string")
	}
	start := r.at
	plain, err := r.skipString()
	if err != nil {
		return "", err
	}
	if plain {
		return r.text[start+1 : r.at-1], nil
	}
	var s string
	if err := json.Unmarshal([]byte(r.text[start:r.at]), &s); err != nil {
		return "", fmt.Errorf("string at byte %d: %w", start, err)
	}
	return s, nil
}

// skipString passes over a string and reports whether it is its own value: no
// escapes, and nothing but ASCII, which needs no look at its encoding.
func (r *reader) skipString() (plain bool, err error) {
	plain = true
	for r.at++; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return plain, nil
		case c == '\\':
			plain = false
			r.at++
		case c < ' ' || c >= 0x80:
			plain = false
		}
	}
	return false, errEnd
}

// skip passes over a value.
func (r *reader) skip() error {
	switch c := r.next(); c {
	case '{':
		return r.object(func(string) error { return r.skip() })
	case '[':
		return r.array(r.skip)
	case '"':
		_, err := r.skipString()
		return err
	default:
		_, err := r.literal()
		return err
	}
}

// raw passes over a value and returns its text.
func (r *reader) raw() (string, error) {
	r.next()
	start := r.at
	if err := r.skip(); err != nil {
		return "", err
	}
	return r.text[start:r.at], nil
}

// literal reads a number, true, false or null.
func (r *reader) literal() (string, error) {
	r.next()
	n := strings.IndexAny(r.text[r.at:], ",]} \t\n\r")
	if n < 0 {
		n = len(r.text) - r.at
	}
	if n == 0 {
		return "", r.fail("a value")
	}
	lit := r.text[r.at : r.at+n]
	r.at += n
	return lit, nil
}

// item reads a map of attribute names to values.
func (r *reader) item() (catalog.Item, error) {
	item := make(catalog.Item, 32)
	err := r.object(func(name string) error {
		v, err := r.value()
		if err != nil {
			return fmt.Errorf("attribute %s: %w", name, err)
		}
		item[name] = v
		return nil
	})
	return item, err
}

// value reads an attribute value, such as {"S":"text"}. A type that the catalog does
// not use becomes catalog.Unknown.
func (r *reader) value() (v catalog.Value, err error) {
	err = r.object(func(kind string) (err error) {
		switch kind {
		case "S":
			v.Kind = catalog.KindString
			v.Text, err = r.string()
		case "N":
			v.Kind = catalog.KindNumber
			v.Text, err = r.string()
		case "BOOL":
			v.Kind = catalog.KindBool
			v.Bool, err = r.bool()
		case "NULL":
			v.Kind = catalog.KindNull
			err = r.skip()
		case "M":
			v.Kind = catalog.KindMap
			v.Map, err = r.item()
		case "L":
			v.Kind = catalog.KindList
			v.List = []catalog.Value{}
			err = r.array(func() error {
				e, err := r.value()
				v.List = append(v.List, e)
				return err
			})
		default:
			err = r.skip()
		}
		return err
	})
	return v, err
}

func (r *reader) bool() (bool, error) {
	switch lit, err := r.literal(); {
	case err != nil:
		return false, err
	case lit == "true":
		return true, nil
	case lit == "false":
		return false, nil
	default:
		return false, fmt.Errorf("found %q before byte %d, want true or false", lit, r.at)
	}
}
