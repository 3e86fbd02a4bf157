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
// segments separated by single slashes, and no character that would make two
// different paths look alike on a screen. Who downloads or unpacks objects
// saves them under these names, so no segment may be one that a file system
// takes for something else: "." or "..", with a backslash, with a space at
// either end or a dot at the last, or the name of a device.
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
		if err := validateSegment(field, segment); err != nil {
			return err
		}
	}
	return nil
}

func validateSegment(field, segment string) error {
	switch {
	case segment == "":
		return fault.Invalid(field, "has an empty segment: remove the leading, trailing or doubled slash")
	case segment == "." || segment == "..":
		return fault.Invalid(field, "has the segment %q", segment)
	case strings.Contains(segment, `\`):
		return fault.Invalid(field, "holds a backslash: separate folders with /")
	case segment[0] == ' ' || segment[len(segment)-1] == ' ' || segment[len(segment)-1] == '.':
		return fault.Invalid(field, "has the segment %q: it may not begin with a space, nor end with a space or a dot", segment)
	case device(segment):
		return fault.Invalid(field, "has the segment %q: that is the name of a device on Windows", segment)
	}
	return nil
}

// device reports whether Windows takes segment for a device, whatever its case and
// extension.
// https://learn.microsoft.com/windows/win32/fileio/naming-a-file
func device(segment string) bool {
	name, _, _ := strings.Cut(segment, ".")
	name = strings.ToUpper(strings.TrimRight(name, " "))
	switch name {
	case "CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$":
		return true
	}
	port, isCOM := strings.CutPrefix(name, "COM")
	if !isCOM {
		var isLPT bool
		if port, isLPT = strings.CutPrefix(name, "LPT"); !isLPT {
			return false
		}
	}
	switch port {
	case "0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "¹", "²", "³":
		return true
	default:
		return false
	}
}

// validateText refuses what no name or value may hold.
func validateText(field, s string) error {
	if !utf8.ValidString(s) {
		return fault.Invalid(field, "is not valid UTF-8")
	}
	for _, r := range s {
		if deceptive(r) || invisible(r) {
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

// invisible reports whether r is shown as nothing, so that two texts that differ in it
// look the same. Joiners and variation selectors, which scripts and emoji need, are not
// counted; code points that can never be characters are.
func invisible(r rune) bool {
	switch {
	case r == 0x00AD, r == 0x180E, r == 0x200B, r == 0xFEFF, r == 0xE0001:
		return true
	case 0x2060 <= r && r <= 0x2064, 0x206A <= r && r <= 0x206F, 0xFFF9 <= r && r <= 0xFFFB:
		return true
	default:
		return unicode.Is(unicode.Other_Default_Ignorable_Code_Point, r) || unicode.Is(unicode.Noncharacter_Code_Point, r)
	}
}
