package iam

import (
	"errors"
	"fmt"
	"strings"
)

// pattern is text with wildcards and policy variables, compiled.
type pattern struct {
	source string
	tokens []token
}

// token is one piece of a pattern.
type token struct {
	kind     tokenKind
	text     string // of a literal; name of a variable, in lower case
	fallback string // of a variable
	has      bool   // the variable has a fallback
}

type tokenKind int

const (
	literal  tokenKind = iota
	star               // any characters
	any1               // any one character
	variable           // the value of a condition key
)

// syntax says what means something in a pattern.
type syntax struct{ wildcards, variables bool }

// compile reads a pattern. Variables are ${key} and ${key, 'fallback'}; ${*}, ${?} and ${$} are those
// characters themselves.
func compile(source string, s syntax) (pattern, error) {
	p := pattern{source: source}
	for rest := source; rest != ""; {
		switch {
		case s.wildcards && rest[0] == '*':
			if n := len(p.tokens); n == 0 || p.tokens[n-1].kind != star {
				p.tokens = append(p.tokens, token{kind: star})
			}
			rest = rest[1:]
		case s.wildcards && rest[0] == '?':
			p.tokens = append(p.tokens, token{kind: any1})
			rest = rest[1:]
		case s.variables && strings.HasPrefix(rest, "${"):
			end := strings.IndexByte(rest, '}')
			if end < 0 {
				return pattern{}, fmt.Errorf("%q: a variable has no closing brace", source)
			}
			t, err := compileVariable(rest[2:end])
			if err != nil {
				return pattern{}, fmt.Errorf("%q: %w", source, err)
			}
			p.tokens = append(p.tokens, t)
			rest = rest[end+1:]
		default:
			n := nextSpecial(rest, s)
			p.tokens = append(p.tokens, token{kind: literal, text: rest[:n]})
			rest = rest[n:]
		}
	}
	return p, nil
}

// nextSpecial is how much of rest, at least one byte, is literal.
func nextSpecial(rest string, s syntax) int {
	for i := 1; i < len(rest); i++ {
		if s.wildcards && (rest[i] == '*' || rest[i] == '?') || s.variables && strings.HasPrefix(rest[i:], "${") {
			return i
		}
	}
	return len(rest)
}

func compileVariable(body string) (token, error) {
	switch body {
	case "*", "?", "$":
		return token{kind: literal, text: body}, nil
	}
	name, fallback, has := strings.Cut(body, ",")
	name = strings.TrimSpace(name)
	t := token{kind: variable, text: strings.ToLower(name), has: has}
	if name == "" {
		return token{}, errors.New("a variable has no name")
	}
	if err := checkKey(name); err != nil {
		return token{}, fmt.Errorf("variable: %w", err)
	}
	if has {
		fallback = strings.TrimSpace(fallback)
		if len(fallback) < 2 || fallback[0] != '\'' || fallback[len(fallback)-1] != '\'' {
			return token{}, fmt.Errorf("the default value of variable %s must stand in single quotes", name)
		}
		t.fallback = fallback[1 : len(fallback)-1]
	}
	return t, nil
}

// hasVariables says whether the pattern depends on the request.
func (p pattern) hasVariables() bool {
	for _, t := range p.tokens {
		if t.kind == variable {
			return true
		}
	}
	return false
}

// resolve replaces the variables. It reports false when one has no value, or several: then what the
// pattern stands in does not apply. Wildcards in a value are literal.
func (p pattern) resolve(c Context) (pattern, bool) {
	if !p.hasVariables() {
		return p, true
	}
	resolved := pattern{source: p.source, tokens: make([]token, len(p.tokens))}
	for i, t := range p.tokens {
		if t.kind == variable {
			values, ok := c.values(t.text)
			switch {
			case ok && len(values) == 1:
				t = token{kind: literal, text: values[0]}
			case !ok && t.has:
				t = token{kind: literal, text: t.fallback}
			default:
				return pattern{}, false
			}
		}
		resolved.tokens[i] = t
	}
	return resolved, true
}

// text is a resolved pattern without wildcards.
func (p pattern) text() string {
	var b strings.Builder
	for _, t := range p.tokens {
		b.WriteString(t.text)
	}
	return b.String()
}

// match says whether a resolved pattern matches the whole of s.
func (p pattern) match(s string) bool { return glob(p.tokens, s) }

// glob matches greedily with one point to come back to, so that its time is at most the product of the
// lengths.
func glob(tokens []token, s string) bool {
	var (
		ti, si             int
		backToken, backPos = -1, 0
	)
	for {
		if ti < len(tokens) {
			switch t := tokens[ti]; {
			case t.kind == star:
				backToken, backPos = ti, si
				ti++
				continue
			case t.kind == any1 && si < len(s):
				si += runeLength(s[si:])
				ti++
				continue
			case t.kind == literal && strings.HasPrefix(s[si:], t.text):
				si += len(t.text)
				ti++
				continue
			}
		} else if si == len(s) {
			return true
		}
		if backToken < 0 || backPos >= len(s) {
			return false
		}
		backPos += runeLength(s[backPos:])
		ti, si = backToken+1, backPos
	}
}

// runeLength is the length of the first character; broken UTF-8 counts byte by byte.
func runeLength(s string) int {
	for i := range s {
		if i > 0 {
			return i
		}
	}
	return len(s)
}
