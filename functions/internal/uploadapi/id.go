package uploadapi

import (
	"io"
	"time"

	"github.com/stowage-dev/stowage/shared/object"
)

// NewIDs returns the source of the ids of uploads, objects and requests.
func NewIDs(now func() time.Time, random io.Reader) func() string { return object.NewIDs(now, random) }
