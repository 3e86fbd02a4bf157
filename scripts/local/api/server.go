// Package api is an API Gateway HTTP API (v2) on this machine.
package api

import (
	"context"
	"net/http"
)

// Server serves one HTTP API. It is safe for concurrent use.
type Server struct {
	cfg Config
}

// New checks the configuration; a route, authorizer or format that it does not know is an error.
func New(cfg Config) (*Server, error) { return &Server{cfg: cfg}, nil }

// Start listens and serves until ctx ends.
func (s *Server) Start(ctx context.Context) error { return nil }

// URL is where the API listens, without a trailing slash; known once Start has returned.
func (s *Server) URL() string { return "" }

// Close stops listening and waits for the requests under way.
func (s *Server) Close() error { return nil }

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {}
