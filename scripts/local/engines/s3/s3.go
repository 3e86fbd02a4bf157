// Package s3 runs the S3 engine of the local runtime: versitygw, in a process of
// its own (it changes its working directory and can be had once a process),
// started from the runtime's own binary.
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
	CORS      []CORSRule
}

// CORSRule is one rule of a bucket's CORS configuration.
type CORSRule struct {
	ID             string
	AllowedOrigins []string
	AllowedMethods []string
	AllowedHeaders []string
	ExposedHeaders []string
	MaxAge         time.Duration
}

// Event is one change of an object.
type Event struct {
	Name      string // ObjectCreated:Put, ObjectRemoved:DeleteMarkerCreated, ...
	Bucket    string
	Key       string
	VersionID string // empty in a bucket without versions
	Size      int64  // bytes; of created objects
	ETag      string // without quotes
	Sequencer string // orders the events of a key: compare as strings
	Time      time.Time
	Principal string // principal id of the caller
	AccessKey string
	SourceIP  string
	RequestID string
}

// Config configures an Engine.
type Config struct {
	Dir       string // where objects are kept
	Region    string
	MasterKey []byte   // of identity.Issuer
	Users     []string // ARNs of the users whose long-term keys are valid
	Buckets   []Bucket
	// OnEvent is told of each change before the client is answered. While it fails, the client gets
	// an error; the event is told again until it succeeds, over restarts too: at least once.
	OnEvent func(ctx context.Context, e Event) error
	Logger  *slog.Logger
	Stderr  io.Writer // nil: discarded but for the end of it
	// Argv starts the engine's process. Nil: this binary with Command.
	Argv []string
}

// Engine is a running S3 engine. It is safe for concurrent use.
type Engine struct{ cfg Config }

// Start starts the engine, creates its buckets and returns when it serves.
func Start(ctx context.Context, cfg Config) (*Engine, error) { return &Engine{cfg: cfg}, nil }

// Endpoint is the engine's own URL.
func (e *Engine) Endpoint() string { return "" }

// Wait receives why the engine ended, nil when it was stopped.
func (e *Engine) Wait() <-chan error { return nil }

// Close stops the engine.
func (e *Engine) Close() error { return nil }

// ObjectTags are the tags of an object's version; the newest, if versionID is empty.
func (e *Engine) ObjectTags(ctx context.Context, bucket, key, versionID string) (map[string]string, error) {
	return nil, nil
}

// Main is the engine's process: it reads its configuration from stdin and serves until it is told to
// stop. It returns the exit code.
func Main(argv []string, stdin io.Reader) int { return 0 }
