package gateway

import (
	"context"
	"net/http"
)

// Gateway is the listener and what stands behind it. It is safe for concurrent use.
type Gateway struct {
	cfg Config
}

// New makes a gateway and its listener, if none is given: its Endpoint is known from then on.
func New(cfg Config) (*Gateway, error) { return &Gateway{cfg: cfg}, nil }

// Endpoint is the URL to set AWS_ENDPOINT_URL to.
func (g *Gateway) Endpoint() string { return "http://" + g.cfg.Listener.Addr().String() }

// Start begins to serve; the gateway stops when ctx ends.
func (g *Gateway) Start(ctx context.Context) error { return nil }

// Close stops serving: calls under way get a moment to finish.
func (g *Gateway) Close() error { return nil }

// ServeHTTP serves one call.
func (g *Gateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {}

// NewProxy makes the handler for an engine that speaks AWS's protocol at a URL of its own.
func NewProxy(endpoint string) (http.Handler, error) { return nil, nil }

// CallFrom is the call that a service's handler was given; nil outside of one.
func CallFrom(ctx context.Context) *Call { return nil }
