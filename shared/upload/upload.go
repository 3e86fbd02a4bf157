// Package upload is the domain of uploads: what a client declared, what it has
// reserved, and the state machine from opening to its end.
//
// It knows no AWS SDK and does no I/O.
package upload

import (
	"encoding/base64"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// Mode is how the bytes travel to S3.
type Mode string

const (
	// Single is one presigned PUT.
	Single Mode = "single"
	// Multipart is an S3 multipart upload, each part presigned.
	Multipart Mode = "multipart"
)

// IfExists says what to do when another object owns the path.
type IfExists string

const (
	// Fail rejects the upload.
	Fail IfExists = "fail"
	// NewVersion makes the upload a version of that object.
	NewVersion IfExists = "version"
)

// Upload is one attempt to store bytes at a path.
type Upload struct {
	Workspace string
	// ID is a ULID, and that of the version which the upload will become.
	ID string
	// ObjectID is the object that the upload was opened for. Publishing sets
	// it to the object that the upload became a version of.
	ObjectID string
	Path     string

	Size        int64
	ContentType string
	SHA256      string // base64, "" when none was declared
	CRC64NVME   string // base64, "" when none was declared
	Mode        Mode
	// PartSize is the length of every part of a multipart upload but the last.
	PartSize int64
	IfExists IfExists
	Tags     map[string]string
	Metadata map[string]string

	State State
	// Rev rises by one with every write of the upload.
	Rev int64
	// Reservation is what the upload holds of the quota, shard by shard. It is
	// empty once everything was settled or given back.
	Reservation []workspace.Share
	// S3Key is where the bytes go.
	S3Key string
	// S3UploadID is S3's name for a multipart upload.
	S3UploadID string
	// Completion is what a client said when it completed a multipart upload.
	Completion *Completion
	// S3VersionID is the version of S3Key that was published or rejected, or that
	// waits for a scanner.
	S3VersionID string
	// Holds is set while the upload waits for a scanner as the first version of the
	// object that it was opened for: that object is there, in quarantine.
	Holds bool

	CreatedBy string
	CreatedAt time.Time
	// ExpiresAt is when the sweeper may end the upload.
	ExpiresAt time.Time
	// EndedAt and EndedBy say how it ended.
	EndedAt time.Time
	EndedBy Actor
	// Reason says why it was rejected, why its completion was refused last, or why a
	// scanner has come to no verdict.
	Reason *object.Reason
}

// Wants is what an upload reserves when it opens: its declared size, one object
// and one open upload.
func (u Upload) Wants() workspace.Amount {
	return workspace.Amount{Bytes: u.Size, Objects: 1, Uploads: 1}
}

// Validate returns an InvalidArgument error that names every bad field of what
// a client declares, and TooLarge for a single PUT that should be multipart.
func (u Upload) Validate() error {
	err := fault.Join(
		workspace.ValidateID("workspace", u.Workspace),
		object.ValidateID("id", u.ID),
		object.ValidateID("objectId", u.ObjectID),
		object.ValidatePath(u.Path),
		u.validateSize(),
		object.ValidateContentType(u.ContentType),
		validateDigest("sha256", u.SHA256, 32),
		validateDigest("crc64nvme", u.CRC64NVME, 8),
		u.validateMode(),
		u.validateParts(),
		u.validateIfExists(),
		object.ValidateTags(u.Tags),
		object.ValidateMetadata(u.Metadata),
	)
	if err != nil {
		return err
	}
	if u.Mode == Single && u.Size > limits.SinglePutBytes {
		return fault.New(fault.TooLarge, "a single PUT carries at most %d bytes: use mode multipart", limits.SinglePutBytes).
			With("size", u.Size).With("limit", limits.SinglePutBytes)
	}
	return nil
}

func (u Upload) validateSize() error {
	if u.Size < 0 {
		return fault.Invalid("size", "is %d, the least is 0", u.Size)
	}
	return nil
}

func (u Upload) validateMode() error {
	switch {
	case u.Mode != Single && u.Mode != Multipart:
		return fault.Invalid("mode", "%q is none of single, multipart", u.Mode)
	case u.Mode == Single && u.SHA256 == "":
		return fault.Invalid("sha256", "is required for mode single")
	}
	return nil
}

func (u Upload) validateIfExists() error {
	if u.IfExists != Fail && u.IfExists != NewVersion {
		return fault.Invalid("ifExists", "%q is none of fail, version", u.IfExists)
	}
	return nil
}

// validateDigest refuses what is not the canonical base64 of size bytes. An
// empty digest was not declared.
func validateDigest(field, digest string, size int) error {
	if digest == "" {
		return nil
	}
	// Go's decoder skips line breaks, so the length of the text counts too.
	raw, err := base64.StdEncoding.Strict().DecodeString(digest)
	if err != nil || len(raw) != size || len(digest) != base64.StdEncoding.EncodedLen(size) {
		return fault.Invalid(field, "must be the base64 of %d bytes", size)
	}
	return nil
}

// Waits reports whether the given S3 version of the upload's key waits for a scanner's
// verdict.
func (u Upload) Waits(s3VersionID string) bool {
	return u.State == Quarantined && u.S3VersionID == s3VersionID
}

// Keeps reports whether the given S3 version of the upload's key is the one that
// was published. Every other version of the key of an upload that has ended is
// to be deleted.
func (u Upload) Keeps(s3VersionID string) bool {
	return u.State == Available && u.S3VersionID == s3VersionID
}
