package derivatives

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/stowage-dev/stowage/shared/catalog"
	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/observe"
	"github.com/stowage-dev/stowage/shared/picture"
)

// actor is whom the catalog says to have written a picture.
const actor = "image-derivatives"

// event does what is left to do for the version of an event.
func (h *Handler) event(ctx context.Context, e *event.Event) error {
	o, err := h.Catalog.Object(ctx, e.Workspace, e.Subject)
	switch {
	case fault.Is(err, fault.NotFound):
		return h.stale(ctx, "purged")
	case err != nil:
		return err
	case o.Rev < e.Rev:
		// Reads are consistent: the catalog was restored to an earlier point.
		return fmt.Errorf("the event has rev %d and object %s has rev %d", e.Rev, o.ID, o.Rev)
	case o.Version != e.Data.Version:
		return h.stale(ctx, "replaced") // the newer version has an event of its own
	case o.State != object.Available:
		return h.stale(ctx, string(o.State)) // one that comes back has an event again
	case o.Picture != nil:
		h.Metrics.Add("DerivativesRepeats", 1)
		return nil
	}
	return h.derive(ctx, o)
}

// stale drops an event whose time has passed.
func (h *Handler) stale(ctx context.Context, why string) error {
	h.Metrics.Add("DerivativesStale", 1)
	h.Log.LogAttrs(ctx, slog.LevelDebug, "event about a version that is not current", slog.String("because", why))
	return nil
}

// derive makes, writes and records the derivatives of an object.
func (h *Handler) derive(ctx context.Context, o object.Object) error {
	seen, copies, err := h.copies(ctx, o)
	if err != nil {
		return err
	}
	made := make([]object.Derivative, 0, len(copies))
	for i, c := range copies {
		d := object.Derivative{
			Workspace: o.Workspace, ObjectID: o.ID, Name: name(Sizes()[i]), Version: o.Version,
			Size: int64(len(c.Data)), ContentType: c.ContentType, Width: c.Width, Height: c.Height,
			S3Key:     object.DerivativeKey(o.Workspace, o.ID, o.Version, name(Sizes()[i])),
			CreatedAt: h.Now().UTC().Truncate(catalog.Precision),
		}
		if d.S3VersionID, err = h.Storage.Write(ctx, d.S3Key, c.ContentType, c.Data); err != nil {
			return err
		}
		made = append(made, d)
		seen.Derivatives = append(seen.Derivatives, d.Name)
	}
	replaced, err := h.Catalog.RecordPicture(ctx, o, seen, made, actor)
	if fault.Is(err, fault.Conflict) || fault.Is(err, fault.NotFound) {
		return h.outrun(ctx, o, made)
	}
	if err != nil {
		return err
	}
	h.report(ctx, seen)
	return h.remove(ctx, replaced)
}

// copies reads the bytes of an object and copies the picture in them. That it cannot
// be copied is part of what was found out about it.
func (h *Handler) copies(ctx context.Context, o object.Object) (object.Picture, []picture.Copy, error) {
	if o.Size > limits.PictureBytes {
		return object.Picture{Reason: &object.Reason{
			Code: fault.TooLarge, Detail: fmt.Sprintf("the picture has %d bytes, the most is %d", o.Size, limits.PictureBytes),
		}}, nil, nil
	}
	data, err := h.Storage.Read(ctx, object.Location{Key: o.S3Key, VersionID: o.S3VersionID}, limits.PictureBytes)
	if err != nil {
		return object.Picture{}, nil, err
	}
	p, err := picture.Copies(data, Sizes(), picture.DefaultLimits())
	seen := object.Picture{Width: p.Width, Height: p.Height, CapturedAt: p.CapturedAt}
	if err == nil {
		return seen, p.Copies, nil
	}
	var refused *fault.Error
	if !errors.As(err, &refused) || !fault.Permanent(err) {
		return object.Picture{}, nil, err
	}
	h.Log.LogAttrs(ctx, slog.LevelInfo, "picture cannot be copied", slog.Any("error", err))
	seen.Reason = &object.Reason{Code: refused.Code, Detail: refused.Message}
	return seen, nil, nil
}

// outrun looks at an object that has changed while its picture was copied. When another
// version has taken the place of the one that was copied, nobody will ever refer to the
// copies.
func (h *Handler) outrun(ctx context.Context, o object.Object, made []object.Derivative) error {
	now, err := h.Catalog.Object(ctx, o.Workspace, o.ID)
	switch {
	case fault.Is(err, fault.NotFound):
		err = h.remove(ctx, made)
	case err == nil && now.Version != o.Version:
		err = h.remove(ctx, made)
	}
	if err != nil {
		return err
	}
	return h.stale(ctx, "changed meanwhile")
}

// remove deletes the bytes of derivatives that nothing refers to.
func (h *Handler) remove(ctx context.Context, ds []object.Derivative) error {
	for _, d := range ds {
		if err := h.Storage.Delete(ctx, object.Location{Key: d.S3Key, VersionID: d.S3VersionID}); err != nil {
			return err
		}
	}
	return nil
}

func (h *Handler) report(ctx context.Context, p object.Picture) {
	if p.Reason != nil {
		h.Metrics.Add("DerivativesRefused", 1, observe.Dimension{Name: "code", Value: string(p.Reason.Code)})
		return
	}
	h.Metrics.Add("DerivativesMade", len(p.Derivatives))
	h.Log.LogAttrs(ctx, slog.LevelInfo, "derivatives made", slog.Int("width", p.Width), slog.Int("height", p.Height))
}
