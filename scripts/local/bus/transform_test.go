package bus

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

const instanceEvent = `{"version":"0","id":"7bf73129","detail-type":"EC2 Instance State-change Notification","source":"aws.ec2","account":"123456789012","time":"2015-11-11T21:29:54Z","region":"us-east-1","resources":["arn:a","arn:b"],"detail":{"instance-id":"i-0123456789","state":"RUNNING","say":"a \"b\"","list":[{"x":1},{"x":2},{}],"big":12345678901234567890,"none":null}}`

func TestPathLookup(t *testing.T) {
	tests := []struct{ path, want string }{
		{"$", instanceEvent},
		{"$.detail.instance-id", `"i-0123456789"`},
		{"$.resources[1]", `"arn:b"`},
		{"$.resources[2]", ""},
		{"$.resources[*]", `["arn:a","arn:b"]`},
		{"$.detail.list[*].x", `[1,2]`},
		{"$.detail.list.*", `[{"x":1},{"x":2},{}]`},
		{"$['detail']['state']", `"RUNNING"`},
		{"$.detail.big", "12345678901234567890"},
		{"$.detail.none", "null"},
		{"$.detail.missing", ""},
		{"$.source.below", ""},
		{"$.source[0]", ""},
		{"$.detail[*]", ""},
	}
	for _, tt := range tests {
		p, err := parsePath(tt.path)
		if err != nil {
			t.Fatal(err)
		}
		got, ok := p.lookup(json.RawMessage(instanceEvent))
		if ok != (tt.want != "") || string(got) != tt.want {
			t.Errorf("%s: got %s, %v; want %s", tt.path, got, ok, tt.want)
		}
	}
	for _, bad := range []string{"", "detail", "$detail", "$.", "$..x", "$.a b", "$[", "$[-1]", "$[x]", "$['']", "$.a[?(@.b)]"} {
		if _, err := parsePath(bad); err == nil {
			t.Errorf("parsePath(%q): want an error", bad)
		}
	}
}

func TestTransform(t *testing.T) {
	paths := map[string]string{
		"instance": "$.detail.instance-id", "state": "$.detail.state", "resources": "$.resources",
		"say": "$.detail.say", "list": "$.detail.list", "missing": "$.detail.missing", "none": "$.detail.none",
	}
	tests := []struct{ name, template, want string }{
		{"a string", `"instance <instance> is in <state>"`, `"instance i-0123456789 is in RUNNING"`},
		{"JSON", `{"instance": <instance>, "state": <state>}`, `{"instance": "i-0123456789", "state": "RUNNING"}`},
		{"JSON with a value within a string", `{"say": "<instance>: <state>"}`, `{"say": "i-0123456789: RUNNING"}`},
		{"an array", `{"r": <resources>}`, `{"r": ["arn:a","arn:b"]}`},
		{"an array within a string", `{"r": "<resources>"}`, `{"r": "[\"arn:a\",\"arn:b\"]"}`},
		{"quotes stay escaped", `{"say": "<say>"}`, `{"say": "a \"b\""}`},
		{"plain text", `<instance> says <say>`, `i-0123456789 says a "b"`},
		{"text with JSON in it", `list: <list>`, `list: [{"x":1},{"x":2},{}]`},
		{"null", `{"n": <none>}`, `{"n": null}`},
		{"a missing value within a string", `{"m": "<missing>"}`, `{"m": ""}`},
		{"a missing value in text", `m=<missing>.`, `m=.`},
		{"the rule", `{"a": <aws.events.rule-arn>, "n": "<aws.events.rule-name>"}`, `{"a": "arn:rule", "n": "r"}`},
		{"ingestion time", `{"t": <aws.events.event.ingestion-time>}`, `{"t": "2026-01-02T03:04:05Z"}`},
		{"the event", `{"e": <aws.events.event.json>}`, `{"e": ` + instanceEvent + `}`},
		{"no placeholder", `{"a": "b < c"}`, `{"a": "b < c"}`},
		{"an escaped quote before a placeholder", `{"a": "\"<state>\""}`, `{"a": "\"RUNNING\""}`},
	}
	rule := Rule{Name: "r", ARN: "arn:rule"}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr, err := newTransformer(InputTransformer{Paths: paths, Template: tt.template})
			if err != nil {
				t.Fatal(err)
			}
			got, err := tr.apply(rule, json.RawMessage(instanceEvent), at)
			if err != nil || string(got) != tt.want {
				t.Errorf("got %s, %v; want %s", got, err, tt.want)
			}
		})
	}
	t.Run("the event without its detail", func(t *testing.T) {
		tr, err := newTransformer(InputTransformer{Template: `{"e": <aws.events.event>}`})
		if err != nil {
			t.Fatal(err)
		}
		got, err := tr.apply(rule, json.RawMessage(instanceEvent), at)
		if err != nil || strings.Contains(string(got), `"detail":`) || !strings.Contains(string(got), `"source":"aws.ec2"`) {
			t.Errorf("got %s, %v", got, err)
		}
	})
	t.Run("a missing value that leaves no JSON", func(t *testing.T) {
		tr, err := newTransformer(InputTransformer{Paths: paths, Template: `{"m": <missing>}`})
		if err != nil {
			t.Fatal(err)
		}
		var fault *TargetError
		if _, err := tr.apply(rule, json.RawMessage(instanceEvent), at); !errors.As(err, &fault) || fault.Code != "INVALID_JSON" || !fault.Permanent {
			t.Errorf("got %v, want a permanent INVALID_JSON", err)
		}
	})
}

func TestTransformerRefuses(t *testing.T) {
	many := map[string]string{}
	for i := range 101 {
		many[strings.Repeat("x", i+1)] = "$"
	}
	tests := []struct {
		in   InputTransformer
		says string
	}{
		{InputTransformer{}, "template is empty"},
		{InputTransformer{Template: "<x>"}, "<x> has no path"},
		{InputTransformer{Template: "<x>", Paths: map[string]string{"x": "detail"}}, "variable x"},
		{InputTransformer{Template: "<aws.x>", Paths: map[string]string{"aws.x": "$"}}, "reserved"},
		{InputTransformer{Template: "x", Paths: many}, "101 paths"},
	}
	for _, tt := range tests {
		if _, err := newTransformer(tt.in); err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("got %v, want an error that says %q", err, tt.says)
		}
	}
}

func FuzzTransform(f *testing.F) {
	f.Add(`{"a": <x>, "b": "<x>"}`, "$.detail.list[*].x", instanceEvent)
	f.Add(`"<x> <aws.events.event.json>"`, "$['a'].b[0]", `{"a":{"b":["\"<x>"]}}`)
	f.Fuzz(func(t *testing.T, template, path, ev string) {
		tr, err := newTransformer(InputTransformer{Paths: map[string]string{"x": path}, Template: template})
		if err != nil || !json.Valid([]byte(ev)) {
			return
		}
		got, err := tr.apply(Rule{}, json.RawMessage(ev), time.Time{})
		if err == nil && tr.isJSON && !json.Valid(got) {
			t.Errorf("template %q, path %q, event %q: made invalid JSON %q", template, path, ev, got)
		}
	})
}
