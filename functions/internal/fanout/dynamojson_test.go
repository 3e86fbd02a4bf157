package fanout

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-lambda-go/events"
	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	samples "github.com/stowage-dev/stowage/events"
	"github.com/stowage-dev/stowage/shared/catalog"
)

func TestImageDecodesWhatEncodingJSONDoes(t *testing.T) {
	for name, text := range map[string]string{
		"every type":        `{"s":{"S":"x"},"n":{"N":"-1.5e3"},"b":{"BOOL":true},"f":{"BOOL":false},"z":{"NULL":true},"m":{"M":{"k":{"S":"v"}}},"l":{"L":[{"N":"1"},{"L":[]}]}}`,
		"types not in use":  `{"b":{"B":"AAE="},"ss":{"SS":["a","b"]},"ns":{"NS":["1"]},"bs":{"BS":["AA=="]}}`,
		"empty values":      `{"s":{"S":""},"m":{"M":{}},"l":{"L":[]}}`,
		"white space":       " { \"s\" :\n{\t\"S\" : \"x\" } ,\r\"n\": {\"N\": \"1\"} } ",
		"escapes":           `{"s":{"S":"a\"b\\c\/d\n\u00e9\ud83d\ude00"},"\u006b":{"S":"k"}}`,
		"half a surrogate":  `{"s":{"S":"\ud83d"}}`,
		"text beyond ASCII": `{"s":{"S":"Zoë 🙂"}}`,
		"broken UTF-8":      "{\"s\":{\"S\":\"a\xffb\"}}",
		"nothing":           `{}`,
	} {
		t.Run(name, func(t *testing.T) {
			var want catalog.Item
			if err := json.Unmarshal([]byte(text), &want); err != nil {
				t.Fatal(err)
			}
			got, err := image(text)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-encoding/json +reader):\n%s", diff)
			}
		})
	}
}

func TestImageRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"a list":               `[]`,
		"a bare value":         `{"s":"x"}`,
		"the end":              `{"s":{"S":"x"}`,
		"the end of a string":  `{"s":{"S":"x`,
		"an escape at the end": `{"s":{"S":"x\`,
		"a wrong escape":       `{"s":{"S":"\q"}}`,
		"a control character":  "{\"s\":{\"S\":\"a\nb\"}}",
		"no colon":             `{"s" {"S":"x"}}`,
		"no comma":             `{"s":{"S":"x"} "t":{"S":"y"}}`,
		"a number as a text":   `{"s":{"S":1}}`,
		"a text as a boolean":  `{"s":{"BOOL":"true"}}`,
		"no value":             `{"s":{"BOOL":}}`,
		"too deep":             `{"l":` + strings.Repeat(`{"L":[`, 100) + strings.Repeat(`]}`, 100) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := image(text); err == nil {
				t.Errorf("decoded %v", got)
			}
		})
	}
}

// attribute draws a value of any type that the catalog uses.
func attribute(depth int) *rapid.Generator[catalog.Value] {
	return rapid.Custom(func(t *rapid.T) catalog.Value {
		kinds := []catalog.Kind{catalog.KindString, catalog.KindNumber, catalog.KindBool, catalog.KindNull}
		if depth > 0 {
			kinds = append(kinds, catalog.KindMap, catalog.KindList)
		}
		switch rapid.SampledFrom(kinds).Draw(t, "kind") {
		case catalog.KindNumber:
			return catalog.Int(rapid.Int64().Draw(t, "number"))
		case catalog.KindBool:
			return catalog.Bool(rapid.Bool().Draw(t, "bool"))
		case catalog.KindNull:
			return catalog.Value{Kind: catalog.KindNull}
		case catalog.KindMap:
			return catalog.Map(rapid.MapOfN(rapid.String(), attribute(depth-1), 0, 4).Draw(t, "map"))
		case catalog.KindList:
			return catalog.List(rapid.SliceOfN(attribute(depth-1), 0, 4).Draw(t, "list"))
		default:
			return catalog.Text(rapid.String().Draw(t, "text"))
		}
	})
}

func TestImageReadsWhateverTheCatalogWrites(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := catalog.Item(rapid.MapOfN(rapid.String(), attribute(3), 0, 8).Draw(t, "item"))
		text, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := image(string(text))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-written +read):\n%s", diff)
		}
	})
}

// FuzzDecode: no text makes the decoder panic, and of what encoding/json takes for a
// stream event it reads the same.
func FuzzDecode(f *testing.F) {
	for _, name := range samples.Names() {
		if strings.HasPrefix(name, "dynamodb/") {
			f.Add(string(samples.Read(name)))
		}
	}
	f.Add(`{"Records":[{"dynamodb":{"Keys":{"pk":{"S":"a"}},"SequenceNumber":"1","OldImage":{"x":{"L":[{"M":{}}]}}}},5,null]}`)
	f.Fuzz(func(t *testing.T, payload string) {
		records, err := catalogKeys().decode(payload)
		if err != nil {
			return
		}
		var ev events.DynamoDBEvent
		if json.Unmarshal([]byte(payload), &ev) != nil || hasTwins(payload) {
			return
		}
		if len(records) != len(ev.Records) {
			t.Fatalf("read %d records, encoding/json %d", len(records), len(ev.Records))
		}
		for i, rec := range records {
			if rec.err != nil {
				continue
			}
			if want := ev.Records[i].Change.SequenceNumber; rec.sequence != want {
				t.Errorf("record %d has sequence number %q, encoding/json reads %q", i, rec.sequence, want)
			}
			for _, text := range []string{rec.old, rec.new} {
				var want catalog.Item
				if json.Unmarshal([]byte(text), &want) != nil || text == "" {
					continue
				}
				if got, err := image(text); err == nil && !cmp.Equal(want, got) {
					t.Errorf("image %s:\n%s", text, cmp.Diff(want, got))
				}
			}
		}
	})
}

// hasTwins reports names that encoding/json takes for one another, or that occur
// twice; DynamoDB sends neither.
func hasTwins(payload string) bool {
	dec := json.NewDecoder(strings.NewReader(payload))
	var open []map[string]bool
	for {
		tok, err := dec.Token()
		if err != nil {
			return false
		}
		switch tok := tok.(type) {
		case json.Delim:
			switch tok {
			case '{', '[':
				open = append(open, map[string]bool{})
			default:
				open = open[:len(open)-1]
			}
		case string:
			if len(open) == 0 {
				continue
			}
			seen := open[len(open)-1]
			if folded := strings.ToLower(tok); seen[folded] || !slices.Contains(known, tok) && slices.ContainsFunc(known, func(k string) bool { return strings.EqualFold(k, tok) }) {
				return true
			}
			seen[strings.ToLower(tok)] = true
		}
	}
}

var known = []string{
	"Records", "dynamodb", "eventSourceARN", "Keys", "NewImage", "OldImage", "SequenceNumber",
	"ApproximateCreationDateTime", "S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS",
}

// hundred is an event of a hundred records of one object's item.
func hundred(b *testing.B) string {
	b.Helper()
	var ev struct{ Records []json.RawMessage }
	if err := json.Unmarshal(samples.Read("dynamodb/object-deleted"), &ev); err != nil {
		b.Fatal(err)
	}
	text, err := json.Marshal(map[string]any{"Records": slices.Repeat(ev.Records, 100)})
	if err != nil {
		b.Fatal(err)
	}
	return string(text)
}

// BenchmarkDecode compares decoding a hundred records and both of their images with
// what the type of aws-lambda-go takes.
func BenchmarkDecode(b *testing.B) {
	payload := hundred(b)
	b.Run("fanout", func(b *testing.B) {
		b.SetBytes(int64(len(payload)))
		b.ReportAllocs()
		for b.Loop() {
			records, err := catalogKeys().decode(payload)
			if err != nil {
				b.Fatal(err)
			}
			for _, rec := range records {
				for _, text := range []string{rec.old, rec.new} {
					if _, err := image(text); err != nil {
						b.Fatal(err)
					}
				}
			}
		}
	})
	b.Run("aws-lambda-go", func(b *testing.B) {
		b.SetBytes(int64(len(payload)))
		b.ReportAllocs()
		for b.Loop() {
			var ev events.DynamoDBEvent
			if err := json.Unmarshal([]byte(payload), &ev); err != nil {
				b.Fatal(err)
			}
		}
	})
}
