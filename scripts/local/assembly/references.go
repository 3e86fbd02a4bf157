package assembly

import (
	"fmt"
	"regexp"
	"strings"
)

func (s *scope) ref(id string) (any, error) {
	if v, ok := s.pseudo(id); ok {
		return v, nil
	}
	if strings.HasPrefix(id, "AWS::") {
		return nil, fmt.Errorf("%s: the local runtime does not know this pseudo parameter", id)
	}
	if p, ok := s.stack.template.Parameters[id]; ok {
		return parameterValue(id, p)
	}
	ident, err := s.identify(id)
	if err == nil && ident.ref == "" {
		return nil, fmt.Errorf("%s is called what its function says when it has run, which is not known here", id)
	}
	return ident.ref, err
}

func (s *scope) pseudo(id string) (any, bool) {
	switch id {
	case "AWS::AccountId":
		return s.stack.account, true
	case "AWS::Region":
		return s.stack.region, true
	case "AWS::Partition":
		return "aws", true
	case "AWS::URLSuffix":
		return "amazonaws.com", true
	case "AWS::StackName":
		return s.stack.name, true
	case "AWS::StackId":
		h := identity{account: s.stack.account, region: s.stack.region, stack: s.stack.name}
		return h.arn("cloudformation", "stack/"+s.stack.name+"/"+h.uuid("stack")), true
	case "AWS::NotificationARNs":
		return []any{}, true
	case "AWS::NoValue":
		return noValue{}, true
	}
	return nil, false
}

func parameterValue(id string, p parameter) (any, error) {
	switch {
	case id == bootstrapParameter:
		return nil, fmt.Errorf("parameter %s has no value here: nothing is bootstrapped", id)
	case strings.HasPrefix(p.Type, "AWS::SSM::"):
		return nil, fmt.Errorf("parameter %s takes its value from the SSM parameter %s, which does not exist here", id, text(p.Default))
	case p.Default == nil:
		return nil, fmt.Errorf("parameter %s has no default; give it one, since nobody is asked here", id)
	case p.Type == "CommaDelimitedList" || strings.HasPrefix(p.Type, "List<"):
		var list []any
		for part := range strings.SplitSeq(text(p.Default), ",") {
			list = append(list, strings.TrimSpace(part))
		}
		return list, nil
	}
	return text(p.Default), nil
}

func (s *scope) getAtt(arg any) (any, error) {
	var id, attr string
	switch arg := arg.(type) {
	case string:
		id, attr, _ = strings.Cut(arg, ".")
	case []any:
		if len(arg) != 2 {
			return nil, fmt.Errorf("want [resource, attribute], have %s", describe(arg))
		}
		id, _ = arg[0].(string)
		var err error
		if attr, err = s.evalString(arg[1]); err != nil {
			return nil, err
		}
	}
	if id == "" || attr == "" {
		return nil, fmt.Errorf("want [resource, attribute], have %s", describe(arg))
	}
	return s.attribute(id, attr)
}

func (s *scope) attribute(id, attr string) (any, error) {
	ident, err := s.identify(id)
	if err != nil {
		return nil, err
	}
	v, ok := ident.attributes[attr]
	if !ok {
		return nil, fmt.Errorf("the local runtime does not know attribute %s of %s (%s)", attr, id, s.stack.template.Resources[id].Type)
	}
	return v, nil
}

func (s *scope) sub(arg any) (any, error) {
	vars := map[string]any{}
	if list, ok := arg.([]any); ok {
		if len(list) != 2 {
			return nil, fmt.Errorf("want [text, variables], have %s", describe(arg))
		}
		given, ok := list[1].(map[string]any)
		if !ok {
			return nil, fmt.Errorf("want variables as a map, have %s", describe(list[1]))
		}
		var err error
		if vars, err = s.evalMap(given); err != nil {
			return nil, err
		}
		arg = list[0]
	}
	pattern, ok := arg.(string)
	if !ok {
		return nil, fmt.Errorf("want a text, have %s", describe(arg))
	}
	return s.substitute(pattern, vars)
}

func (s *scope) substitute(pattern string, vars map[string]any) (string, error) {
	placeholder := regexp.MustCompile(`\$\{([^}]*)\}`)
	var firstErr error
	out := placeholder.ReplaceAllStringFunc(pattern, func(m string) string {
		name := m[2 : len(m)-1]
		if literal, ok := strings.CutPrefix(name, "!"); ok {
			return "${" + literal + "}"
		}
		if v, ok := vars[name]; ok {
			return text(v)
		}
		v, err := s.named(name)
		if err != nil && firstErr == nil {
			firstErr = fmt.Errorf("%s: %w", m, err)
		}
		return text(v)
	})
	return out, firstErr
}

// named is what ${Name} or ${Name.Attribute} stands for.
func (s *scope) named(name string) (any, error) {
	if id, attr, ok := strings.Cut(name, "."); ok {
		return s.attribute(id, attr)
	}
	return s.ref(name)
}

func (s *scope) importValue(arg any) (any, error) {
	name, err := s.evalString(arg)
	if err != nil {
		return nil, err
	}
	e, ok := s.exports[name]
	if !ok {
		return nil, fmt.Errorf("no stack exports %q", name)
	}
	var v any
	err = e.scope.guarded("export "+name, func() (err error) {
		v, err = e.scope.eval(e.value)
		return err
	})
	return v, err
}
