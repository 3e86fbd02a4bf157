package ingest

import (
	"strings"

	"github.com/gabriel-vasile/mimetype"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// sniffBytes is how much of an object decides its type: what mimetype looks at.
const sniffBytes = 3072

const (
	anyBytes = "application/octet-stream" // what is detected when nothing is
	anyText  = "text/plain"
)

// checkType holds what the first bytes are against what was declared and against
// the workspace's policy. It returns the detected media type, without parameters.
func checkType(policy workspace.TypePolicy, declared string, head []byte) (string, error) {
	if err := policy.Permits(declared); err != nil {
		return "", err
	}
	if len(head) == 0 {
		return "", nil // an empty object is of any type
	}
	found := mimetype.Detect(head)
	detected := object.MediaType(found.String())
	if err := policy.Permits(detected); err != nil {
		return detected, err
	}
	if !policy.AllowMismatch && contradicts(found, declared) {
		return detected, fault.New(fault.UnsupportedType, "declared as %s, but the bytes are %s", object.MediaType(declared), detected)
	}
	return detected, nil
}

// contradicts reports whether bytes that look like found cannot be of the declared
// type. It says so only where a signature proves it: not of types whose signature
// nobody knows, nor of texts, which have none.
func contradicts(found *mimetype.MIME, declared string) bool {
	known := mimetype.Lookup(object.MediaType(declared))
	switch {
	case known == nil:
		return false
	case is(found, anyText) && is(known, anyText):
		return false
	case is(found, known.String()): // the same, or a special case of it
		return false
	case found.Is(anyBytes):
		return true // the declared type has a signature, which is not there
	default:
		// A special case of what was found: an OOXML document looks like any ZIP
		// archive when its first entry is not the telling one.
		return !is(known, found.String())
	}
}

// is reports whether m is of the type want, or a special case of it.
func is(m *mimetype.MIME, want string) bool {
	want, _, _ = strings.Cut(want, ";")
	for ; m != nil; m = m.Parent() {
		if m.Is(want) {
			return true
		}
	}
	return false
}
