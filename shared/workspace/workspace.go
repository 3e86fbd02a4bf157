// Package workspace is the domain of tenancy: workspaces, their members and
// roles, the media types they accept, and the quota ledger.
//
// It knows no AWS SDK and does no I/O.
package workspace

import (
	"time"
	"unicode/utf8"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
)

// DefaultShards is over how many items a workspace's quota is spread. One item
// takes about 1,000 writes a second, and concurrent transactions on one item
// cancel each other; eight let that many uploads open at the same moment.
const DefaultShards = 8

// MaxShards keeps every transaction that touches all shards of a quota well
// within limits.TransactItems.
const MaxShards = 64

// Workspace is a tenant. Nothing in one is visible from another.
type Workspace struct {
	ID        string
	Name      string
	CreatedAt time.Time
	CreatedBy string
	UpdatedAt time.Time
	// Rev rises by one with every write of the workspace.
	Rev   int64
	Quota Quota
	Types TypePolicy
	// Shards is over how many items the quota is spread. It never changes
	// after the workspace was created.
	Shards int
}

// Quota bounds what a workspace may hold, and how fast it may write.
type Quota struct {
	Bytes       int64 // stored and reserved together
	Objects     int64
	OpenUploads int64
	// MaxObjectBytes is the largest single object.
	MaxObjectBytes int64
	// Writes is how often members may write. Zero: DefaultWrites.
	Writes Rate
}

// DefaultQuota is what a workspace gets when nobody says otherwise.
func DefaultQuota() Quota {
	return Quota{
		Bytes:          10 * limits.GiB,
		Objects:        100_000,
		OpenUploads:    1_000,
		MaxObjectBytes: 5 * limits.TiB,
	}
}

// Validate returns an InvalidArgument error that names every bad field.
func (q Quota) Validate() error {
	return fault.Join(
		notNegative("bytes", q.Bytes),
		notNegative("objects", q.Objects),
		notNegative("openUploads", q.OpenUploads),
		notNegative("maxObjectBytes", q.MaxObjectBytes),
		q.Writes.validate(),
	)
}

func notNegative(field string, n int64) error {
	if n < 0 {
		return fault.Invalid(field, "is %d, the least is 0", n)
	}
	return nil
}

// Amount is the part of the quota that is counted: what uploads reserve and
// objects hold.
func (q Quota) Amount() Amount {
	return Amount{Bytes: q.Bytes, Objects: q.Objects, Uploads: q.OpenUploads}
}

// ValidateID returns an InvalidArgument error that blames field unless id may
// name a workspace: 3 to 40 of a-z, 0-9 and "-", no "-" at either end.
func ValidateID(field, id string) error {
	if !validID(id) {
		return fault.Invalid(field, "must be 3 to 40 characters of a-z, 0-9 and -, with no - at either end")
	}
	return nil
}

// validID is a loop rather than a regular expression, which would be compiled at
// every cold start of every function.
func validID(id string) bool {
	if len(id) < 3 || len(id) > 40 || id[0] == '-' || id[len(id)-1] == '-' {
		return false
	}
	for _, c := range []byte(id) {
		if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') {
			return false
		}
	}
	return true
}

// Validate returns an InvalidArgument error that names every bad field.
func (w Workspace) Validate() error {
	return fault.Join(
		ValidateID("id", w.ID),
		validateName(w.Name),
		w.Quota.Validate(),
		w.validateShards(),
	)
}

func (w Workspace) validateShards() error {
	if w.Shards < 1 || w.Shards > MaxShards {
		return fault.Invalid("shards", "is %d, must be from 1 to %d", w.Shards, MaxShards)
	}
	return nil
}

func validateName(name string) error {
	switch {
	case name == "":
		return fault.Invalid("name", "must not be empty")
	case len(name) > limits.WorkspaceNameBytes:
		return fault.Invalid("name", "has %d bytes, the most is %d", len(name), limits.WorkspaceNameBytes)
	case !utf8.ValidString(name):
		return fault.Invalid("name", "is not valid UTF-8")
	}
	return nil
}

// TypePolicy says which media types a workspace accepts. Patterns are media
// types, or "image/*" for all of a family.
type TypePolicy struct {
	// Allowed, when not empty, lists all that is accepted.
	Allowed []string
	// Denied wins over Allowed.
	Denied []string
	// AllowMismatch accepts bytes that are not of the declared type.
	AllowMismatch bool
}

// DefaultTypePolicy accepts everything but programs.
func DefaultTypePolicy() TypePolicy {
	return TypePolicy{Denied: []string{
		"application/vnd.microsoft.portable-executable",
		"application/x-dosexec",
		"application/x-elf",
		"application/x-executable",
		"application/x-mach-binary",
		"application/x-msdownload",
		"application/x-msi",
		"application/x-object",
		"application/x-coredump",
		"application/x-sharedlib",
	}}
}

// Permits returns an UnsupportedType error unless the policy accepts
// contentType, whose parameters do not matter.
func (p TypePolicy) Permits(contentType string) error {
	mediaType := object.MediaType(contentType)
	if matches(p.Denied, mediaType) || len(p.Allowed) > 0 && !matches(p.Allowed, mediaType) {
		return fault.New(fault.UnsupportedType, "the workspace does not accept the media type %q", mediaType)
	}
	return nil
}
