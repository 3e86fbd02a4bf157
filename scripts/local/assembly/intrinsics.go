package assembly

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// noValue is what Ref AWS::NoValue gives: the property or element disappears.
type noValue struct{}

// eval resolves a value of the template, whatever it nests.
func (s *scope) eval(v any) (any, error) {
	switch v := v.(type) {
	case map[string]any:
		if name, arg, ok := intrinsic(v); ok {
			out, err := s.call(name, arg)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			return out, nil
		}
		return s.evalMap(v)
	case []any:
		return s.evalList(v)
	case string:
		if strings.Contains(v, "{{resolve:") {
			return nil, fmt.Errorf("dynamic reference %q is not supported", v)
		}
		return v, nil
	default:
		return v, nil
	}
}

func (s *scope) evalMap(m map[string]any) (map[string]any, error) {
	out := make(map[string]any, len(m))
	for _, key := range slices.Sorted(maps.Keys(m)) {
		v, err := s.eval(m[key])
		if err != nil {
			return nil, fmt.Errorf("%s: %w", key, err)
		}
		if _, gone := v.(noValue); !gone {
			out[key] = v
		}
	}
	return out, nil
}

func (s *scope) evalList(list []any) ([]any, error) {
	out := make([]any, 0, len(list))
	for i, e := range list {
		v, err := s.eval(e)
		if err != nil {
			return nil, fmt.Errorf("[%d]: %w", i, err)
		}
		if _, gone := v.(noValue); !gone {
			out = append(out, v)
		}
	}
	return out, nil
}

// evalString resolves a value that must come out as one scalar.
func (s *scope) evalString(v any) (string, error) {
	out, err := s.eval(v)
	if err != nil {
		return "", err
	}
	switch out.(type) {
	case string, json.Number, bool:
		return text(out), nil
	}
	return "", fmt.Errorf("want a string, have %s", describe(out))
}

// intrinsic tells whether a map is a function call: one key, Ref or Fn::*.
func intrinsic(m map[string]any) (name string, arg any, ok bool) {
	if len(m) != 1 {
		return "", nil, false
	}
	for name, arg = range m {
		if name == "Ref" || strings.HasPrefix(name, "Fn::") {
			return name, arg, true
		}
	}
	return "", nil, false
}

func (s *scope) call(name string, arg any) (any, error) {
	switch name {
	case "Ref":
		id, ok := arg.(string)
		if !ok {
			return nil, fmt.Errorf("want a name, have %s", describe(arg))
		}
		return s.ref(id)
	case "Fn::GetAtt":
		return s.getAtt(arg)
	case "Fn::Join":
		return s.join(arg)
	case "Fn::Sub":
		return s.sub(arg)
	case "Fn::ImportValue":
		return s.importValue(arg)
	case "Fn::Select":
		return s.selectItem(arg)
	case "Fn::Split":
		return s.split(arg)
	case "Fn::Base64":
		v, err := s.evalString(arg)
		return base64.StdEncoding.EncodeToString([]byte(v)), err
	case "Fn::FindInMap":
		return s.findInMap(arg)
	case "Fn::If":
		return s.choose(arg)
	case "Fn::GetAZs":
		return s.zones(arg)
	case "Fn::Equals", "Fn::And", "Fn::Or", "Fn::Not":
		return nil, fmt.Errorf("is a condition function, which only the Conditions section may call")
	default:
		return nil, fmt.Errorf("the local runtime does not know this intrinsic function")
	}
}

// zones are the first three of a region, which every region has.
func (s *scope) zones(arg any) (any, error) {
	region, err := s.evalString(arg)
	if err != nil {
		return nil, err
	}
	if region == "" {
		region = s.stack.region
	}
	return []any{region + "a", region + "b", region + "c"}, nil
}

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

func (s *scope) join(arg any) (any, error) {
	args, err := s.args(arg, 2)
	if err != nil {
		return nil, err
	}
	list, ok := args[1].([]any)
	if !ok {
		return nil, fmt.Errorf("want a list to join, have %s", describe(args[1]))
	}
	parts := make([]string, len(list))
	for i, e := range list {
		parts[i] = text(e)
	}
	return strings.Join(parts, text(args[0])), nil
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

func (s *scope) selectItem(arg any) (any, error) {
	args, err := s.args(arg, 2)
	if err != nil {
		return nil, err
	}
	i, err := strconv.Atoi(text(args[0]))
	list, ok := args[1].([]any)
	if err != nil || !ok {
		return nil, fmt.Errorf("want [index, list], have %s", describe(args))
	}
	if i < 0 || i >= len(list) {
		return nil, fmt.Errorf("index %d is outside a list of %d", i, len(list))
	}
	return list[i], nil
}

func (s *scope) split(arg any) (any, error) {
	args, err := s.args(arg, 2)
	if err != nil {
		return nil, err
	}
	parts := strings.Split(text(args[1]), text(args[0]))
	out := make([]any, len(parts))
	for i, p := range parts {
		out[i] = p
	}
	return out, nil
}

func (s *scope) findInMap(arg any) (any, error) {
	args, err := s.args(arg, 3)
	if err != nil {
		return nil, err
	}
	name, top, second := text(args[0]), text(args[1]), text(args[2])
	v, ok := s.stack.template.Mappings[name][top][second]
	if !ok {
		return nil, fmt.Errorf("mapping %s has no entry %s, %s", name, top, second)
	}
	return v, nil
}

// args resolves a function's argument list of known length.
func (s *scope) args(arg any, n int) ([]any, error) {
	list, ok := arg.([]any)
	if !ok || len(list) != n {
		return nil, fmt.Errorf("want a list of %d, have %s", n, describe(arg))
	}
	out := make([]any, n)
	for i, e := range list {
		v, err := s.eval(e)
		if err != nil {
			return nil, err
		}
		out[i] = v
	}
	return out, nil
}

// text is a scalar as CloudFormation writes it into a string; lists join with
// commas, as Ref of a list parameter does.
func text(v any) string {
	switch v := v.(type) {
	case nil, noValue:
		return ""
	case string:
		return v
	case json.Number:
		return v.String()
	case bool:
		return strconv.FormatBool(v)
	case []any:
		parts := make([]string, len(v))
		for i, e := range v {
			parts[i] = text(e)
		}
		return strings.Join(parts, ",")
	default:
		return describe(v)
	}
}

// describe shows a value in a message.
func describe(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Sprintf("%v", v)
	}
	const most = 120
	if len(b) > most {
		return string(b[:most]) + "..."
	}
	return string(b)
}
