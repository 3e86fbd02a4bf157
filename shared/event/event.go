// Package event makes CloudEvents of what happens to objects.
//
// An event derives from the object before and after one write, and from nothing
// else, so that the same write always makes the same event. Its id is the
// object's id and rev: a consumer that applies events by rising rev, and ignores
// what it has seen, needs no other order and no other deduplication.
package event

import (
	"time"

	"github.com/stowage-dev/stowage/shared/object"
)

// Source is the source of every event on the EventBridge bus.
const Source = "stowage"

// Type is the CloudEvents type, and EventBridge's detail type.
type Type string

// The types of events.
const (
	Available   Type = "dev.stowage.object.available"
	Quarantined Type = "dev.stowage.object.quarantined"
	Rejected    Type = "dev.stowage.object.rejected"
	Versioned   Type = "dev.stowage.object.versioned"
	Updated     Type = "dev.stowage.object.updated"
	Deleted     Type = "dev.stowage.object.deleted"
	Undeleted   Type = "dev.stowage.object.undeleted"
	Purged      Type = "dev.stowage.object.purged"
)

// Event is a CloudEvent 1.0 about one object.
type Event struct {
	ID        string
	Type      Type
	Subject   string // the object's id
	Workspace string
	Rev       int64
	Time      time.Time
	Data      Data
}

// Data is the public view of an object in an event.
type Data struct {
	ID           string            `json:"id"`
	Workspace    string            `json:"workspace"`
	Path         string            `json:"path"`
	Parent       string            `json:"parent"`
	Name         string            `json:"name"`
	State        object.State      `json:"state"`
	Previous     object.State      `json:"previous,omitempty"`
	Rev          int64             `json:"rev"`
	Version      string            `json:"version"`
	Size         int64             `json:"size"`
	Stored       int64             `json:"stored"`
	StorageClass string            `json:"storageClass,omitempty"`
	ContentType  string            `json:"contentType"`
	DetectedType string            `json:"detectedType,omitempty"`
	SHA256       string            `json:"sha256,omitempty"`
	CRC64NVME    string            `json:"crc64nvme,omitempty"`
	Integrity    object.Integrity  `json:"integrity,omitempty"`
	Tags         map[string]string `json:"tags,omitempty"`
	Metadata     map[string]string `json:"metadata,omitempty"`
	Picture      *Picture          `json:"picture,omitempty"`
	Reason       *Reason           `json:"reason,omitempty"`
	CreatedAt    time.Time         `json:"createdAt"`
	CreatedBy    string            `json:"createdBy"`
	UpdatedAt    time.Time         `json:"updatedAt"`
	UpdatedBy    string            `json:"updatedBy"`
	DeletedAt    *time.Time        `json:"deletedAt,omitempty"`
}

// Reason says why an object was rejected.
type Reason struct {
	Code   string `json:"code"`
	Detail string `json:"detail"`
}

// Picture is what was found out about an object that is an image.
type Picture struct {
	Width       int        `json:"width,omitempty"`
	Height      int        `json:"height,omitempty"`
	CapturedAt  *time.Time `json:"capturedAt,omitempty"`
	Derivatives []string   `json:"derivatives,omitempty"`
	// Reason is why there are no derivatives.
	Reason *Reason `json:"reason,omitempty"`
}
