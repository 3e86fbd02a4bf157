// Package s3 runs the S3 engine of the local runtime: versitygw, in a process of
// its own (it changes its working directory, and a process can have only one),
// started from the runtime's own binary.
//
// Every change of an object becomes an Event. It is told to Config.OnEvent
// before the client is answered; were the engine or the runtime killed in
// between, it is told after the next start. Events are so told at least once,
// not always in order, which their sequencers restore: as S3's notifications.
//
// Authentication is the engine's; authorization is not: whoever holds valid
// credentials may do everything here, and the gateway in front decides.
//
// Known differences from AWS: deleting a key that does not exist creates no
// delete marker; keys "dir" and "dir/x" exclude each other, and a segment of a
// key is at most 255 bytes long (409); browsers may always read ETag and
// x-amz-meta-*, whatever the CORS rules expose; bucket settings that the
// template states (encryption, lifecycle, notification) have no API (501).
package s3

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// Command is the first argument that makes the runtime's binary be the engine: its main calls Main.
const Command = "engine-s3"

// Bucket is one bucket to serve.
type Bucket struct {
	Name      string
	Versioned bool
	CORS      []CORSRule // none: no CORS
}

// CORSRule is one rule of a bucket's CORS configuration.
type CORSRule struct {
	ID             string
	AllowedOrigins []string
	AllowedMethods []string
	AllowedHeaders []string
	ExposedHeaders []string
	MaxAge         time.Duration // zero: none is told
}

// Names of events, as they stand in notifications behind "s3:".
const (
	CreatedPut       = "ObjectCreated:Put"
	CreatedPost      = "ObjectCreated:Post"
	CreatedCopy      = "ObjectCreated:Copy"
	CreatedMultipart = "ObjectCreated:CompleteMultipartUpload"
	Removed          = "ObjectRemoved:Delete"
	MarkerCreated    = "ObjectRemoved:DeleteMarkerCreated"
	TaggingPut       = "ObjectTagging:Put"
	TaggingDelete    = "ObjectTagging:Delete"
)

// Event is one change of an object.
type Event struct {
	Name      string
	Bucket    string
	Key       string
	VersionID string // empty in a bucket without versions
	Size      int64  // bytes; of created objects
	ETag      string // without quotes; of created objects
	Sequencer string // orders the events of a key: compare as strings
	Time      time.Time
	Caller    Caller
}

// Caller is on whose behalf an object changed.
type Caller struct {
	AccessKeyID string
	Principal   string // ARN
	SourceIP    string
	RequestID   string
	Trace       string // X-Ray header of the request; empty: none
}

// Config configures an Engine.
type Config struct {
	Dir       string // where objects are kept; its file system must keep extended attributes
	Region    string
	MasterKey []byte   // of the identity.Issuer whose credentials are valid
	Users     []string // ARNs of the users whose long-term keys are valid
	Buckets   []Bucket
	// OnEvent is told of each change. While it fails, the event is told again and again, with pauses,
	// over restarts too. It may be called concurrently.
	OnEvent func(ctx context.Context, e Event) error
	Logger  *slog.Logger // nil: silent
	Stderr  io.Writer    // of the engine's process; nil: only the end of it is kept, for Wait
	Argv    []string     // starts the engine's process; nil: this binary with Command
}
