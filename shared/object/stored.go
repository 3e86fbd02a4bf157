package object

import "time"

// Stored is one version that the content bucket holds, as a listing or a report of
// the bucket says.
type Stored struct {
	Location
	Size       int64
	ModifiedAt time.Time
	// DeleteMarker is set for a version that holds nothing and hides what is older.
	DeleteMarker bool
	// Mark is where a listing goes on after this version. It means something to what
	// made the listing alone.
	Mark string
}

// Parts are what the content bucket holds of a multipart upload that is neither
// completed nor aborted.
type Parts struct {
	Key      string
	UploadID string // S3's
	BegunAt  time.Time
	Mark     string
}

// Seal reports whether s may be a seal: an empty version, which keeps the key of an
// upload that has ended from being written again, and costs nothing.
func (s Stored) Seal() bool { return s.Size == 0 && !s.DeleteMarker }
