// Package httpapi is what an HTTP API on Lambda needs around net/http: an adapter from API
// Gateway's payload 2.0 to an http.Handler, the caller's claims, RFC 9457 problems made
// from shared/fault, request ids, body limits, and JSON read strictly.
//
// A handler built with it is an http.Handler: Lambda calls it through Gateway, a test
// through httptest.
//
//	mux := http.NewServeMux()
//	// … routes …
//	handler := httpapi.Wrap(mux, httpapi.Options{Log: log, NewID: newID, Now: time.Now})
//	gateway := httpapi.NewGateway(handler)
//
// Nothing here logs a path, a query, a header or a body: they may hold names, tokens and
// signed URLs. What is logged is the route's pattern.
//
// All types are safe for concurrent use. No IAM action is needed.
package httpapi
