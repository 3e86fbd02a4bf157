package object

import "time"

// DerivativePrefix begins every key that derivatives are written under. It is not
// KeyPrefix, so that writing one tells nobody of new content.
const DerivativePrefix = "d/"

// Picture is what was found out about a version whose bytes are an image.
type Picture struct {
	// Width and Height are in pixels, as the picture is shown: its orientation is
	// applied. They are 0 when that could not be read.
	Width  int
	Height int
	// CapturedAt is when the camera says it took the picture; zero when it says
	// nothing. A camera that does not tell its time zone is taken to be in UTC.
	CapturedAt time.Time
	// Derivatives are the names of the smaller copies that there are.
	Derivatives []string
	// Reason is why there are none.
	Reason *Reason
}

// Derivative is a smaller copy of a version that is a picture.
type Derivative struct {
	Workspace string
	ObjectID  string
	Name      string // the longest side that it may have, in pixels: "256"
	Version   string // that it was made of

	Size        int64
	ContentType string
	Width       int
	Height      int
	S3Key       string
	S3VersionID string
	CreatedAt   time.Time
}

// PictureTypes returns the detected media types that derivatives are made of.
func PictureTypes() []string {
	return []string{"image/jpeg", "image/png", "image/vnd.mozilla.apng", "image/gif", "image/webp"}
}

// DerivativeKey returns the S3 key of a version's derivative:
// d/<workspace>/<object>/<version>/<name>.
func DerivativeKey(workspace, objectID, version, name string) string {
	return DerivativePrefix + workspace + "/" + objectID + "/" + version + "/" + name
}
