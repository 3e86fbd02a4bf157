package pgstore

import "strings"

// OfServer reports whether err tells of the server, or of the way to it, and nothing of what
// it was asked to do: nobody gets in, the disk or the memory is full, a file cannot be read.
// Time and people cure that, so such an error is worth any number of repetitions, even
// where it has no code of package fault.
func OfServer(err error) bool {
	if untrusted(err) {
		return true
	}
	e, ok := asPgError(err)
	if !ok {
		return false
	}
	for _, class := range []string{
		"28", // invalid authorization: a right or a user is missing
		"53", // insufficient resources
		"58", // system error
	} {
		if strings.HasPrefix(e.Code, class) {
			return true
		}
	}
	return false
}
