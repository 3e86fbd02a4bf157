package stacks

import (
	"slices"
	"strings"
	"testing"
)

// TestNoResourceWaitsForItself: CloudFormation refuses a template whose references go in
// a circle, those in metadata included, and the CDK does not look.
func TestNoResourceWaitsForItself(t *testing.T) {
	for _, d := range slices.Concat(eachStage(t), eachRelational(t)) {
		for _, tpl := range d.both() {
			if circle := tpl.circle(); circle != nil {
				t.Errorf("%s: %s", d.stage, strings.Join(circle, " -> "))
			}
		}
	}
}

// circle gives the logical ids of resources that refer to each other in a circle, or nil.
func (tpl template) circle() []string {
	resources := tpl["Resources"].(map[string]any)
	var path []string
	done := map[string]bool{}
	var visit func(id string) []string
	visit = func(id string) []string {
		if at := slices.Index(path, id); at >= 0 {
			return append(slices.Clone(path[at:]), id)
		}
		if resources[id] == nil || done[id] {
			return nil
		}
		path = append(path, id)
		for _, next := range references(resources[id]) {
			if circle := visit(next); circle != nil {
				return circle
			}
		}
		path = path[:len(path)-1]
		done[id] = true
		return nil
	}
	for id := range resources {
		if circle := visit(id); circle != nil {
			return circle
		}
	}
	return nil
}

// references gives the logical ids that a value of a template names.
func references(value any) []string {
	var found []string
	switch v := value.(type) {
	case map[string]any:
		if id, ok := v["Ref"].(string); ok {
			found = append(found, id)
		}
		switch target := v["Fn::GetAtt"].(type) {
		case []any:
			found = append(found, target[0].(string))
		case string:
			id, _, _ := strings.Cut(target, ".")
			found = append(found, id)
		}
		if id, ok := v["DependsOn"].(string); ok {
			found = append(found, id)
		}
		if ids, ok := v["DependsOn"].([]any); ok {
			for _, id := range ids {
				found = append(found, id.(string))
			}
		}
		for _, inner := range v {
			found = append(found, references(inner)...)
		}
	case []any:
		for _, inner := range v {
			found = append(found, references(inner)...)
		}
	}
	return found
}
