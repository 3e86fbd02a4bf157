package object

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
)

// SplitPath returns the folder and the name of a path. The folder of a path
// without a slash is the root, "".
func SplitPath(path string) (parent, name string) {
	i := strings.LastIndexByte(path, '/')
	if i < 0 {
		return "", path
	}
	return path[:i], path[i+1:]
}

// ValidatePath returns an InvalidArgument error unless path is a name that an
// object may own: UTF-8 in normalization form C, at most limits.PathBytes,
// segments separated by single slashes, none of them empty, "." or "..", and no
// character that would make two different paths look alike on a screen.
func ValidatePath(path string) error {
	if path == "" {
		return fault.Invalid("path", "must not be empty")
	}
	return validatePath("path", path)
}

// ValidateFolder is ValidatePath for a folder, which may also be the root, "".
func ValidateFolder(parent string) error {
	if parent == "" {
		return nil
	}
	return validatePath("parent", parent)
}

func validatePath(field, path string) error {
	if len(path) > limits.PathBytes {
		return fault.Invalid(field, "has %d bytes, the most is %d", len(path), limits.PathBytes)
	}
	if err := validateText(field, path); err != nil {
		return err
	}
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "":
			return fault.Invalid(field, "has an empty segment: remove the leading, trailing or doubled slash")
		case ".", "..":
			return fault.Invalid(field, "has the segment %q", segment)
		}
	}
	return nil
}

// validateText refuses what no name or value may hold.
func validateText(field, s string) error {
	if !utf8.ValidString(s) {
		return fault.Invalid(field, "is not valid UTF-8")
	}
	for _, r := range s {
		if deceptive(r) {
			return fault.Invalid(field, "holds the character %U", r)
		}
	}
	if !norm.NFC.IsNormalString(s) {
		return fault.Invalid(field, "is not in Unicode normalization form C")
	}
	return nil
}

// deceptive reports whether r is a control character, a line or paragraph
// separator, or a character that changes the direction of the text around it
// (Unicode TR 36, section 2.7).
func deceptive(r rune) bool {
	return unicode.IsControl(r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) || unicode.Is(unicode.Bidi_Control, r)
}
