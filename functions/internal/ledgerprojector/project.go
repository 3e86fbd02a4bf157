package ledgerprojector

import (
	"time"

	"github.com/stowage-dev/stowage/shared/event"
	"github.com/stowage-dev/stowage/shared/fault"
	"github.com/stowage-dev/stowage/shared/ledger"
	"github.com/stowage-dev/stowage/shared/limits"
	"github.com/stowage-dev/stowage/shared/object"
	"github.com/stowage-dev/stowage/shared/search"
	"github.com/stowage-dev/stowage/shared/workspace"
)

// projection is what the ledger and the index learn of one event.
type projection struct {
	fact     ledger.Fact
	document search.Document
	// textKey is the key of a text file whose beginning is to be read; empty for none.
	textKey string
}

// textBytes is the largest text file that is looked into: what is larger is data.
const textBytes = limits.MiB

// project returns what an event says. It refuses one that no write of the catalog makes.
func project(e event.Event) (projection, error) {
	class, err := ledger.ParseClass(e.Data.StorageClass)
	if err != nil {
		return projection{}, err
	}
	if err := check(e); err != nil {
		return projection{}, err
	}
	at := e.Time.UTC().Truncate(time.Millisecond)
	p := projection{
		fact: ledger.Fact{Workspace: e.Workspace, Object: e.Subject, Rev: e.Rev, At: at, Class: class, Bytes: held(e)},
		document: search.Document{
			Workspace: e.Workspace, Object: e.Subject, Rev: e.Rev, Version: e.Data.Version, State: state(e), UpdatedAt: at,
		},
	}
	if e.Type == event.Purged {
		return p, nil // of what is gone nothing is kept
	}
	p.document.Path = search.Clean(e.Data.Path, limits.PathBytes)
	p.document.Parent = search.Clean(e.Data.Parent, limits.PathBytes)
	p.document.ContentType = search.Clean(e.Data.ContentType, limits.ContentTypeBytes)
	p.document.Size = e.Data.Size
	p.document.Tags, p.document.Metadata = clean(e.Data.Tags), clean(e.Data.Metadata)
	if readable(e) {
		p.textKey = object.Key(e.Workspace, e.Subject, e.Data.Version)
	}
	return p, nil
}

func check(e event.Event) error {
	switch {
	case workspace.ValidateID("workspace", e.Workspace) != nil:
		return fault.New(fault.InvalidArgument, "the event names no workspace")
	case !object.IsID(e.Subject):
		return fault.New(fault.InvalidArgument, "the event names no object")
	case e.Rev < 1, e.Data.Stored < 0, e.Data.Size < 0:
		return fault.New(fault.InvalidArgument, "the event of object %s has a figure below what it can be", e.Subject)
	case e.Time.Year() < 2000, e.Time.Year() > 2199:
		return fault.New(fault.InvalidArgument, "the event of object %s has no time", e.Subject)
	}
	return nil
}

// held is how many bytes the object holds from the event on.
func held(e event.Event) int64 {
	if e.Type == event.Purged || e.Data.State == object.Rejected {
		return 0
	}
	return e.Data.Stored
}

func state(e event.Event) string {
	if e.Type == event.Purged {
		return search.Purged
	}
	return string(e.Data.State)
}

// readable reports whether an event brings a text file that is worth being looked into.
// A change of tags brings none: the text of its version is known.
func readable(e event.Event) bool {
	switch e.Type {
	case event.Available, event.Versioned, event.Undeleted:
	default:
		return false
	}
	found := e.Data.DetectedType == "" || search.TextType(e.Data.DetectedType)
	return e.Data.State == object.Available && e.Data.Size > 0 && e.Data.Size <= textBytes &&
		object.IsID(e.Data.Version) && search.TextType(e.Data.ContentType) && found
}

func clean(labels map[string]string) map[string]string {
	out := make(map[string]string, len(labels))
	for name, value := range labels {
		out[search.Clean(name, len(name))] = search.Clean(value, len(value))
	}
	return out
}
