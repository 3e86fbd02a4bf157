// Package object is the domain of what a workspace stores: objects, their
// versions, the paths they own and the keys under which S3 holds their bytes.
//
// It knows no AWS SDK and does no I/O. Its values are plain data: safe to copy,
// safe for concurrent reads.
package object

import (
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
)

// State is where an object stands.
type State string

const (
	// Available objects are verified and can be downloaded.
	Available State = "available"
	// Quarantined objects own their path and wait for a scanner's verdict.
	Quarantined State = "quarantined"
	// Rejected objects never became available: their bytes are gone and they
	// own no path.
	Rejected State = "rejected"
	// Deleted objects have freed their path and hold their quota until they
	// are purged.
	Deleted State = "deleted"
)

// OwnsPath reports whether an object in state s owns its path, so that no
// other object can be published there.
func (s State) OwnsPath() bool { return s == Available || s == Quarantined }

// ParseState returns the state that text names.
func ParseState(text string) (State, error) {
	switch s := State(text); s {
	case Available, Quarantined, Rejected, Deleted:
		return s, nil
	default:
		return "", fault.Invalid("state", "%q is none of available, quarantined, rejected, deleted", text)
	}
}

// Integrity says how sure the stored checksum is.
type Integrity string

const (
	// Verified means that the client declared a checksum and the bytes have it.
	Verified Integrity = "verified"
	// Recorded means that the client declared none; the checksum is what S3
	// computed.
	Recorded Integrity = "recorded"
)

// Reason says why something was rejected.
type Reason struct {
	Code   fault.Code
	Detail string
}

// Object is what a path names. Events derive from it alone.
type Object struct {
	Workspace string
	ID        string // ULID
	Path      string
	Parent    string // the folder part of Path; "" is the root
	Name      string // the last segment of Path
	State     State
	// Rev rises by one with every write of the object.
	Rev int64

	// Version is the ULID of the current version; the fields down to Integrity
	// describe it.
	Version      string
	Size         int64
	ContentType  string // as declared
	DetectedType string // as sniffed from the first bytes
	SHA256       string // base64
	CRC64NVME    string // base64
	ETag         string
	S3Key        string
	S3VersionID  string
	Integrity    Integrity

	// Stored is how many bytes the object holds of its workspace's quota: those of
	// its current version and of the ones before. A rejected object holds none.
	Stored int64
	// StorageClass is the storage class of those bytes, by S3's name. Empty is the
	// one into which the bucket puts everything.
	StorageClass string

	Tags     map[string]string
	Metadata map[string]string

	// Picture is set once the current version was looked at as an image.
	Picture *Picture

	// Reason is set when State is Rejected.
	Reason *Reason

	CreatedAt time.Time
	CreatedBy string
	UpdatedAt time.Time
	UpdatedBy string
	// DeletedAt is set when State is Deleted.
	DeletedAt time.Time
}

// Version is one settled upload of an object. Nothing in it changes once written;
// what is found out about a picture is added later.
type Version struct {
	Workspace string
	ObjectID  string
	ID        string // ULID, the upload's id
	State     State  // Available or Rejected

	Size         int64
	ContentType  string
	DetectedType string
	SHA256       string
	CRC64NVME    string
	ETag         string
	S3Key        string
	S3VersionID  string
	Integrity    Integrity

	// Picture is set once the version was looked at as an image.
	Picture *Picture

	Reason    *Reason
	CreatedAt time.Time
	CreatedBy string
}

// Facts are what verification found out about stored bytes.
type Facts struct {
	Size         int64
	DetectedType string
	SHA256       string // base64; empty when S3 holds none
	CRC64NVME    string // base64; empty when S3 holds none
	ETag         string // without quotes
	S3VersionID  string
	Integrity    Integrity
}

// Claim says which object owns a path. There is at most one for a path.
type Claim struct {
	Workspace string
	Path      string
	ObjectID  string
}
