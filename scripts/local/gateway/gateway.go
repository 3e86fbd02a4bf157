// Package gateway is the one address to which functions, tools and people send
// their AWS calls. It tells from the signature which service is called and who
// calls, verifies the signature, derives what the call does to which resource,
// lets interceptors refuse it, and hands it to the engine that serves it.
//
// Services are told apart by the credential scope of the signature, as AWS's
// own endpoints would be by their names, so that AWS_ENDPOINT_URL can be one
// address for all. A call without a signature is S3's: a CORS preflight, say.
//
// Signatures are verified here for every service but S3, whose engine verifies
// them itself, since it must check the signatures of streamed bodies anyway.
package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
)

// Names by which Config.Services and Call.Service know the services that the gateway treats apart.
// Any other service goes by its signing name: sqs, events, sts, secretsmanager, ...
const (
	S3              = operation.S3
	DynamoDB        = operation.DynamoDB
	DynamoDBStreams = operation.DynamoDBStreams
)

// Caller is who makes a call.
type Caller = identity.Caller

// Call is one call to a service.
type Call struct {
	ID      string  // the request id that a refusal carries
	Caller  *Caller // nil: anonymous, or (S3 alone) somebody whose credentials the engine will refuse
	Service string
	operation.Operation
	Request *http.Request
	// Body is the request's whole body, except for calls that carry an object's bytes, where it is
	// nil and Request.Body streams them.
	Body     []byte
	Received time.Time
}

// Interceptor looks at a call before its service does. Nil lets it go on; a Denial answers it. It may
// delay the call by waiting, and must return when ctx ends. IAM enforcement and fault injection are
// interceptors. They run in the order given, concurrently for concurrent calls.
type Interceptor func(ctx context.Context, c *Call) *Denial

// Denial is an error that answers a call instead of its service. The gateway writes it in the shape
// of the service that was called.
type Denial struct {
	Status  int    // zero: what the service answers a refused call with
	Code    string // AccessDenied, ProvisionedThroughputExceededException, ...; empty: the service's word for a refused call
	Message string
	// Fields are further members of a JSON error: CancellationReasons, for one.
	Fields map[string]any
	Header http.Header
}

// Config configures a Gateway. Credentials is required.
type Config struct {
	Listener    net.Listener // nil: an ephemeral port of 127.0.0.1
	Region      string
	Account     string
	Credentials *identity.Issuer
	// Services handle the calls, by service name. A handler finds the call with CallFrom. NewProxy
	// makes one for an engine that speaks AWS's protocol at an address of its own.
	Services  map[string]http.Handler
	Intercept []Interceptor
	Observe   func(c *Call, status int, took time.Duration) // nil: nobody looks
	Logger    *slog.Logger                                  // nil: silent
	Now       func() time.Time                              // nil: time.Now
	NewID     func() string                                 // nil: a random UUID
}
