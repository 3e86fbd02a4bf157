package object_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stowage-dev/stowage/shared/object"
)

const (
	objectID  = "01JBQ8G7Z0Y5X4W3V2T1S0R9QP"
	versionID = "01JBQ8G7Z0Y5X4W3V2T1S0R9QQ"
)

func ExampleKey() {
	fmt.Println(object.Key("alpha", "01JBQ8G7Z0Y5X4W3V2T1S0R9QP", "01JBQ8G7Z0Y5X4W3V2T1S0R9QQ"))
	// Output: c/alpha/01JBQ8G7Z0Y5X4W3V2T1S0R9QP/01JBQ8G7Z0Y5X4W3V2T1S0R9QQ
}

func TestParseKey(t *testing.T) {
	t.Parallel()
	parts, err := object.ParseKey(object.Key("alpha", objectID, versionID))
	if want := (object.KeyParts{Workspace: "alpha", ObjectID: objectID, Version: versionID}); err != nil || parts != want {
		t.Errorf("parsed %+v, %v", parts, err)
	}
	for _, key := range []string{
		"", "c/", "c/alpha", "c/alpha/" + objectID, "d/alpha/" + objectID + "/" + versionID,
		"c//" + objectID + "/" + versionID, "c/alpha/" + objectID + "/" + versionID + "/",
		"c/alpha/" + strings.ToLower(objectID) + "/" + versionID, "c/alpha/" + objectID + "/8" + versionID[1:],
		"/c/alpha/" + objectID + "/" + versionID, "c/alpha/" + objectID + "/" + versionID + "x",
	} {
		if parts, err := object.ParseKey(key); err == nil {
			t.Errorf("key %q was parsed as %+v", key, parts)
		}
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add(object.Key("alpha", objectID, versionID))
	f.Add("c/a/b/c")
	f.Fuzz(func(t *testing.T, key string) {
		parts, err := object.ParseKey(key)
		if err == nil && object.Key(parts.Workspace, parts.ObjectID, parts.Version) != key {
			t.Errorf("key %q was parsed as %+v", key, parts)
		}
	})
}

func TestParseState(t *testing.T) {
	t.Parallel()
	for text, owns := range map[string]bool{"available": true, "quarantined": true, "rejected": false, "deleted": false} {
		s, err := object.ParseState(text)
		if err != nil || s.OwnsPath() != owns {
			t.Errorf("%s: owns its path: %t, %v", text, s.OwnsPath(), err)
		}
	}
	for _, text := range []string{"", "Available", "purged"} {
		if s, err := object.ParseState(text); err == nil {
			t.Errorf("%q is the state %q", text, s)
		}
	}
}

func TestValidateLabels(t *testing.T) {
	t.Parallel()
	many := func(n int) map[string]string {
		m := map[string]string{}
		for i := range n {
			m[fmt.Sprint(i)] = "v"
		}
		return m
	}
	long := func(key, value int) map[string]string {
		return map[string]string{strings.Repeat("k", key): strings.Repeat("v", value)}
	}
	for i, tc := range []struct {
		tags map[string]string
		ok   bool
	}{
		{nil, true}, {many(50), true}, {many(51), false},
		{long(128, 256), true}, {long(129, 1), false}, {long(1, 257), false}, {long(1, 0), true}, {long(0, 1), false},
		{map[string]string{"k": "\xff"}, false}, {map[string]string{"k\n": "v"}, false},
		{map[string]string{"a": "\u0308"}, true}, // composed only across the border of key and value
	} {
		if err := object.ValidateTags(tc.tags); (err == nil) != tc.ok {
			t.Errorf("tags %d: %v", i, err)
		}
	}
	for i, tc := range []struct {
		metadata map[string]string
		ok       bool
	}{
		{nil, true}, {long(1, 2047), true}, {long(1, 2048), false}, {long(0, 1), false}, {map[string]string{"k": "\x00"}, false},
	} {
		if err := object.ValidateMetadata(tc.metadata); (err == nil) != tc.ok {
			t.Errorf("metadata %d: %v", i, err)
		}
	}
}

func TestContentTypes(t *testing.T) {
	t.Parallel()
	for contentType, want := range map[string]string{
		"image/png": "image/png", "Text/Plain; charset=UTF-8": "text/plain",
		"": "", "image": "", "image/": "", "image/png/x": "", "image/png\r\nX: y": "", "text/plain; =": "",
	} {
		if err := object.ValidateContentType(contentType); (err == nil) != (want != "") {
			t.Errorf("content type %q: %v", contentType, err)
		}
		if got := object.MediaType(contentType); want != "" && got != want {
			t.Errorf("media type of %q is %q", contentType, got)
		}
	}
	if object.ValidateContentType("a/"+strings.Repeat("b", 318)) != nil || object.ValidateContentType("a/"+strings.Repeat("b", 319)) == nil {
		t.Error("a content type may have 320 bytes")
	}
}
