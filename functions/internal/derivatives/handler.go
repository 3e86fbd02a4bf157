// Package derivatives makes small copies of the pictures that become available.
//
// A rule on the bus sends the events of pictures to a queue of this function's own, so
// that a slow picture holds up nothing else. The event says which version of which
// object; the catalog, read anew, says whether that is still to be done. The bytes are
// read whole, within a limit, and copied (see package picture); the copies are written
// under d/, where no notification looks, tagged as verified; and what was found out is
// recorded in one transaction, which raises the object's rev and so tells everybody.
//
// A picture that cannot be copied is no failure of this function: the catalog records
// why. Events repeat, race and come late: one about a version that is not current is
// dropped, and everything here may happen twice.
package derivatives

import (
	"context"
	"encoding/json"
	"log/slog"
	"strconv"
	"time"

	"github.com/aws/aws-lambda-go/events"

	"github.com/stowage-dev/stowage/shared/batch"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
)

// Config is what the function is told by its environment.
type Config struct {
	Table            string
	Bucket           string
	DeadLetterBucket string
}

// ParseConfig reads the configuration; the error names all that is missing.
func ParseConfig(s *boot.Settings) (Config, error) {
	cfg := Config{
		Table:            s.Required("STOWAGE_TABLE"),
		Bucket:           s.Required("STOWAGE_BUCKET"),
		DeadLetterBucket: s.Required("STOWAGE_DEAD_LETTER_BUCKET"),
	}
	return cfg, s.Err()
}

// Catalog knows the objects. Its reads are strongly consistent.
type Catalog interface {
	Object(ctx context.Context, workspace, id string) (object.Object, error)
	// RecordPicture returns a fault.Conflict error when the version is not the
	// current one of an available object by now. Repeating it changes nothing.
	RecordPicture(ctx context.Context, o object.Object, p object.Picture, ds []object.Derivative, by string) (replaced []object.Derivative, err error)
}

// Storage keeps the bytes.
type Storage interface {
	// Read returns a fault.NotFound error for a version that is gone, and
	// fault.TooLarge for one of more bytes than most.
	Read(ctx context.Context, at object.Location, most int64) ([]byte, error)
	// Write writes a key that lets everybody read it. One that was written before
	// is left as it is, and its version returned.
	Write(ctx context.Context, key, contentType string, data []byte) (versionID string, err error)
	// Delete removes a version for good. It may be gone already.
	Delete(ctx context.Context, at object.Location) error
}

// Parts is what a Handler works with.
type Parts struct {
	Catalog     Catalog
	Storage     Storage
	DeadLetters batch.DeadLetters
	Observer    batch.Observer
	Metrics     *observe.Metrics
	Log         *slog.Logger
	Now         func() time.Time
}

// Handler makes derivatives of the pictures that messages tell of. It is safe for
// concurrent use.
type Handler struct{ Parts }

// New returns a handler.
func New(p Parts) *Handler { return &Handler{p} }

// Sizes are the longer sides of the derivatives, in pixels, and their names.
func Sizes() []int { return []int{1024, 256} }

func name(size int) string { return strconv.Itoa(size) }

// Handle makes the derivatives of a batch of messages, one picture at a time: memory is
// bounded for one. What fails transiently is handed back to the queue; what can never
// succeed goes to the dead letters.
func (h *Handler) Handle(ctx context.Context, ev events.SQSEvent) (events.SQSEventResponse, error) {
	return batch.SQS(ctx, ev, h.message,
		batch.Concurrency(1),
		batch.DeadLetter(h.DeadLetters),
		batch.PermanentIf(fault.Permanent),
		batch.Observe(h.Observer))
}

// message handles one event of the bus.
func (h *Handler) message(ctx context.Context, m events.SQSMessage) error {
	var envelope struct {
		Detail *event.Event `json:"detail"`
	}
	if err := json.Unmarshal([]byte(m.Body), &envelope); err != nil {
		return fault.Wrap(fault.InvalidArgument, err, "the message is no event of the bus")
	}
	e := envelope.Detail
	if e == nil || e.Workspace == "" || !object.IsID(e.Subject) || !object.IsID(e.Data.Version) {
		return fault.New(fault.InvalidArgument, "the message names no version of an object")
	}
	ctx = observe.With(ctx, slog.String("workspace", e.Workspace), slog.String("object", e.Subject), slog.String("version", e.Data.Version))
	return h.event(ctx, e)
}
