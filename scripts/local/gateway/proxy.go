package gateway

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"time"
)

// copyBuffer is how much of a body is copied at once: with 32 KB, a PUT is half as fast. At most
// maxBuffers of that size are in use; whoever comes then copies by smallBuffer.
const (
	copyBuffer  = 256 << 10
	maxBuffers  = 32
	smallBuffer = 32 << 10
)

// maxIdle is how many connections to an engine are kept for the next calls.
const maxIdle = 256

// NewProxy makes the handler for an engine that speaks AWS's protocol at a URL of its own. Requests
// reach it as they were signed. When it cannot be reached, callers get a 503 that they may retry.
func NewProxy(endpoint string) (http.Handler, error) {
	target, err := url.Parse(endpoint)
	if err != nil {
		return nil, fmt.Errorf("gateway: engine's URL: %w", err)
	}
	if target.Scheme != "http" || target.Host == "" {
		return nil, fmt.Errorf("gateway: the engine's URL %q is not http://<host>:<port>", endpoint)
	}
	return &proxy{relay: &relay{address: target.Host, idle: make(chan *engineConn, maxIdle)}, forward: &httputil.ReverseProxy{
		Rewrite: func(p *httputil.ProxyRequest) {
			p.Out.URL.Scheme, p.Out.URL.Host = target.Scheme, target.Host
			p.Out.URL.RawQuery = p.In.URL.RawQuery // the signature covers it as it is
			p.Out.Host = p.In.Host                 // likewise
			if host, _, err := net.SplitHostPort(p.In.RemoteAddr); err == nil {
				p.Out.Header.Set("X-Forwarded-For", host)
			}
		},
		Transport: &http.Transport{
			DisableCompression:    true,
			ExpectContinueTimeout: time.Second,
			MaxIdleConns:          maxIdle,
			MaxIdleConnsPerHost:   maxIdle,
		},
		BufferPool:   newBuffers(),
		ErrorLog:     log.New(io.Discard, "", 0), // what it says, the client sees
		ErrorHandler: unreachable,
	}}, nil
}

// proxy passes requests on to an engine.
type proxy struct {
	relay   *relay
	forward *httputil.ReverseProxy
}

// ServeHTTP implements http.Handler.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if body, ok := relayed(r); ok {
		p.relay.serve(w, r, body)
		return
	}
	p.forward.ServeHTTP(w, r)
}

// unreachable answers for an engine that does not.
func unreachable(w http.ResponseWriter, r *http.Request, err error) {
	c := CallFrom(r.Context())
	if c == nil || r.Context().Err() != nil {
		w.WriteHeader(http.StatusBadGateway) // the client has gone: nobody reads it
		return
	}
	c.logger.Warn("an engine could not be reached", "service", c.Service, "operation", c.Name, "error", err)
	WriteError(w, c, &Denial{
		Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable",
		Message: fmt.Sprintf("The local engine of %s cannot be reached.", c.Service),
	})
}

// buffers lends copy buffers.
type buffers struct{ large chan []byte }

func newBuffers() *buffers {
	b := &buffers{large: make(chan []byte, maxBuffers)}
	for range maxBuffers {
		b.large <- nil // made when it is needed
	}
	return b
}

// Get implements httputil.BufferPool.
func (b *buffers) Get() []byte {
	select {
	case p := <-b.large:
		if p == nil {
			p = make([]byte, copyBuffer)
		}
		return p
	default:
		return make([]byte, smallBuffer)
	}
}

// Put implements httputil.BufferPool.
func (b *buffers) Put(p []byte) {
	if len(p) == copyBuffer {
		b.large <- p
	}
}
