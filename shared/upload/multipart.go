package upload

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"slices"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
)

// Part is one part of a multipart upload.
type Part struct {
	Number int   // from 1
	Size   int64 // bytes
	// ETag is S3's name for the bytes, without quotes: "" until they are there.
	ETag string
	// CRC64NVME is the checksum that S3 computed of the part, base64: "" when it
	// tells none.
	CRC64NVME string
}

// Completion is what a client said when it completed a multipart upload.
type Completion struct {
	// Parts is the digest of the parts that are to be assembled, by PartsDigest.
	Parts string
	// CRC64NVME is the checksum of the whole object, base64, "" when the client
	// declared none here.
	CRC64NVME string
	BegunAt   time.Time
}

// DefaultPartSize returns the part size for an object of size bytes: the
// smallest whole number of MiB, but at least limits.PartBytes, with which it
// takes no more than limits.S3MaxParts parts.
func DefaultPartSize(size int64) int64 {
	part := (size + limits.S3MaxParts - 1) / limits.S3MaxParts
	return max(limits.PartBytes, (part+limits.MiB-1)/limits.MiB*limits.MiB)
}

// validateParts returns an InvalidArgument error unless the upload can be sent in
// parts of its part size: each but the last is as long, no more than
// limits.S3MaxParts.
func (u Upload) validateParts() error {
	switch {
	case u.Mode == Single && u.PartSize != 0:
		return fault.Invalid("partSize", "belongs to mode multipart")
	case u.Mode != Multipart:
		return nil
	case u.Size < 1:
		return fault.Invalid("size", "is %d, the least for mode multipart is 1", u.Size)
	case u.SHA256 != "":
		return fault.Invalid("sha256", "cannot be verified for mode multipart: declare crc64nvme, or no checksum")
	case u.PartSize < limits.S3MinPartBytes || u.PartSize > limits.S3MaxPartBytes:
		return fault.Invalid("partSize", "is %d, must be from %d to %d", u.PartSize, limits.S3MinPartBytes, limits.S3MaxPartBytes)
	case u.PartCount() > limits.S3MaxParts:
		return fault.Invalid("partSize", "of %d would take %d parts, the most is %d: leave it out or ask for at least %d",
			u.PartSize, u.PartCount(), limits.S3MaxParts, DefaultPartSize(u.Size))
	}
	return nil
}

// PartCount returns how many parts a multipart upload has, numbered from 1.
func (u Upload) PartCount() int {
	if u.PartSize < 1 {
		return 0
	}
	return int((u.Size-1)/u.PartSize) + 1
}

// Part returns what part number must be: as long as the part size, and the last
// one as long as what is left.
func (u Upload) Part(number int) Part {
	before := int64(number-1) * u.PartSize
	return Part{Number: number, Size: min(u.PartSize, u.Size-before)}
}

// FirstParts returns the first n parts, or all when there are fewer.
func (u Upload) FirstParts(n int) []Part {
	parts := make([]Part, min(n, u.PartCount()))
	for i := range parts {
		parts[i] = u.Part(i + 1)
	}
	return parts
}

// Parts returns the parts of the given numbers, in that order. It returns an
// InvalidArgument error that blames partNumbers unless there are 1 to
// limits.SignedParts of them, all different and all parts of the upload.
func (u Upload) Parts(numbers []int) ([]Part, error) {
	if len(numbers) < 1 || len(numbers) > limits.SignedParts {
		return nil, fault.Invalid("partNumbers", "has %d numbers, must have from 1 to %d", len(numbers), limits.SignedParts)
	}
	seen := make(map[int]bool, len(numbers))
	parts := make([]Part, len(numbers))
	for i, n := range numbers {
		switch {
		case n < 1 || n > u.PartCount():
			return nil, fault.Invalid(fmt.Sprintf("partNumbers[%d]", i), "is %d, must be from 1 to %d", n, u.PartCount())
		case seen[n]:
			return nil, fault.Invalid(fmt.Sprintf("partNumbers[%d]", i), "is %d, which is there already", n)
		}
		seen[n] = true
		parts[i] = u.Part(n)
	}
	return parts, nil
}

// CheckNamed returns an InvalidArgument error that blames parts unless named is
// every part of the upload with its ETag, in order.
func (u Upload) CheckNamed(named []Part) error {
	for i, p := range named {
		switch {
		case p.Number != i+1:
			return fault.Invalid(fmt.Sprintf("parts[%d].partNumber", i), "is %d, must be %d: name all parts, in order", p.Number, i+1)
		case p.ETag == "":
			return fault.Invalid(fmt.Sprintf("parts[%d].etag", i), "must not be empty")
		}
	}
	if len(named) != u.PartCount() {
		return fault.Invalid("parts", "has %d parts, the upload has %d", len(named), u.PartCount())
	}
	return nil
}

// CheckStored returns an error unless stored, which is what S3 has in order, is
// every part of the upload at its exact length: PartsIncomplete, with the first
// part that is missing and how many are, or SizeMismatch.
func (u Upload) CheckStored(stored []Part) error {
	missing, first := u.PartCount(), 0
	next := 1
	for _, p := range stored {
		if p.Number > u.PartCount() {
			return fault.New(fault.SizeMismatch, "storage has part %d, the upload has %d parts", p.Number, u.PartCount())
		}
		if want := u.Part(p.Number); p.Size != want.Size {
			return fault.New(fault.SizeMismatch, "part %d has %d bytes, must have %d", p.Number, p.Size, want.Size).
				With("partNumber", p.Number)
		}
		if p.Number != next && first == 0 {
			first = next
		}
		missing, next = missing-1, p.Number+1
	}
	if missing == 0 {
		return nil
	}
	if first == 0 {
		first = next
	}
	return fault.New(fault.PartsIncomplete, "%d of %d parts are not there, the first is part %d", missing, u.PartCount(), first).
		With("missing", missing).With("firstMissing", first)
}

// CheckSame returns an error unless each part that a client named is what S3
// has, which must be complete and in order.
func CheckSame(named, stored []Part) error {
	for i, p := range named {
		if i >= len(stored) || p.Number != stored[i].Number || p.ETag != stored[i].ETag {
			return fault.Invalid(fmt.Sprintf("parts[%d].etag", i), "is not that of the part which is stored")
		}
	}
	return nil
}

// PartsDigest returns a digest of numbers and ETags: parts with another digest
// are other parts.
func PartsDigest(parts []Part) string {
	h := sha256.New()
	var buf []byte
	for _, p := range parts {
		buf = binary.AppendUvarint(buf[:0], uint64(p.Number))
		buf = binary.AppendUvarint(buf, uint64(len(p.ETag)))
		h.Write(append(buf, p.ETag...))
	}
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// Checksum returns the CRC-64/NVME that the client declared, when it opened the
// upload or when it completed it: "" for none.
func (u Upload) Checksum() string {
	if u.CRC64NVME == "" && u.Completion != nil {
		return u.Completion.CRC64NVME
	}
	return u.CRC64NVME
}

// Completed reports whether the upload has been completed, by the parts and
// checksum of c. Parts that c leaves out are any. It returns a Conflict error
// when the upload was completed by others.
func (u Upload) Completed(c Completion) (bool, error) {
	if u.Completion == nil || !slices.Contains([]State{Completing, Uploaded, Quarantined, Available}, u.State) {
		return false, nil
	}
	was := *u.Completion
	if c.Parts != "" && c.Parts != was.Parts || c.CRC64NVME != was.CRC64NVME {
		return false, fault.New(fault.Conflict, "the upload is %s with other parts or another checksum", u.State)
	}
	return true, nil
}

// Complete returns u after a client has completed it with c.
func (u Upload) Complete(c Completion) (Upload, error) {
	to, err := Transition(u.State, Complete, Client)
	if err != nil {
		return Upload{}, err
	}
	if u.Mode != Multipart || u.S3UploadID == "" {
		return Upload{}, fault.New(fault.Conflict, "only multipart uploads are completed")
	}
	if err := validateDigest("crc64nvme", c.CRC64NVME, 8); err != nil {
		return Upload{}, err
	}
	if u.CRC64NVME != "" && c.CRC64NVME != "" && u.CRC64NVME != c.CRC64NVME {
		return Upload{}, fault.Invalid("crc64nvme", "is not the one that was declared when the upload was opened")
	}
	u.State, u.Completion, u.Reason = to, &c, nil
	u.Rev++
	return u, nil
}
