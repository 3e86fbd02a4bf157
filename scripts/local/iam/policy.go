package iam

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Versions of the policy language. In the older one, the default, there are no variables.
const (
	version2008 = "2008-10-17"
	version2012 = "2012-10-17"
)

// Policy is a policy document that was checked and compiled.
type Policy struct {
	kind       Kind
	name       string
	statements []statement
}

// Name is the name that Parse was given.
func (p *Policy) Name() string { return p.name }

// statement is one statement, compiled.
type statement struct {
	ref        Ref
	allow      bool
	principals *principals // nil: the kind of policy names none
	actions    []pattern
	notActions bool
	resources  []arnPattern
	notRes     bool
	conditions []condition
}

// document is a policy as it is written.
type document struct {
	Version   string
	ID        string `json:"Id"`
	Statement json.RawMessage
}

type statementDocument struct {
	Sid                     string
	Effect                  string
	Principal, NotPrincipal json.RawMessage
	Action, NotAction       oneOrMore
	Resource, NotResource   oneOrMore
	Condition               map[string]map[string]oneOrMore
}

// oneOrMore is a value or a list of values; numbers and booleans count as their text.
type oneOrMore []string

// UnmarshalJSON implements json.Unmarshaler.
func (o *oneOrMore) UnmarshalJSON(data []byte) error {
	var list []json.RawMessage
	if err := json.Unmarshal(data, &list); err != nil {
		list = []json.RawMessage{data}
	}
	*o = oneOrMore{}
	for _, item := range list {
		var s string
		switch {
		case len(item) > 0 && item[0] == '"':
			if err := json.Unmarshal(item, &s); err != nil {
				return fmt.Errorf("%s: %w", item, err)
			}
		case len(item) > 0 && strings.IndexByte("{[n", item[0]) < 0: // a number or a boolean
			s = string(item)
		default:
			return fmt.Errorf("%s is not a string", item)
		}
		*o = append(*o, s)
	}
	return nil
}

// Parse checks and compiles a policy document. The name says in errors and decisions which it is.
func Parse(kind Kind, name string, data []byte) (*Policy, error) {
	p, err := parse(kind, name, data)
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", kind, name, err)
	}
	return p, nil
}

func parse(kind Kind, name string, data []byte) (*Policy, error) {
	if err := refuseDuplicates(data); err != nil {
		return nil, err
	}
	var doc document
	if err := strict(data, &doc); err != nil {
		return nil, err
	}
	switch doc.Version {
	case "", version2008, version2012:
	default:
		return nil, fmt.Errorf("the version %q is neither %s nor %s", doc.Version, version2012, version2008)
	}
	if len(doc.Statement) == 0 {
		return nil, errors.New("it has no Statement")
	}
	var list []json.RawMessage
	if err := json.Unmarshal(doc.Statement, &list); err != nil {
		list = []json.RawMessage{doc.Statement} // one statement need not stand in a list
	}
	p := &Policy{kind: kind, name: name}
	for i, raw := range list {
		var d statementDocument
		err := strict(raw, &d)
		ref := Ref{Kind: kind, Policy: name, Sid: d.Sid, Index: i}
		if err == nil {
			var s statement
			if s, err = compileStatement(ref, d, doc.Version == version2012); err == nil {
				p.statements = append(p.statements, s)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("statement %d%s: %w", i, sid(d.Sid), err)
		}
	}
	return p, nil
}

func sid(s string) string {
	if s == "" {
		return ""
	}
	return " (" + s + ")"
}

// strict decodes one JSON value and refuses what the target does not name.
func strict(data []byte, into any) error {
	d := json.NewDecoder(bytes.NewReader(data))
	d.DisallowUnknownFields()
	if err := d.Decode(into); err != nil {
		return fmt.Errorf("it is not a policy: %w", err)
	}
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return errors.New("something follows the policy")
	}
	return nil
}

// refuseDuplicates refuses an object that has a name twice: the last would silently win.
func refuseDuplicates(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	type level struct {
		names  map[string]bool // nil for a list
		atName bool
	}
	var stack []level
	for {
		t, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("it is not JSON: %w", err)
		}
		switch delim, ok := t.(json.Delim); {
		case ok && (delim == '}' || delim == ']'):
			stack = stack[:len(stack)-1]
		case len(stack) > 0 && stack[len(stack)-1].atName:
			top := &stack[len(stack)-1]
			name := t.(string) //nolint:forcetypeassert // names are strings
			folded := strings.ToLower(name)
			if top.names[folded] {
				return fmt.Errorf("%q occurs twice in one object", name)
			}
			top.names[folded] = true
			top.atName = false
			continue
		case ok && delim == '{':
			stack = append(stack, level{names: map[string]bool{}, atName: true})
			continue
		case ok && delim == '[':
			stack = append(stack, level{})
			continue
		}
		if n := len(stack); n > 0 && stack[n-1].names != nil { // a value has ended: a name follows
			stack[n-1].atName = true
		}
	}
}

func compileStatement(ref Ref, d statementDocument, variables bool) (statement, error) {
	s := statement{ref: ref}
	switch d.Effect {
	case "Allow":
		s.allow = true
	case "Deny":
	default:
		return s, fmt.Errorf("its Effect is %q; it must be Allow or Deny", d.Effect)
	}
	var err error
	if s.principals, err = compilePrincipals(ref.Kind, d.Principal, d.NotPrincipal); err != nil {
		return s, err
	}
	if err := s.compileActions(d); err != nil {
		return s, err
	}
	if err := s.compileResources(ref.Kind, d, variables); err != nil {
		return s, err
	}
	s.conditions, err = compileConditions(d.Condition, variables)
	return s, err
}

func (s *statement) compileActions(d statementDocument) error {
	if (d.Action == nil) == (d.NotAction == nil) {
		return errors.New("it must have either Action or NotAction")
	}
	s.notActions = d.NotAction != nil
	sources := slices.Concat(d.Action, d.NotAction)
	if len(sources) == 0 {
		return errors.New("it names no action")
	}
	for _, source := range sources {
		if err := checkAction(source); err != nil {
			return err
		}
		p, err := compile(strings.ToLower(source), syntax{wildcards: true})
		if err != nil {
			return fmt.Errorf("action %w", err)
		}
		p.source = source
		s.actions = append(s.actions, p)
	}
	return nil
}

func (s *statement) compileResources(kind Kind, d statementDocument, variables bool) error {
	if kind == Trust {
		if d.Resource != nil || d.NotResource != nil {
			return errors.New("a role trust policy must not have Resource or NotResource: it is the role's own")
		}
		s.resources = []arnPattern{{source: "*", all: true}}
		return nil
	}
	if (d.Resource == nil) == (d.NotResource == nil) {
		return errors.New("it must have either Resource or NotResource")
	}
	s.notRes = d.NotResource != nil
	sources := slices.Concat(d.Resource, d.NotResource)
	if len(sources) == 0 {
		return errors.New("it names no resource")
	}
	for _, source := range sources {
		if source != "*" && !strings.HasPrefix(source, "arn:") && !strings.HasPrefix(source, "${") {
			return fmt.Errorf("the resource %q is neither an ARN nor *", source)
		}
		a, err := compileARN(source, variables)
		if err != nil {
			return fmt.Errorf("resource %w", err)
		}
		s.resources = append(s.resources, a)
	}
	return nil
}

// applies says whether the statement is about a request: its action, its resource and its conditions.
// The principal is looked at apart.
func (s *statement) applies(r Request) bool {
	return s.isAbout(r.action) && s.isOn(r.Resource, r.Context) && s.holds(r.Context)
}

func (s *statement) isAbout(action string) bool {
	matches := slices.ContainsFunc(s.actions, func(p pattern) bool { return p.match(action) })
	return matches != s.notActions
}

// isOn says whether the statement is on a resource. When a variable of NotResource has no value, it is
// not known what is left out, and the statement is on nothing.
func (s *statement) isOn(resource string, c Context) bool {
	matches := false
	for _, a := range s.resources {
		resolved, ok := a.resolve(c)
		if !ok && s.notRes {
			return false
		}
		matches = matches || ok && resolved.match(resource)
	}
	return matches != s.notRes
}

// grant says by which of its words the statement, which applies to a request, allows it.
func (s *statement) grant(r Request) Grant {
	g := Grant{Ref: s.ref}
	if !s.notActions {
		g.Action = s.actions[slices.IndexFunc(s.actions, func(p pattern) bool { return p.match(r.action) })].source
	}
	if !s.notRes {
		g.Resource = s.resources[slices.IndexFunc(s.resources, func(a arnPattern) bool {
			resolved, ok := a.resolve(r.Context)
			return ok && resolved.match(r.Resource)
		})].source
	}
	return g
}

func (s *statement) holds(c Context) bool {
	for i := range s.conditions {
		if !s.conditions[i].holds(c) {
			return false
		}
	}
	return true
}
