package iam

import (
	"slices"
	"strings"
)

// arnPattern matches ARNs part by part: arn, partition, service, region, account and resource, each with
// wildcards. The resource may hold colons of its own.
type arnPattern struct {
	source string
	all    bool // "*"
	parts  []pattern
}

func compileARN(source string, variables bool) (arnPattern, error) {
	if source == "*" {
		return arnPattern{source: source, all: true}, nil
	}
	p, err := compile(source, syntax{wildcards: true, variables: variables})
	if err != nil {
		return arnPattern{}, err
	}
	return arnPattern{source: source, parts: split(p)}, nil
}

// split cuts a pattern at the colons of its literals.
func split(p pattern) []pattern {
	parts := []pattern{{source: p.source}}
	add := func(t token) {
		last := &parts[len(parts)-1]
		last.tokens = append(last.tokens, t)
	}
	for _, t := range p.tokens {
		for t.kind == literal && len(parts) < arnParts {
			before, after, found := strings.Cut(t.text, ":")
			if !found {
				break
			}
			if before != "" {
				add(token{kind: literal, text: before})
			}
			parts = append(parts, pattern{source: p.source})
			t.text = after
		}
		if t.kind != literal || t.text != "" {
			add(t)
		}
	}
	return parts
}

// resolve replaces the variables of a pattern; false when one has no value.
func (a arnPattern) resolve(c Context) (arnPattern, bool) {
	if !slices.ContainsFunc(a.parts, pattern.hasVariables) {
		return a, true
	}
	resolved := arnPattern{source: a.source, all: a.all, parts: make([]pattern, len(a.parts))}
	for i, p := range a.parts {
		var ok bool
		if resolved.parts[i], ok = p.resolve(c); !ok {
			return arnPattern{}, false
		}
	}
	return resolved, true
}

// match says whether a resolved pattern matches an ARN. A star at the end of a part matches beyond the
// colon too ("If the * wildcard is the last character of a resource ARN segment, it can expand to match
// beyond the colon boundaries").
func (a arnPattern) match(arn string) bool {
	if a.all {
		return true
	}
	values := strings.SplitN(arn, ":", arnParts)
	for i, part := range a.parts {
		if i >= len(values) {
			return false
		}
		if endsInStar(part) && beyond(a.parts[i:], values[i:]) {
			return true
		}
		if !part.match(values[i]) {
			return false
		}
	}
	return len(values) == len(a.parts)
}

// like says whether an ARN matches as the ARN condition operators have it: each of its six parts by
// itself.
func (a arnPattern) like(arn string) bool {
	if a.all {
		return true
	}
	values := strings.SplitN(arn, ":", arnParts)
	if len(values) != len(a.parts) {
		return false
	}
	for i, part := range a.parts {
		if !part.match(values[i]) {
			return false
		}
	}
	return true
}

func endsInStar(p pattern) bool {
	return len(p.tokens) > 0 && p.tokens[len(p.tokens)-1].kind == star
}

// beyond matches the rest of a pattern as a whole against the rest of an ARN.
func beyond(parts []pattern, values []string) bool {
	var tokens []token
	for i, p := range parts {
		if i > 0 {
			tokens = append(tokens, token{kind: literal, text: ":"})
		}
		tokens = append(tokens, p.tokens...)
	}
	return glob(tokens, strings.Join(values, ":"))
}
