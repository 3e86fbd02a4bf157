package issuer

import (
	"context"
	"log/slog"
	"net"
	"time"
)

// Config describes the user pools. StateDir is required, and Invoke when a pool has a trigger.
type Config struct {
	Region string
	Pools  []Pool

	// StateDir holds the signing keys and client secrets, readable by their owner only.
	StateDir string
	// Addr is the address to listen on. Empty: 127.0.0.1 and a free port.
	Addr string
	// Listener is used in place of Addr when it is set; Start takes it over.
	Listener net.Listener

	// Invoke calls a Lambda function synchronously; a function error is an error.
	Invoke func(ctx context.Context, functionARN string, event []byte) ([]byte, error)

	Logger *slog.Logger
	Now    func() time.Time // nil: time.Now
	NewID  func() string    // jti, origin_jti, event_id. Nil: a random UUID
}

// Pool is a user pool.
type Pool struct {
	ID              string // <region>_<9 characters>
	ARN             string
	Trigger         *PreTokenGeneration
	Clients         []Client
	ResourceServers []ResourceServer
}

// PreTokenGeneration is the trigger that may change a token before it is signed.
type PreTokenGeneration struct {
	FunctionARN string
	Version     string // V1_0, V2_0 or V3_0
}

// Client is an app client of a pool.
type Client struct {
	ID             string
	Name           string
	GenerateSecret bool          // a secret is made once and kept in the state directory
	Flows          []string      // allowed OAuth flows: client_credentials, code, implicit
	Scopes         []string      // allowed OAuth scopes
	AccessTokenTTL time.Duration // zero: one hour
}

// ResourceServer declares custom scopes; a token carries them as <Identifier>/<scope>.
type ResourceServer struct {
	Identifier string
	Scopes     []string
}

// MintRequest asks for an access token of a user without signing in.
type MintRequest struct {
	Pool           string // pool id; empty: the only pool
	ClientID       string // empty: the first client of the pool
	Sub            string
	Username       string // empty: Sub
	Groups         []string
	Scopes         []string          // full names: <resource server>/<scope>
	UserAttributes map[string]string // shown to the trigger
	ClientMetadata map[string]string // shown to the trigger
	TTL            time.Duration     // zero: the client's
}
