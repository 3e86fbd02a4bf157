package catalog_test

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/upload"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// TestEveryFieldIsStored fills every field of every entity's type, so that one
// which the declaration forgot shows.
func TestEveryFieldIsStored(t *testing.T) {
	t.Parallel()
	s := catalog.Declare()
	roundTrip(t, s.Workspaces)
	roundTrip(t, s.Members)
	roundTrip(t, s.Paths)
	roundTrip(t, s.Objects)
	roundTrip(t, s.Versions)
	roundTrip(t, s.Derivatives)
	roundTrip(t, s.Uploads)
	roundTrip(t, s.Shards, cmpopts.IgnoreFields(workspace.Shard{}, "Stored.Uploads")) // an open upload is never stored
}

func roundTrip[T any](t *testing.T, e *catalog.Entity[T], opts ...cmp.Option) {
	t.Helper()
	var v T
	fill(reflect.ValueOf(&v).Elem(), 1)
	back, err := e.Decode(e.Encode(v))
	if err != nil {
		t.Errorf("%T: %v", v, err)
	}
	if diff := cmp.Diff(v, back, opts...); diff != "" {
		t.Errorf("%T came back as:\n%s", v, diff)
	}
	var nothing T
	if back, err = e.Decode(e.Encode(nothing)); err != nil || !cmp.Equal(nothing, back) {
		t.Errorf("empty %T came back as %+v, %v", v, back, err)
	}
}

// fill gives every field a value of its own.
func fill(v reflect.Value, n int) int {
	if v.Type() == reflect.TypeFor[time.Time]() {
		v.Set(reflect.ValueOf(time.Date(2026, 11, 3, 0, 0, n, 5e6, time.UTC)))
		return n + 1
	}
	switch v.Kind() {
	case reflect.Struct:
		for i := range v.NumField() {
			n = fill(v.Field(i), n)
		}
		return n
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return fill(v.Elem(), n)
	case reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), 2, 2))
		return fill(v.Index(1), fill(v.Index(0), n))
	case reflect.Map:
		v.Set(reflect.ValueOf(map[string]string{"key": strings.Repeat("v", n)}))
	case reflect.String:
		v.SetString(strings.Repeat("s", n))
	case reflect.Bool:
		v.SetBool(true)
	default:
		v.SetInt(int64(n))
	}
	return n + 1
}

func TestKeys(t *testing.T) {
	t.Parallel()
	s := catalog.Declare()
	for _, tc := range []struct {
		got    catalog.Key
		pk, sk string
	}{
		{s.Workspaces.Key(workspace.Workspace{ID: "ws"}), "W#ws", "WORKSPACE"},
		{s.Members.Key(workspace.Member{Workspace: "ws", Sub: "ann"}), "W#ws", "M#ann"},
		{s.Shards.Key(workspace.Shard{Workspace: "ws", Number: 7}), "W#ws#USAGE#7", "USAGE"},
		{
			s.Paths.Key(object.Claim{Workspace: "ws", Path: "a"}),
			"P#ws#ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb", "PATH",
		},
		{s.Objects.Key(object.Object{Workspace: "ws", ID: "X"}), "O#ws#X", "OBJECT"},
		{s.Versions.Key(object.Version{Workspace: "ws", ObjectID: "X", ID: "Y"}), "O#ws#X", "V#Y"},
		{s.Uploads.Key(upload.Upload{Workspace: "ws", ID: "Y"}), "U#ws#Y", "UPLOAD"},
	} {
		if tc.got.PK != tc.pk || tc.got.SK != tc.sk {
			t.Errorf("key is %s, want (%s, %s)", tc.got, tc.pk, tc.sk)
		}
	}
}

func TestObjectsAreIndexedByTheirState(t *testing.T) {
	t.Parallel()
	objects := catalog.Declare().Objects
	for state, want := range map[object.State][2]string{
		object.Available:   {"W#ws#DIR#a/b", ""},
		object.Quarantined: {"W#ws#DIR#a/b", "W#ws#STATE#quarantined"},
		object.Rejected:    {"", "W#ws#STATE#rejected"},
		object.Deleted:     {"", "W#ws#STATE#deleted"},
	} {
		item := objects.Encode(object.Object{Workspace: "ws", ID: "X", Parent: "a/b", Name: "n", State: state, UpdatedAt: time.Unix(0, 0)})
		if got := [2]string{item["gsi1pk"].Text, item["gsi2pk"].Text}; got != want {
			t.Errorf("%s: in the indexes as %q, want %q", state, got, want)
		}
		if want[0] != "" && item["gsi1sk"].Text != "n" || want[1] != "" && item["gsi2sk"].Text != "1970-01-01T00:00:00.000Z" {
			t.Errorf("%s: sorted by %q and %q", state, item["gsi1sk"].Text, item["gsi2sk"].Text)
		}
		if _, expires := item["ttl"]; expires != (state == object.Rejected) {
			t.Errorf("%s: expires: %t", state, expires)
		}
	}
}

// TestNoExpiryWhileQuotaIsHeld is about any upload at all: DynamoDB must not
// delete one that holds a reservation, and the sweeper must find it.
func TestNoExpiryWhileQuotaIsHeld(t *testing.T) {
	t.Parallel()
	uploads := catalog.Declare().Uploads
	rapid.Check(t, func(t *rapid.T) {
		u := upload.Upload{
			Workspace: "ws", ID: rapid.StringN(1, 26, 26).Draw(t, "id"),
			State: rapid.SampledFrom([]upload.State{
				upload.Open, upload.Uploading, upload.Completing, upload.Uploaded,
				upload.Available, upload.Rejected, upload.Expired, upload.Aborted,
			}).Draw(t, "state"),
			ExpiresAt: time.Unix(rapid.Int64Range(0, 1<<33).Draw(t, "expires"), 0),
			EndedAt:   time.Unix(1000, 0),
			ObjectID:  "mine", S3Key: "c/ws/mine/",
		}
		u.S3Key += u.ID
		moved := rapid.Bool().Draw(t, "version of another object")
		if moved {
			u.ObjectID = "other"
		}
		if rapid.Bool().Draw(t, "holds") {
			u.Reservation = []workspace.Share{{Shard: 1, Amount: u.Wants()}}
		}
		item := uploads.Encode(u)
		_, expires := item["ttl"]
		_, found := item["gsi3pk"]
		kept := moved && u.State == upload.Available
		if holds := len(u.Reservation) > 0; expires != (u.State.Ended() && !holds && !kept) || found != holds {
			t.Errorf("%s holding %v: expires %t, in the expiry index %t", u.State, u.Reservation, expires, found)
		}
		if expires && item["ttl"].Text != catalog.Int(u.EndedAt.Add(limits.UploadRecord).Unix()).Text {
			t.Errorf("expires at %+v", item["ttl"])
		}
		if found && !strings.HasPrefix(item["gsi3pk"].Text, "EXP#"+catalog.ExpiryHour(u.Due())+"#") {
			t.Errorf("in the expiry index under %q", item["gsi3pk"].Text)
		}
		if found {
			p, err := catalog.Pending(item)
			if err != nil || p.Workspace != u.Workspace || p.ID != u.ID || !p.Due.Equal(u.Due()) {
				t.Errorf("the expiry index says %+v, %v", p, err)
			}
			_, partition, _ := catalog.DuePartition(u.Due(), catalog.ExpiryShard(u.ID))
			if item["gsi3pk"].Text != partition {
				t.Errorf("in the partition %s, want %s", item["gsi3pk"].Text, partition)
			}
		}
	})
}

// TestKeysFitTheirLimits takes the longest names that are allowed.
func TestKeysFitTheirLimits(t *testing.T) {
	t.Parallel()
	s := catalog.Declare()
	ws, name := strings.Repeat("w", 40), strings.Repeat("n", limits.PathBytes)
	for _, item := range []catalog.Item{
		s.Objects.Encode(object.Object{Workspace: ws, ID: "X", Parent: name, Name: name, State: object.Quarantined}),
		s.Members.Encode(workspace.Member{Workspace: ws, Sub: strings.Repeat("s", limits.SubjectBytes)}),
	} {
		for attribute, v := range item {
			if strings.HasSuffix(attribute, "pk") && len(v.Text) > limits.PartitionKeyBytes ||
				strings.HasSuffix(attribute, "sk") && len(v.Text) > limits.SortKeyBytes {
				t.Errorf("%s has %d bytes", attribute, len(v.Text))
			}
		}
	}
}

func TestDecodeRefusesWhatIsNotItself(t *testing.T) {
	t.Parallel()
	s := catalog.Declare()
	item := func(change func(catalog.Item)) catalog.Item {
		it := s.Objects.Encode(object.Object{Workspace: "ws", ID: "X", Tags: map[string]string{"k": "v"}, UpdatedAt: time.Unix(0, 0)})
		change(it)
		return it
	}
	for name, it := range map[string]catalog.Item{
		"nothing":           {},
		"another workspace": item(func(it catalog.Item) { it["workspace"] = catalog.Text("other") }),
		"another entity":    item(func(it catalog.Item) { it["sk"] = catalog.Text("V#1") }),
		"no key":            item(func(it catalog.Item) { delete(it, "pk") }),
		"a number as text":  item(func(it catalog.Item) { it["rev"] = catalog.Text("1") }),
		"a broken number":   item(func(it catalog.Item) { it["rev"] = catalog.Value{Kind: catalog.KindNumber, Text: "1.5"} }),
		"a broken time":     item(func(it catalog.Item) { it["updatedAt"] = catalog.Text("today") }),
		"a broken tag":      item(func(it catalog.Item) { it["tags"] = catalog.Map(catalog.Item{"k": catalog.Int(1)}) }),
		"a list of tags":    item(func(it catalog.Item) { it["tags"] = catalog.List(nil) }),
		"a broken reason":   item(func(it catalog.Item) { it["reason"] = catalog.Map(catalog.Item{"code": catalog.Bool(true)}) }),
	} {
		if o, err := s.Objects.Decode(it); err == nil {
			t.Errorf("%s was decoded as %+v", name, o)
		}
	}
	if _, err := s.Objects.Decode(item(func(it catalog.Item) { it["new"] = catalog.Value{} })); err != nil {
		t.Errorf("an attribute that somebody added stops the reader: %v", err)
	}
}

func TestDeltasNameEveryCounterOnce(t *testing.T) {
	t.Parallel()
	one := workspace.Amount{Bytes: 1, Objects: 2, Uploads: 3}
	m := workspace.Movement{Shard: 1, Balance: workspace.Balance{Available: one, Reserved: one, Stored: workspace.Amount{Bytes: 1, Objects: 2}}}
	seen := map[string]bool{}
	for _, d := range catalog.Deltas(m) {
		if seen[d.Attribute] {
			t.Errorf("%s twice", d.Attribute)
		}
		seen[d.Attribute] = true
	}
	if len(seen) != 8 || len(catalog.Deltas(workspace.Movement{})) != 0 {
		t.Errorf("deltas are %v", catalog.Deltas(m))
	}
}

func TestDynamoDBJSON(t *testing.T) {
	t.Parallel()
	const text = `{"a":{"S":""},"b":{"N":"12"},"c":{"BOOL":false},"d":{"NULL":true},"e":{"M":{"f":{"S":"g"}}},"h":{"L":[{"N":"1"},{"S":"2"}]}}`
	want := catalog.Item{
		"a": catalog.Text(""), "b": catalog.Int(12), "c": catalog.Bool(false), "d": {Kind: catalog.KindNull},
		"e": catalog.Map(catalog.Item{"f": catalog.Text("g")}),
		"h": catalog.List([]catalog.Value{catalog.Int(1), catalog.Text("2")}),
	}
	var item catalog.Item
	if err := json.Unmarshal([]byte(text), &item); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, item); diff != "" {
		t.Error(diff)
	}
	back, err := json.Marshal(item)
	if err != nil || string(back) != text {
		t.Errorf("written as %s, %v", back, err)
	}
	if err := json.Unmarshal([]byte(`{"a":{"SS":["x"]},"b":{"B":"eA=="}}`), &item); err != nil || item["a"].Kind != catalog.Unknown {
		t.Errorf("other types: %+v, %v", item, err)
	}
}

// FuzzItem decodes any JSON as an item and the item as an object: neither may
// panic, and what was decoded must encode to the same object again.
func FuzzItem(f *testing.F) {
	objects := catalog.Declare().Objects
	seed, err := json.Marshal(objects.Encode(object.Object{Workspace: "ws", ID: "X", UpdatedAt: time.Unix(0, 0), Tags: map[string]string{"k": "v"}}))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed)
	f.Add([]byte(`{"pk":{"S":"O##"},"sk":{"S":"OBJECT"},"tags":{"M":null},"rev":{"N":"9223372036854775808"}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		var item catalog.Item
		if json.Unmarshal(text, &item) != nil {
			return
		}
		o, err := objects.Decode(item)
		if err != nil {
			return
		}
		again, err := objects.Decode(objects.Encode(o))
		if err != nil || !cmp.Equal(o, again, cmpopts.EquateEmpty()) {
			t.Errorf("%+v came back as %+v, %v", o, again, err)
		}
	})
}
