package object_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
)

func TestValidatePath(t *testing.T) {
	t.Parallel()
	for path, ok := range map[string]bool{
		"a":                          true,
		"a/b/c.txt":                  true,
		"Übung/größe €.pdf":          true,
		"a b/c d":                    true,
		"...":                        false,
		"a.":                         false,
		"a./b":                       false,
		"a ":                         false,
		" a":                         false,
		"a/ /b":                      false,
		"a . b":                      true,
		`a\..\b`:                     false,
		"con":                        false,
		"Con.txt":                    false,
		"a/nul .tar.gz":              false,
		"lpt9":                       false,
		"COM¹":                       false,
		"conin$":                     false,
		"con1":                       true,
		"com10":                      true,
		"lpt":                        true,
		"a.con":                      true,
		"soft\u00adhyphen":           false,
		"zero\u200bwidth":            false,
		"\ufeffbom":                  false,
		"hangul\u3164filler":         false,
		"not a character\ufffe":      false,
		".hidden":                    true,
		"a#b/W#x#DIR#":               true,
		"família/👨‍👩‍👧":              true, // joined by U+200D, which is no control character
		strings.Repeat("a", 1024):    true,
		"":                           false,
		strings.Repeat("a", 1025):    false,
		strings.Repeat("ä", 512):     true,
		strings.Repeat("ä", 513):     false,
		"/a":                         false,
		"a/":                         false,
		"a//b":                       false,
		"/":                          false,
		".":                          false,
		"..":                         false,
		"a/../b":                     false,
		"a/./b":                      false,
		"a\x00b":                     false,
		"a\nb":                       false,
		"a\x7fb":                     false,
		"a\u0085b":                   false,
		"a\u2028b":                   false,
		"photo\u202egpj.exe":         false, // reads as photoexe.jpg
		"a\xff":                      false,
		"a\u0308":                    false, // not composed
		norm.NFD.String("größe.pdf"): false,
		norm.NFC.String("größe.pdf"): true,
	} {
		err := object.ValidatePath(path)
		if (err == nil) != ok || err != nil && !fault.Is(err, fault.InvalidArgument) {
			t.Errorf("path %q: %v", path, err)
		}
		if path == "" {
			ok = true // the root
		}
		if err := object.ValidateFolder(path); (err == nil) != ok {
			t.Errorf("folder %q: %v", path, err)
		}
	}
}

func TestSplitPath(t *testing.T) {
	t.Parallel()
	for path, want := range map[string][2]string{"a": {"", "a"}, "a/b": {"a", "b"}, "a/b/c": {"a/b", "c"}} {
		if parent, name := object.SplitPath(path); parent != want[0] || name != want[1] {
			t.Errorf("%q splits into %q and %q", path, parent, name)
		}
	}
}

// FuzzValidatePath checks that whatever passes has the properties which keys,
// lists and screens rely on.
func FuzzValidatePath(f *testing.F) {
	for _, s := range []string{"a/b", "ä", "a\u0308", "..", "a//b", "\xff", "a\u202eb"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, path string) {
		if object.ValidatePath(path) != nil {
			return
		}
		parent, name := object.SplitPath(path)
		joined := name
		if parent != "" {
			joined = parent + "/" + name
		}
		if joined != path || name == "" || !utf8.ValidString(path) || norm.NFC.String(path) != path ||
			strings.ContainsAny(path, "\x00\r\n\u202e") || object.ValidateFolder(parent) != nil {
			t.Errorf("path %q was accepted", path)
		}
	})
}
