package bus

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
)

// maxVariables is how many paths an input transformer may have.
const maxVariables = 100

// transformer is an InputTransformer cut into text and placeholders.
type transformer struct {
	paths  map[string]path
	pieces []piece
	isJSON bool // otherwise the template is plain text
}

// piece is text, and then a placeholder (empty at the end).
type piece struct {
	text, placeholder string
	quoted            bool // the placeholder stands within a JSON string
}

// newTransformer checks that every placeholder has a path and that the template, once filled in,
// can be JSON; one that cannot is taken for text.
func newTransformer(in InputTransformer) (*transformer, error) {
	if len(in.Paths) > maxVariables {
		return nil, fmt.Errorf("input transformer: %d paths, at most %d are allowed", len(in.Paths), maxVariables)
	}
	if in.Template == "" {
		return nil, fmt.Errorf("input transformer: the template is empty")
	}
	t := &transformer{paths: map[string]path{}}
	for _, name := range slices.Sorted(maps.Keys(in.Paths)) {
		if strings.HasPrefix(strings.ToLower(name), "aws.") {
			return nil, fmt.Errorf("input transformer: the name %s is reserved", name)
		}
		p, err := parsePath(in.Paths[name])
		if err != nil {
			return nil, fmt.Errorf("input transformer, variable %s: %w", name, err)
		}
		t.paths[name] = p
	}
	t.cut(in.Template)
	var sample strings.Builder
	for _, pc := range t.pieces {
		sample.WriteString(pc.text)
		if pc.placeholder == "" {
			continue
		}
		if _, ok := t.paths[pc.placeholder]; !ok && !predefined(pc.placeholder) {
			return nil, fmt.Errorf("input transformer: <%s> has no path", pc.placeholder)
		}
		if !pc.quoted {
			sample.WriteString("null")
		}
	}
	t.isJSON = json.Valid([]byte(sample.String()))
	return t, nil
}

// cut finds the placeholders and whether each stands within quotes.
func (t *transformer) cut(template string) {
	placeholder := regexp.MustCompile(`<([A-Za-z0-9_.\-]+)>`)
	last, quoted := 0, false
	for _, m := range placeholder.FindAllStringSubmatchIndex(template, -1) {
		text := template[last:m[0]]
		quoted = endsQuoted(text, quoted)
		t.pieces = append(t.pieces, piece{text: text, placeholder: template[m[2]:m[3]], quoted: quoted})
		last = m[1]
	}
	t.pieces = append(t.pieces, piece{text: template[last:]})
}

func endsQuoted(text string, quoted bool) bool {
	for i := 0; i < len(text); i++ {
		switch {
		case text[i] == '\\' && quoted:
			i++
		case text[i] == '"':
			quoted = !quoted
		}
	}
	return quoted
}

func predefined(name string) bool {
	switch name {
	case "aws.events.rule-arn", "aws.events.rule-name", "aws.events.event.ingestion-time", "aws.events.event", "aws.events.event.json":
		return true
	}
	return false
}

// apply fills in the template. A variable whose path finds nothing is left out, as on AWS; where
// that makes a JSON template invalid, the event cannot be delivered.
func (t *transformer) apply(r Rule, ev json.RawMessage, received time.Time) ([]byte, error) {
	var out bytes.Buffer
	for _, pc := range t.pieces {
		out.WriteString(pc.text)
		if pc.placeholder == "" {
			continue
		}
		v, err := t.value(pc.placeholder, r, ev, received)
		if err != nil {
			return nil, err
		}
		out.Write(t.form(pc, v))
	}
	if t.isJSON && !json.Valid(out.Bytes()) {
		return nil, &TargetError{Code: "INVALID_JSON", Permanent: true, Err: fmt.Errorf("the input transformer of rule %s makes invalid JSON: %s", r.Name, out.Bytes())}
	}
	return out.Bytes(), nil
}

// form writes a value as it goes into its place: as JSON, or, within quotes and in text, a string
// without its own quotes.
func (t *transformer) form(pc piece, v json.RawMessage) []byte {
	var s string
	isString := json.Unmarshal(v, &s) == nil && len(v) > 0 && v[0] == '"'
	switch {
	case !t.isJSON && isString:
		return []byte(s)
	case !t.isJSON || !pc.quoted:
		return v
	case isString:
		return v[1 : len(v)-1]
	default:
		escaped := quote(string(v))
		return escaped[1 : len(escaped)-1]
	}
}

func (t *transformer) value(name string, r Rule, ev json.RawMessage, received time.Time) (json.RawMessage, error) {
	if p, ok := t.paths[name]; ok {
		v, _ := p.lookup(ev)
		return v, nil
	}
	switch name {
	case "aws.events.rule-arn":
		return quote(r.ARN), nil
	case "aws.events.rule-name":
		return quote(r.Name), nil
	case "aws.events.event.ingestion-time":
		return quote(received.UTC().Format(time.RFC3339)), nil
	case "aws.events.event":
		return withoutDetail(ev)
	default:
		return ev, nil
	}
}

func withoutDetail(ev json.RawMessage) (json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(ev, &object); err != nil {
		return nil, fmt.Errorf("decode event: %w", err)
	}
	delete(object, "detail")
	raw, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("encode event: %w", err)
	}
	return raw, nil
}

// quote makes a JSON string; invalid UTF-8 is replaced, so it cannot fail.
func quote(s string) json.RawMessage {
	raw, _ := json.Marshal(s)
	return raw
}
