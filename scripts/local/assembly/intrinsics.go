package assembly

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
)

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
