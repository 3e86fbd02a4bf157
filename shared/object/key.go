package object

import (
	"fmt"
	"strings"

	"github.com/oklog/ulid/v2"

	"github.com/stowage-dev/stowage/shared/fault"
)

// KeyPrefix begins every key that Stowage writes content under.
const KeyPrefix = "c/"

// Location names one version of one key in the content bucket.
type Location struct {
	Key       string
	VersionID string
}

// KeyParts are what a key of the content bucket says. The object id is the one
// the upload was opened for; the catalog may have published it under another.
type KeyParts struct {
	Workspace string
	ObjectID  string
	Version   string // the upload's id, too
}

// Key returns the S3 key of one version: c/<workspace>/<object>/<version>. It is
// written once and holds nothing that a client chose.
func Key(workspace, objectID, version string) string {
	return KeyPrefix + workspace + "/" + objectID + "/" + version
}

// ParseKey takes a key apart. It is the inverse of Key and returns an
// InvalidArgument error for a key that Stowage did not write.
func ParseKey(key string) (KeyParts, error) {
	rest, ours := strings.CutPrefix(key, KeyPrefix)
	part := strings.Split(rest, "/")
	if !ours || len(part) != 3 || part[0] == "" || !IsID(part[1]) || !IsID(part[2]) {
		return KeyParts{}, fault.New(fault.InvalidArgument, "key %q is not of the form c/<workspace>/<object>/<version>", key)
	}
	return KeyParts{Workspace: part[0], ObjectID: part[1], Version: part[2]}, nil
}

// IsID reports whether s is a ULID in its canonical, upper-case form: the form
// of the ids of objects, versions and uploads.
func IsID(s string) bool {
	id, err := ulid.ParseStrict(s)
	return err == nil && id.String() == s
}

// ValidateID returns an InvalidArgument error that blames field unless s is a
// canonical ULID.
func ValidateID(field, s string) error {
	if !IsID(s) {
		return fault.Invalid(field, "must be a ULID: 26 upper-case characters of Crockford's base 32")
	}
	return nil
}

// String returns the location for logs and errors.
func (l Location) String() string {
	return fmt.Sprintf("%s@%s", l.Key, l.VersionID)
}
