package iam

import (
	"fmt"
	"strings"
)

// Explain tells whoever looks for the reason of an implicit denial which statements would allow the
// request but for a condition, and what the request has of the condition's key. AWS's own message says
// nothing of it.
func Explain(r Request, p Policies) []string {
	r = r.prepared()
	var said []string
	for _, policy := range append(append([]*Policy{}, p.Identity...), p.Resource...) {
		for i := range policy.statements {
			s := &policy.statements[i]
			reached := s.principals == nil || s.principals.reaches(r.Principal, true, p.Boundary != nil) != notReached
			if !s.allow || !reached || !s.isAbout(r.action) || !s.isOn(r.Resource, r.Context) {
				continue
			}
			for _, c := range s.conditions {
				if !c.holds(r.Context) {
					said = append(said, fmt.Sprintf("%s would allow it but for its condition %s: %s", s.ref, c.words, c.given(r.Context)))
				}
			}
		}
	}
	return said
}

// given says what a request has of the condition's key.
func (c *condition) given(ctx Context) string {
	values, present := ctx.values(c.key)
	if !present {
		return "the request has no such key"
	}
	return fmt.Sprintf("the request has %q", values)
}

// Permission is one of the things that a statement allows: what one of its words allows to do on one of
// its resources.
type Permission struct {
	Grant
	// Actions are those that Action stands for, if its service's are known here.
	Actions []string
}

// Permissions are all that a policy allows, in its order. A statement with NotAction or NotResource
// allows something that cannot be listed; it has one Permission without the one or the other.
func (p *Policy) Permissions() []Permission {
	var list []Permission
	for i := range p.statements {
		s := &p.statements[i]
		if !s.allow {
			continue
		}
		for _, action := range words(s.notActions, len(s.actions), func(i int) string { return s.actions[i].source }) {
			for _, resource := range words(s.notRes, len(s.resources), func(i int) string { return s.resources[i].source }) {
				list = append(list, Permission{Grant: Grant{Ref: s.ref, Action: action, Resource: resource}, Actions: matching(action)})
			}
		}
	}
	return list
}

func words(not bool, n int, word func(i int) string) []string {
	if not {
		return []string{""}
	}
	list := make([]string, n)
	for i := range list {
		list[i] = word(i)
	}
	return list
}

// matching are the actions that a pattern of actions stands for; none where they are not known.
func matching(source string) []string {
	service, name, _ := strings.Cut(source, ":")
	known, _ := actions(strings.ToLower(service))
	p, err := compile(strings.ToLower(name), syntax{wildcards: true})
	if err != nil {
		return nil // Parse has compiled it before
	}
	var list []string
	for _, action := range known {
		if p.match(strings.ToLower(action)) {
			list = append(list, strings.ToLower(service)+":"+action)
		}
	}
	return list
}
