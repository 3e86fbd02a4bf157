package pattern_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/scripts/local/pattern"
)

// ec2 is the event that EventBridge's user guide explains its patterns with.
const ec2 = `{
  "version": "0", "id": "6a7e8feb-b491-4cf7-a9f1-bf3703467718",
  "detail-type": "EC2 Instance State-change Notification", "source": "aws.ec2",
  "account": "111122223333", "time": "2017-12-22T18:43:48Z", "region": "us-west-1",
  "resources": ["arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"],
  "detail": {"instance-id": "i-1234567890abcdef0", "state": "terminated", "c-count": 5, "d-count": 3,
    "x-limit": 301.8, "source-ip": "10.0.0.33", "nothing": null, "empty": "", "yes": true, "list": [], "object": {"leaf": 1}}
}`

func TestMatch(t *testing.T) {
	tests := []struct {
		name, pattern, event string
		want                 bool
	}{
		{"user guide: source, type and state", `{"source":["aws.ec2"],"detail-type":["EC2 Instance State-change Notification"],"detail":{"state":["terminated"]}}`, ec2, true},
		{"one field of two differs", `{"source":["aws.ec2"],"detail":{"state":["running"]}}`, ec2, false},
		{"one value of two is enough", `{"detail":{"state":["running","terminated"]}}`, ec2, true},
		{"strings compare exactly", `{"source":["AWS.ec2"]}`, ec2, false},
		{"an array intersects", `{"resources":["x","arn:aws:ec2:us-west-1:123456789012:instance/i-1234567890abcdef0"]}`, ec2, true},
		{"a missing field", `{"detail":{"missing":["x"]}}`, ec2, false},
		{"below a scalar", `{"source":{"x":["y"]}}`, ec2, false},
		{"not JSON", `{"a":[1]}`, `{`, false},
		{"not an object", `{"a":[1]}`, `[{"a":1}]`, false},
		{"null event", `{"a":[{"exists":false}]}`, `null`, false},
		{"two objects", `{"a":[1]}`, `{"a":1}{"a":1}`, false},

		{"null matches null", `{"detail":{"nothing":[null]}}`, ec2, true},
		{"null does not match absence", `{"detail":{"missing":[null]}}`, ec2, false},
		{"null does not match the empty string", `{"detail":{"empty":[null]}}`, ec2, false},
		{"the empty string", `{"detail":{"empty":[""]}}`, ec2, true},
		{"true", `{"detail":{"yes":[true]}}`, ec2, true},
		{"true is no string", `{"detail":{"yes":["true"]}}`, ec2, false},
		{"false is not true", `{"detail":{"yes":[false]}}`, ec2, false},

		{"a number", `{"detail":{"c-count":[5]}}`, ec2, true},
		{"a number in another notation", `{"detail":{"x-limit":[3.018e2]}}`, ec2, true},
		{"a number is no string", `{"detail":{"c-count":["5"]}}`, ec2, false},
		{"300 is 300.0", `{"n":[300]}`, `{"n":300.0}`, true},
		{"a large number by its text", `{"n":[111122223333]}`, `{"n":111122223333}`, true},
		{"a large number in another notation", `{"n":[111122223333]}`, `{"n":111122223333.0}`, false},
		{"an absurd exponent", `{"n":[1]}`, `{"n":1e999999999}`, false},

		{"prefix", `{"time":[{"prefix":"2017-12-22"}]}`, ec2, true},
		{"prefix of another", `{"time":[{"prefix":"2018"}]}`, ec2, false},
		{"prefix of a number", `{"detail":{"c-count":[{"prefix":"5"}]}}`, ec2, false},
		{"prefix ignoring case", `{"service":[{"prefix":{"equals-ignore-case":"EventB"}}]}`, `{"service":"eventbridge"}`, true},
		{"suffix", `{"FileName":[{"suffix":".png"}]}`, `{"FileName":"a.png"}`, true},
		{"suffix in another case", `{"FileName":[{"suffix":".PNG"}]}`, `{"FileName":"a.png"}`, false},
		{"suffix ignoring case", `{"FileName":[{"suffix":{"equals-ignore-case":".PNG"}}]}`, `{"FileName":"a.png"}`, true},
		{"equals-ignore-case", `{"detail-type":[{"equals-ignore-case":"ec2 instance state-change notification"}]}`, ec2, true},
		{"equals-ignore-case of another", `{"source":[{"equals-ignore-case":"aws.ec"}]}`, ec2, false},

		{"wildcard", `{"p":[{"wildcard":"dir/*.png"}]}`, `{"p":"dir/a/b.png"}`, true},
		{"wildcard matches nothing too", `{"p":[{"wildcard":"dir/*.png"}]}`, `{"p":"dir/.png"}`, true},
		{"wildcard ends do not overlap", `{"p":[{"wildcard":"ab*ba"}]}`, `{"p":"aba"}`, false},
		{"wildcard in the middle", `{"p":[{"wildcard":"*/lib/*"}]}`, `{"p":"usr/lib/x"}`, true},
		{"wildcard in order", `{"p":[{"wildcard":"a*b*c"}]}`, `{"p":"acb"}`, false},
		{"wildcard backtracks", `{"p":[{"wildcard":"*ab*abc"}]}`, `{"p":"xabababc"}`, true},
		{"wildcard without wildcards", `{"p":[{"wildcard":"a"}]}`, `{"p":"ab"}`, false},
		{"escaped asterisk", `{"p":[{"wildcard":"a\\*b"}]}`, `{"p":"a*b"}`, true},
		{"escaped asterisk is no wildcard", `{"p":[{"wildcard":"a\\*b"}]}`, `{"p":"axb"}`, false},
		{"escaped backslash", `{"p":[{"wildcard":"a\\\\*"}]}`, `{"p":"a\\b"}`, true},

		{"numeric range", `{"detail":{"c-count":[{"numeric":[">",0,"<=",5]}]}}`, ec2, true},
		{"numeric range, just above", `{"n":[{"numeric":[">",0,"<=",5]}]}`, `{"n":5.000001}`, false},
		{"numeric range, at its open end", `{"n":[{"numeric":[">",0,"<=",5]}]}`, `{"n":0}`, false},
		{"numeric range, just above its open end", `{"n":[{"numeric":[">",0,"<=",5]}]}`, `{"n":0.000001}`, true},
		{"numeric less", `{"detail":{"d-count":[{"numeric":["<",10]}]}}`, ec2, true},
		{"numeric equal", `{"detail":{"x-limit":[{"numeric":["=",3.018e2]}]}}`, ec2, true},
		{"numeric at the limit", `{"n":[{"numeric":[">=",5e9]}]}`, `{"n":5000000000}`, true},
		{"numeric over the limit", `{"n":[{"numeric":[">=",0]}]}`, `{"n":5000000001}`, false},
		{"numeric of a string", `{"n":[{"numeric":[">=",0]}]}`, `{"n":"1"}`, false},

		{"cidr", `{"detail":{"source-ip":[{"cidr":"10.0.0.0/24"}]}}`, ec2, true},
		{"cidr, last address", `{"ip":[{"cidr":"10.0.0.0/24"}]}`, `{"ip":"10.0.0.255"}`, true},
		{"cidr, one past the last", `{"ip":[{"cidr":"10.0.0.0/24"}]}`, `{"ip":"10.0.1.0"}`, false},
		{"cidr of IPv6", `{"ip":[{"cidr":"2001:db8::/32"}]}`, `{"ip":"2001:db8:1::1"}`, true},
		{"cidr of a name", `{"ip":[{"cidr":"10.0.0.0/8"}]}`, `{"ip":"ten"}`, false},
		{"two spellings of an address", `{"ip":["2001:db8::1"]}`, `{"ip":"2001:DB8:0::1"}`, true},

		{"exists", `{"detail":{"c-count":[{"exists":true}]}}`, ec2, true},
		{"exists, null", `{"detail":{"nothing":[{"exists":true}]}}`, ec2, true},
		{"exists, missing", `{"detail":{"missing":[{"exists":true}]}}`, ec2, false},
		{"exists, not a leaf", `{"detail":{"object":[{"exists":true}]}}`, ec2, false},
		{"exists, an empty array", `{"detail":{"list":[{"exists":true}]}}`, ec2, false},
		{"absent", `{"detail":{"missing":[{"exists":false}]}}`, ec2, true},
		{"absent, but there", `{"detail":{"c-count":[{"exists":false}]}}`, ec2, false},
		{"absent, not a leaf", `{"detail":{"object":[{"exists":false}]}}`, ec2, true},
		{"absent, with its parent", `{"missing":{"missing":[{"exists":false}]}}`, ec2, true},
		{"absent or a value", `{"detail":{"state":["running",{"exists":false}]}}`, ec2, false},
		{"a value or absent", `{"detail":{"nope":["running",{"exists":false}]}}`, ec2, true},
		{"absent here, present in another element", `{"a":{"b":[1],"c":[{"exists":false}]}}`, `{"a":[{"b":1},{"c":2}]}`, false},

		{"anything-but", `{"detail":{"state":[{"anything-but":"initializing"}]}}`, ec2, true},
		{"anything-but itself", `{"detail":{"state":[{"anything-but":"terminated"}]}}`, ec2, false},
		{"anything-but needs the field", `{"detail":{"missing":[{"anything-but":"x"}]}}`, ec2, false},
		{"anything-but a list", `{"detail":{"x-limit":[{"anything-but":[100,200,300]}]}}`, ec2, true},
		{"anything-but a list with it", `{"detail":{"c-count":[{"anything-but":[4,5.0]}]}}`, ec2, false},
		{"anything-but a string, of null", `{"detail":{"nothing":[{"anything-but":"x"}]}}`, ec2, true},
		{"anything-but a number, of a string", `{"detail":{"state":[{"anything-but":5}]}}`, ec2, true},
		{"anything-but a prefix", `{"region":[{"anything-but":{"prefix":"eu-"}}]}`, ec2, true},
		{"anything-but its prefix", `{"region":[{"anything-but":{"prefix":["eu-","us-"]}}]}`, ec2, false},
		{"anything-but a suffix", `{"f":[{"anything-but":{"suffix":".png"}}]}`, `{"f":"a.png"}`, false},
		{"anything-but ignoring case", `{"s":[{"anything-but":{"equals-ignore-case":["init","stop"]}}]}`, `{"s":"STOP"}`, false},
		{"anything-but a wildcard", `{"p":[{"anything-but":{"wildcard":"*/lib/*"}}]}`, `{"p":"a/lib/b"}`, false},
		{"anything-but in an array", `{"s":[{"anything-but":"a"}]}`, `{"s":["a","b"]}`, true},

		{"arrays of objects", `{"employees":{"firstName":["Anna"]}}`, `{"employees":[{"firstName":"John"},{"firstName":"Anna"}]}`, true},
		{"arrays of arrays", `{"employees":{"firstName":["Anna"]}}`, `{"employees":[[{"firstName":"John"}],[{"firstName":"Anna"}]]}`, true},
		{"two fields of one element", `{"e":{"first":["Anna"],"last":["Smith"]}}`, `{"e":[{"first":"John","last":"Doe"},{"first":"Anna","last":"Smith"}]}`, true},
		{"two fields of two elements", `{"e":{"first":["Anna"],"last":["Jones"]}}`, `{"e":[{"first":"Anna","last":"Smith"},{"first":"Peter","last":"Jones"}]}`, false},

		{"or, first", `{"source":["a"],"$or":[{"m":["x"]},{"n":[1]}]}`, `{"source":"a","m":"x"}`, true},
		{"or, second", `{"source":["a"],"$or":[{"m":["x"]},{"n":[1]}]}`, `{"source":"a","n":1}`, true},
		{"or, neither", `{"source":["a"],"$or":[{"m":["x"]},{"n":[1]}]}`, `{"source":"a","n":2}`, false},
		{"or, but not the rest", `{"source":["a"],"$or":[{"m":["x"]},{"n":[1]}]}`, `{"source":"b","n":1}`, false},
		{"or, nested", `{"$or":[{"a":[1],"$or":[{"b":[1]},{"c":[1]}]},{"d":[1]}]}`, `{"a":1,"c":1}`, true},
		{"or, within a field", `{"detail":{"$or":[{"c-count":[{"numeric":[">",9]}]},{"x-limit":[{"numeric":["=",301.8]}]}]}}`, ec2, true},
		{"or, across an array with the rest", `{"e":{"first":["Anna"]},"$or":[{"e":{"last":["Jones"]}},{"z":[1]}]}`, `{"e":[{"first":"Anna","last":"Smith"},{"first":"Peter","last":"Jones"}]}`, false},

		{"a dot in a name", `{"a.b":[1]}`, `{"a.b":1}`, true},
		{"a dot is not a path", `{"a.b":[1]}`, `{"a":{"b":1}}`, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			p, err := pattern.Compile([]byte(tt.pattern))
			if err != nil {
				t.Fatalf("Compile(%s): %v", tt.pattern, err)
			}
			if got := p.Match([]byte(tt.event)); got != tt.want {
				t.Errorf("pattern %s, event %s: got %v, want %v", tt.pattern, tt.event, got, tt.want)
			}
		})
	}
}

func TestCompileRefuses(t *testing.T) {
	deep := strings.Repeat(`{"a":`, 101) + `[1]` + strings.Repeat(`}`, 101)
	var branches []string
	for i := range 32 {
		branches = append(branches, fmt.Sprintf(`{"f%d":[1]}`, i))
	}
	or := "[" + strings.Join(branches, ",") + "]"
	tests := []struct{ name, pattern, says string }{
		{"not JSON", `{"a":`, "not JSON"},
		{"an array", `[1]`, "must be a JSON object"},
		{"two objects", `{"a":[1]}{}`, "something after the object"},
		{"empty", `{}`, "empty objects are not allowed"},
		{"an empty object inside", `{"detail":{}}`, "field detail: empty objects"},
		{"an empty array", `{"a":[]}`, "field a: empty arrays"},
		{"a scalar", `{"a":"b"}`, "field a: must be an object or an array"},
		{"an array in an array", `{"a":[["b"]]}`, "not an array"},
		{"a name twice", `{"detail":{"a":[1],"a":[2]}}`, "field detail.a: stands twice"},
		{"too deep", deep, "more than 100 levels"},
		{"an unknown operator", `{"detail":{"state":[{"regex":"x"}]}}`, `field detail.state: unknown operator "regex"`},
		{"two operators in one", `{"a":[{"prefix":"x","suffix":"y"}]}`, "exactly one key"},
		{"no operator", `{"a":[{}]}`, "exactly one key"},
		{"prefix of a number", `{"a":[{"prefix":1}]}`, "prefix must be a string"},
		{"prefix with another operator", `{"a":[{"prefix":{"wildcard":"x"}}]}`, "equals-ignore-case"},
		{"suffix ignoring the case of a number", `{"a":[{"suffix":{"equals-ignore-case":1}}]}`, "must be a string"},
		{"equals-ignore-case of a list", `{"a":[{"equals-ignore-case":["x"]}]}`, "must be a string"},
		{"consecutive wildcards", `{"a":[{"wildcard":"x**"}]}`, "consecutive"},
		{"a loose backslash", `{"a":[{"wildcard":"x\\y"}]}`, "backslash"},
		{"a backslash at the end", `{"a":[{"wildcard":"x\\"}]}`, "backslash"},
		{"wildcard of a number", `{"a":[{"wildcard":1}]}`, "must be a string"},
		{"numeric without an array", `{"a":[{"numeric":5}]}`, "must be an array"},
		{"numeric without a number", `{"a":[{"numeric":[">","5"]}]}`, "must be a number"},
		{"numeric with an unknown comparison", `{"a":[{"numeric":["!=",5]}]}`, "unknown comparison !="},
		{"numeric with three terms", `{"a":[{"numeric":[">",5,"<"]}]}`, "3 terms"},
		{"numeric upside down", `{"a":[{"numeric":["<",5,">",0]}]}`, "lower bound"},
		{"numeric with = in a range", `{"a":[{"numeric":["=",5,"<",9]}]}`, "lower bound"},
		{"numeric over the limit", `{"a":[{"numeric":["<",5000000000.000001]}]}`, "out of range"},
		{"numeric with seven decimals", `{"a":[{"numeric":["<",0.0000001]}]}`, "out of range"},
		{"cidr without a mask", `{"a":[{"cidr":"10.0.0.0"}]}`, "cidr"},
		{"cidr of one address", `{"a":[{"cidr":"10.0.0.0/32"}]}`, "shorter"},
		{"cidr of a number", `{"a":[{"cidr":10}]}`, "must be a string"},
		{"exists of a string", `{"a":[{"exists":"true"}]}`, "true or false"},
		{"anything-but a mixed list", `{"a":[{"anything-but":["x",1]}]}`, "strings only"},
		{"anything-but nothing", `{"a":[{"anything-but":[]}]}`, "empty lists"},
		{"anything-but null", `{"a":[{"anything-but":null}]}`, "string or a number"},
		{"anything-but an unknown operator", `{"a":[{"anything-but":{"numeric":["<",1]}}]}`, `unknown operator "numeric" within anything-but`},
		{"anything-but two operators", `{"a":[{"anything-but":{"prefix":"a","suffix":"b"}}]}`, "one operator"},
		{"anything-but an empty prefix", `{"a":[{"anything-but":{"prefix":""}}]}`, "empty string"},
		{"anything-but no prefixes", `{"a":[{"anything-but":{"prefix":[]}}]}`, "empty lists"},
		{"anything-but a bad wildcard", `{"a":[{"anything-but":{"wildcard":"**"}}]}`, "consecutive"},
		{"or of one", `{"$or":[{"a":[1]}]}`, "field $or: must be an array of at least two"},
		{"or of values", `{"$or":["a","b"]}`, "array of objects"},
		{"or with an operator for a field", `{"$or":[{"prefix":["a"]},{"b":[1]}]}`, "is an operator"},
		{"or of a field outside it", `{"a":[1],"$or":[{"a":[1]},{"b":[1]}]}`, "field a: the field stands in the pattern and in its $or"},
		{"too many combinations", `{"a":{"$or":` + or + `},"b":{"$or":` + or + `}}`, "more than 1000 combinations"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := pattern.Compile([]byte(tt.pattern))
			if err == nil || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("Compile(%s): got %v, want an error that says %q", tt.pattern, err, tt.says)
			}
		})
	}
}

func FuzzPattern(f *testing.F) {
	f.Add(`{"source":["aws.ec2"],"detail":{"state":[{"anything-but":{"wildcard":"*x*"}}]}}`, ec2)
	f.Add(`{"$or":[{"a":[{"numeric":[">",0,"<=",5]}]},{"a":[{"cidr":"10.0.0.0/8"},null,true,""]}]}`, `{"a":["10.0.0.1",[3]]}`)
	f.Add(`{"a":{"b":[{"exists":false},{"prefix":{"equals-ignore-case":"İ"}}]}}`, `{"a":[{"b":1e999},{}]}`)
	f.Fuzz(func(t *testing.T, raw, event string) {
		p, err := pattern.Compile([]byte(raw))
		if err != nil {
			if !strings.HasPrefix(err.Error(), "event pattern") {
				t.Errorf("Compile(%q): error without its subject: %v", raw, err)
			}
			return
		}
		if !json.Valid([]byte(raw)) {
			t.Errorf("Compile(%q) accepted what is not JSON", raw)
		}
		if p.Match([]byte(event)) && !json.Valid([]byte(event)) {
			t.Errorf("pattern %q matched what is not JSON: %q", raw, event)
		}
	})
}
