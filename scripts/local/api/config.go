package api

import (
	"context"
	"crypto/rsa"
	"io"
	"log/slog"
	"net"
	"time"
)

// Config describes one HTTP API. Invoker is required, and Keys when a route has an authorizer.
type Config struct {
	ID      string
	Name    string
	Account string
	Region  string

	Routes      []Route
	Authorizers []JWTAuthorizer
	CORS        *CORS // nil: the API does nothing about CORS
	Stages      []Stage

	// Addr is the address to listen on. Empty: 127.0.0.1 and a free port.
	Addr string
	// Listener is used in place of Addr when it is set; Start takes it over.
	Listener net.Listener

	Invoker   Invoker
	Keys      KeySource
	AccessLog io.Writer // receives the lines of stages that have a format. Nil: none
	// Permit says why the API may not invoke a function for a route, whose ARN is the source. Nil: it may.
	Permit func(ctx context.Context, source, functionARN string) error
	// Observe is told of every request that has been answered. It must not block.
	Observe func(Report)
	Logger  *slog.Logger
	Now     func() time.Time // nil: time.Now
	NewID   func() string    // request ids. Nil: random
}

// Invoker calls a Lambda function and waits for its answer. functionError is what Lambda puts into
// X-Amz-Function-Error; err says that the invocation itself was not possible (throttled, not found).
type Invoker interface {
	Invoke(ctx context.Context, functionARN string, payload []byte) (answer []byte, functionError string, err error)
}

// KeySource finds the public key with which an issuer signs.
type KeySource interface {
	VerificationKey(ctx context.Context, issuer, keyID string) (*rsa.PublicKey, error)
}

// Route connects a route key such as "GET /v1/objects/{id}", "ANY /{proxy+}" or "$default" with an
// integration.
type Route struct {
	Key         string
	Integration Integration
	Authorizer  string   // name of a JWTAuthorizer; empty: open
	Scopes      []string // one of them must be in the token; empty: any valid token will do
}

// Integration is an AWS_PROXY integration with a Lambda function, payload format 2.0.
type Integration struct {
	FunctionARN string
	Timeout     time.Duration // 50 ms to 30 s. Zero: 30 s
}

// JWTAuthorizer checks the bearer token of a request.
type JWTAuthorizer struct {
	Name           string
	Issuer         string
	Audience       []string
	IdentitySource []string // empty: $request.header.Authorization
}

// CORS is the CORS configuration of the API, with AWS's names.
type CORS struct {
	AllowOrigins     []string
	AllowMethods     []string
	AllowHeaders     []string
	ExposeHeaders    []string
	AllowCredentials bool
	MaxAge           time.Duration
}

// Stage is a deployed stage. The one named $default is served at the root, others below their name.
type Stage struct {
	Name            string
	Throttle        Throttle            // of each route that has none of its own
	RouteThrottles  map[string]Throttle // by route key
	AccessLogFormat string              // with $context variables; empty: no access log
	Variables       map[string]string
}

// Throttle limits requests. The zero value does not; where one field is set, the other one's zero
// is the account's default on AWS (10,000 a second, burst 5,000).
type Throttle struct {
	Rate  float64 // requests a second
	Burst int
}
