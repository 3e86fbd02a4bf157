package object

import (
	"fmt"
	"io"
	"time"

	"github.com/oklog/ulid/v2"
)

// NewIDs returns a source of ULIDs: ids that sort by time. It is safe for concurrent use
// when random is.
func NewIDs(now func() time.Time, random io.Reader) func() string {
	return func() string {
		id, err := ulid.New(ulid.Timestamp(now()), random)
		if err != nil {
			// Without randomness ids could repeat: nothing may be written.
			panic(fmt.Sprintf("draw an id: %v", err))
		}
		return id.String()
	}
}
