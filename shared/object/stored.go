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
}

// Seal reports whether s may be a seal: an empty version, which keeps the key of an
// upload that has ended from being written again, and costs nothing.
func (s Stored) Seal() bool { return s.Size == 0 && !s.DeleteMarker }
