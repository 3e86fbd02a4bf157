package stacks

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// template is a synthesized template.
type template map[string]any

// resource is one resource of a template.
type resource struct {
	id   string
	kind string
	body map[string]any
}

// all gives the resources of a type, "" for every type, in the order of their ids.
func (tpl template) all(kind string) []resource {
	var found []resource
	for id, body := range tpl["Resources"].(map[string]any) {
		r := resource{id: id, body: body.(map[string]any)}
		r.kind = r.body["Type"].(string)
		if kind == "" || r.kind == kind {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b resource) int { return strings.Compare(a.id, b.id) })
	return found
}

// path is where the construct that made the resource stands in the app.
func (r resource) path() string {
	path, _ := r.at("Metadata", "aws:cdk:path").(string)
	return path
}

// one gives the resource that the construct at path made.
func (tpl template) one(t *testing.T, path string) resource {
	t.Helper()
	for _, r := range tpl.all("") {
		if r.path() == path {
			return r
		}
	}
	t.Fatalf("no resource at %s", path)
	return resource{}
}

// at is what lies at a path in the resource: names of objects, numbers in lists.
func (r resource) at(path ...string) any {
	var value any = r.body
	for _, step := range path {
		switch v := value.(type) {
		case map[string]any:
			value = v[step]
		case []any:
			n, err := strconv.Atoi(step)
			if err != nil || n >= len(v) {
				return nil
			}
			value = v[n]
		default:
			return nil
		}
	}
	return value
}

// property is at below the resource's properties, its path written with dots.
func (r resource) property(path string) any {
	return r.at(append([]string{"Properties"}, strings.Split(path, ".")...)...)
}

// want fails the test for each property that is not what it should be.
func (r resource) want(t *testing.T, properties map[string]any) {
	t.Helper()
	for path, want := range properties {
		if diff := cmp.Diff(asJSON(t, want), asJSON(t, r.property(path))); diff != "" {
			t.Errorf("%s %s:\n%s", r.path(), path, diff)
		}
	}
}

// asJSON makes what is written in Go comparable to what was read from JSON.
func asJSON(t *testing.T, value any) any {
	t.Helper()
	text, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var read any
	if err := json.Unmarshal(text, &read); err != nil {
		t.Fatal(err)
	}
	return read
}

// texts makes a list of what is one text or a list of texts in IAM's JSON.
func texts(value any) []string {
	switch v := value.(type) {
	case string:
		return []string{v}
	case []any:
		list := make([]string, 0, len(v))
		for _, item := range v {
			list = append(list, fmt.Sprint(item))
		}
		return list
	}
	return nil
}

// statements of a policy document.
func statements(document any) []map[string]any {
	var list []map[string]any
	for _, statement := range document.(map[string]any)["Statement"].([]any) {
		list = append(list, statement.(map[string]any))
	}
	return list
}

// refersTo reports whether value is, or holds, a reference to the resource.
func refersTo(value any, id string) bool {
	text, err := json.Marshal(value)
	return err == nil && (strings.Contains(string(text), `"`+id+`"`) || strings.Contains(string(text), id+"Arn") || strings.Contains(string(text), id+"QueueName"))
}
