// Package gateway is the one address to which functions, tools and people send
// their AWS calls. It tells from the signature which service is called and who
// calls, verifies the signature, derives what the call does to which resource,
// lets interceptors refuse it, and hands it to the engine that serves it.
//
// Services are told apart by the credential scope of the signature, as AWS's
// own are by their names, so that AWS_ENDPOINT_URL can be one address for all.
// A call without a signature is S3's: a CORS preflight, say.
//
// Signatures are verified here for every service but S3, whose engine verifies
// them itself, since it must check the signatures of streamed bodies anyway.
// Of an S3 call, so, the gateway knows who it claims to be from; the engine
// refuses it if that is not so.
//
// Interceptors are where policies are enforced and faults injected: a Call
// carries its caller with its role and session tags, the IAM actions that it
// needs with their resources, and the request. The gateway itself grants
// everything to everybody whose signature is right.
package gateway

import (
	"context"
	"errors"
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
	// Body is the request's whole body, except for S3 calls whose operation can be told without it:
	// there it is nil, and Request.Body streams it.
	Body     []byte
	Received time.Time

	logger *slog.Logger
	forged func() *Denial // of S3
}

// Forged is what S3 says to a call whose signature is wrong, or too old; nil for any other call. The
// engine would say so too. It is for an interceptor that is about to tell a caller why something is
// denied to them: they may not be who they claim to be.
func (c *Call) Forged() *Denial {
	if c.forged == nil {
		return nil
	}
	return c.forged()
}

// Interceptor looks at a call before its service does. Nil lets it go on; a Denial answers it. It may
// delay the call by waiting, and must return when ctx ends. Interceptors run in the order given,
// concurrently for concurrent calls.
type Interceptor func(ctx context.Context, c *Call) *Denial

// Denial is an error that answers a call instead of its service, in the shape of that service's errors.
// What it leaves empty becomes the service's answer to a call that is not authorized.
type Denial struct {
	Status  int
	Code    string // AccessDenied, ProvisionedThroughputExceededException, ...
	Message string
	Fields  map[string]any // further members of a JSON error: CancellationReasons, for one
	Header  http.Header
}

// Config configures a Gateway. Credentials is required.
type Config struct {
	Listener    net.Listener // nil: an ephemeral port of 127.0.0.1
	Region      string
	Account     string
	Credentials *identity.Issuer
	// SecretARN gives the ARN of the secret with a name; empty for none. Nil: there are none.
	SecretARN func(name string) string
	// Services handle the calls, by service name. A handler finds the call with CallFrom. NewProxy
	// makes one for an engine that speaks AWS's protocol at an address of its own.
	Services  map[string]http.Handler
	Intercept []Interceptor
	Observe   func(c *Call, status int, took time.Duration) // of every call, answered; nil: nobody looks
	Logger    *slog.Logger                                  // nil: silent
	Now       func() time.Time                              // nil: time.Now
	NewID     func() string                                 // nil: a random UUID
}

// Gateway is the listener and what stands behind it. It is safe for concurrent use.
type Gateway struct {
	cfg     Config
	deriver *operation.Deriver
	server  *http.Server
	ended   chan error
	stop    context.CancelFunc
}

// headerTimeout bounds how long a client may take to say what it wants.
const headerTimeout = 10 * time.Second

// stopGrace is how long calls under way get to finish when the gateway stops.
const stopGrace = 2 * time.Second

// New makes a gateway and, if none is given, its listener: its Endpoint is known from then on.
func New(cfg Config) (*Gateway, error) {
	if cfg.Credentials == nil {
		return nil, errors.New("gateway: Config.Credentials is missing")
	}
	if err := cfg.setDefaults(); err != nil {
		return nil, err
	}
	g := &Gateway{
		cfg:     cfg,
		deriver: operation.New(operation.Config{Region: cfg.Region, Account: cfg.Account, SecretARN: cfg.SecretARN}),
		ended:   make(chan error, 1),
	}
	g.server = &http.Server{
		Handler: g, ReadHeaderTimeout: headerTimeout,
		ErrorLog: slog.NewLogLogger(cfg.Logger.Handler(), slog.LevelWarn),
	}
	return g, nil
}

// Endpoint is the URL to set AWS_ENDPOINT_URL to.
func (g *Gateway) Endpoint() string { return "http://" + g.cfg.Listener.Addr().String() }

// Start begins to serve. The gateway stops when ctx ends or Close is called.
func (g *Gateway) Start(ctx context.Context) error {
	ctx, g.stop = context.WithCancel(ctx)
	failed := make(chan error, 1)
	go func() { failed <- g.server.Serve(g.cfg.Listener) }()
	go func() {
		select {
		case err := <-failed:
			g.ended <- err
		case <-ctx.Done():
			g.ended <- g.shutdown(context.WithoutCancel(ctx))
		}
		close(g.ended)
	}()
	return nil
}

func (g *Gateway) shutdown(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopGrace)
	defer cancel()
	err := g.server.Shutdown(ctx)
	if errors.Is(err, context.DeadlineExceeded) { // somebody holds on: a long poll, say
		err = g.server.Close()
	}
	return err //nolint:wrapcheck // reported by Wait as it is
}

// Wait receives once, when the gateway has ended: why, or nil when it was stopped.
func (g *Gateway) Wait() <-chan error { return g.ended }

// Close stops serving and returns when no call is under way any more.
func (g *Gateway) Close() error {
	if g.stop == nil {
		return g.cfg.Listener.Close() //nolint:wrapcheck // nothing to add
	}
	g.stop()
	return <-g.ended
}

type callKey struct{}

// CallFrom is the call that a service's handler was given; nil outside of one.
func CallFrom(ctx context.Context) *Call {
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}
