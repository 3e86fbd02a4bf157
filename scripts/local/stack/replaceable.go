package stack

import (
	"net/http"
	"sync/atomic"
)

// replaceable is a handler that can be replaced while it serves.
type replaceable struct{ present atomic.Pointer[http.Handler] }

func (r *replaceable) replace(h http.Handler) { r.present.Store(&h) }

// ServeHTTP implements http.Handler.
func (r *replaceable) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	(*r.present.Load()).ServeHTTP(w, req)
}
