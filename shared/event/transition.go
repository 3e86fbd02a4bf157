package event

import (
	"strconv"

	"github.com/stowage-dev/stowage/shared/object"
)

// FromTransition returns the event that one write of an object makes, and
// whether it makes one. before is nil when the write created the object, after
// when it removed it for good. A write that did not raise the rev, such as a
// repair, makes none.
//
// A removal leaves no object to read a rev or a time from: its event takes the
// rev that would have come next and the time of the last write, which the
// caller may replace with the time of the stream record.
func FromTransition(before, after *object.Object) (Event, bool) {
	switch {
	case before == nil && after == nil:
		return Event{}, false
	case after == nil:
		gone := *before
		gone.Rev++
		return about(Purged, before, &gone), true
	}
	kind, ok := typeOf(before, after)
	if !ok {
		return Event{}, false
	}
	return about(kind, before, after), true
}

func typeOf(before, after *object.Object) (Type, bool) {
	if before == nil {
		return typeOfState(after.State)
	}
	switch {
	case after.Rev <= before.Rev:
		return "", false
	case before.State == object.Deleted && after.State.OwnsPath():
		return Undeleted, true
	case before.State != after.State:
		return typeOfState(after.State)
	case before.Version != after.Version:
		return Versioned, true
	default:
		return Updated, true
	}
}

func typeOfState(s object.State) (Type, bool) {
	switch s {
	case object.Available:
		return Available, true
	case object.Quarantined:
		return Quarantined, true
	case object.Rejected:
		return Rejected, true
	case object.Deleted:
		return Deleted, true
	default:
		return "", false
	}
}

func about(kind Type, before, o *object.Object) Event {
	e := Event{
		ID:        o.ID + "." + strconv.FormatInt(o.Rev, 10),
		Type:      kind,
		Subject:   o.ID,
		Workspace: o.Workspace,
		Rev:       o.Rev,
		Time:      o.UpdatedAt,
		Data:      view(o),
	}
	if before != nil {
		e.Data.Previous = before.State
	}
	return e
}

func view(o *object.Object) Data {
	d := Data{
		ID: o.ID, Workspace: o.Workspace,
		Path: o.Path, Parent: o.Parent, Name: o.Name,
		State: o.State, Rev: o.Rev, Version: o.Version,
		Size: o.Size, Stored: o.Stored, StorageClass: o.StorageClass, ContentType: o.ContentType, DetectedType: o.DetectedType,
		SHA256: o.SHA256, CRC64NVME: o.CRC64NVME, Integrity: o.Integrity,
		Tags: o.Tags, Metadata: o.Metadata,
		CreatedAt: o.CreatedAt, CreatedBy: o.CreatedBy,
		UpdatedAt: o.UpdatedAt, UpdatedBy: o.UpdatedBy,
	}
	d.Picture, d.Reason = viewPicture(o.Picture), viewReason(o.Reason)
	if !o.DeletedAt.IsZero() {
		d.DeletedAt = &o.DeletedAt
	}
	return d
}

func viewReason(r *object.Reason) *Reason {
	if r == nil {
		return nil
	}
	return &Reason{Code: string(r.Code), Detail: r.Detail}
}

func viewPicture(p *object.Picture) *Picture {
	if p == nil {
		return nil
	}
	v := &Picture{Width: p.Width, Height: p.Height, Derivatives: p.Derivatives, Reason: viewReason(p.Reason)}
	if !p.CapturedAt.IsZero() {
		v.CapturedAt = &p.CapturedAt
	}
	return v
}
