// Package api is an API Gateway HTTP API (v2) on this machine: routes, JWT authorizers, CORS,
// throttling, access logs and Lambda proxy integrations with payload format 2.0.
//
// It follows https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api.html; where that
// is silent, what others measured on AWS: paths arrive decoded, claims as strings (arrays as
// "[a b]"), a body as text only for text/* and application/json, xml or javascript.
//
// Left out: mutual TLS, other integrations than AWS_PROXY, parameter mapping, custom domains. As on
// AWS, a function goes on when its caller has gone or has been told that it took too long.
package api

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// Limits of an HTTP API and of a synchronous invocation.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-quotas.html
const (
	maxBody           = 10 << 20
	maxHeaders        = 10 << 10
	maxEvent          = 6 << 20
	minTimeout        = 50 * time.Millisecond
	maxTimeout        = 30 * time.Second
	shutdownGrace     = 2 * time.Second
	readHeaderTimeout = 10 * time.Second
)

// Server serves one HTTP API. It is safe for concurrent use.
type Server struct {
	base    Config                     // without what Configure changes
	present atomic.Pointer[definition] // replaced whole
	background

	url  string
	http *http.Server
	done chan struct{} // closed when the listener has ended
}

// background is what goes on beside the requests.
type background struct {
	logMu       sync.Mutex         // one line of the access log at a time
	invocations sync.WaitGroup     // those under way, also when nobody waits for them
	lifetime    context.Context    //nolint:containedctx // of the invocations: the server's, not a request's
	stop        context.CancelFunc // ends lifetime
}

// definition is what an API is declared as, checked.
type definition struct {
	*background
	cfg         Config
	routes      []*route
	authorizers map[string]*authorizer
	stages      map[string]*stage
}

// New checks the configuration; a route, authorizer or format that it does not know is an error.
func New(cfg Config) (*Server, error) {
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Report) {}
	}
	if cfg.NewID == nil {
		cfg.NewID = requestID
	}
	if cfg.Addr == "" {
		cfg.Addr = "127.0.0.1:0"
	}
	s := &Server{base: cfg}
	s.lifetime, s.stop = context.WithCancel(context.Background())
	if err := s.define(cfg); err != nil {
		return nil, err
	}
	return s, nil
}

// Configure replaces the routes, authorizers, stages and CORS of the API, or nothing with an error.
// The rest of cfg is left as it is. Requests under way end as they began; throttles begin anew.
func (s *Server) Configure(cfg Config) error {
	next := s.base
	next.Routes, next.Authorizers, next.Stages, next.CORS = cfg.Routes, cfg.Authorizers, cfg.Stages, cfg.CORS
	return s.define(next)
}

func (s *Server) define(cfg Config) error {
	def := &definition{background: &s.background, cfg: cfg, authorizers: map[string]*authorizer{}, stages: map[string]*stage{}}
	var errs []error
	if cfg.Invoker == nil {
		errs = append(errs, errors.New("Invoker is not set"))
	}
	errs = append(errs, def.compileAuthorizers()...)
	errs = append(errs, def.compileRoutes()...)
	errs = append(errs, def.compileStages()...)
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("API %s: %w", cfg.Name, err)
	}
	s.present.Store(def)
	return nil
}

// Start listens and serves until ctx ends.
func (s *Server) Start(ctx context.Context) error {
	listener := s.base.Listener
	if listener == nil {
		var err error
		if listener, err = new(net.ListenConfig).Listen(ctx, "tcp", s.base.Addr); err != nil {
			return fmt.Errorf("start API %s: %w", s.base.Name, err)
		}
	}
	s.url = "http://" + listener.Addr().String()
	s.http = &http.Server{
		Handler: s, ReadHeaderTimeout: readHeaderTimeout, MaxHeaderBytes: maxHeaders,
		ErrorLog: slog.NewLogLogger(s.base.Logger.Handler(), slog.LevelDebug),
	}
	s.done = make(chan struct{})
	go func() {
		defer close(s.done)
		if err := s.http.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			s.base.Logger.Error("API stopped listening", "api", s.base.Name, "error", err)
		}
	}()
	context.AfterFunc(ctx, func() { _ = s.Close() }) //nolint:contextcheck // ctx is over by then
	return nil
}

// URL is where the API listens, without a trailing slash; known once Start has returned.
func (s *Server) URL() string { return s.url }

// Close stops listening, gives the requests under way a moment, and waits for the invocations to end.
func (s *Server) Close() error {
	var err error
	if s.http != nil {
		ctx, cancel := context.WithTimeout(context.Background(), shutdownGrace)
		defer cancel()
		if err = s.http.Shutdown(ctx); err != nil {
			err = s.http.Close()
		}
		<-s.done
	}
	s.stop()
	s.invocations.Wait()
	if err != nil {
		return fmt.Errorf("close API %s: %w", s.base.Name, err)
	}
	return nil
}

// exchange is one request on its way through.
type exchange struct {
	*http.Request
	id       string
	received time.Time
	trace    Trace
	stage    *stage
	route    *route
	params   map[string]string // path parameters
	token    *token            // nil without authorizer

	answer           answer
	authError        string
	integrationError string
	integrationTime  time.Duration
	invoked          bool
}

// answer is what goes back to the client.
type answer struct {
	status  int
	header  http.Header
	cookies []string
	body    []byte
}

// failure is an answer of the gateway itself.
func failure(status int, message string) answer {
	return answer{
		status: status, header: http.Header{"Content-Type": {"application/json"}},
		body: []byte(`{"message":"` + message + `"}`),
	}
}

// ServeHTTP answers one request.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) { s.present.Load().serve(w, r) }

func (def *definition) serve(w http.ResponseWriter, r *http.Request) {
	ex := &exchange{Request: r, id: def.cfg.NewID(), received: def.cfg.Now()}
	ex.trace = def.newTrace(ex)
	ex.answer = def.handle(r.Context(), ex)
	def.applyCORS(ex)
	h := w.Header()
	for name, values := range ex.answer.header {
		h[name] = values
	}
	for _, c := range ex.answer.cookies {
		h.Add("Set-Cookie", c)
	}
	h.Set("Apigw-Requestid", ex.id)
	h.Set("Content-Length", fmt.Sprint(len(ex.answer.body)))
	if ex.answer.status == http.StatusNoContent || ex.answer.status == http.StatusNotModified {
		h.Del("Content-Length")
	}
	w.WriteHeader(ex.answer.status)
	if r.Method != http.MethodHead {
		if _, err := w.Write(ex.answer.body); err != nil && !errors.Is(err, http.ErrBodyNotAllowed) {
			def.cfg.Logger.Debug("answer could not be written", "requestId", ex.id, "error", err)
		}
	}
	def.logAccess(ex)
	def.cfg.Observe(def.report(ex))
}

func (def *definition) handle(ctx context.Context, ex *exchange) answer {
	path, ok := def.findStage(ex)
	if !ok {
		return failure(http.StatusNotFound, "Not Found")
	}
	def.findRoute(ex, path)
	if ex.route == nil && def.cfg.CORS != nil && isPreflight(ex.Request) {
		return def.preflight(ex)
	}
	if ex.route == nil {
		return failure(http.StatusNotFound, "Not Found")
	}
	if !ex.stage.allow(ex.route, ex.received) {
		return failure(http.StatusTooManyRequests, "Too Many Requests")
	}
	if refusal := def.authorize(ctx, ex); refusal != nil {
		return *refusal
	}
	body, err := io.ReadAll(io.LimitReader(ex.Body, maxBody+1))
	if err != nil {
		return failure(http.StatusBadRequest, "Bad Request")
	}
	if len(body) > maxBody {
		return failure(http.StatusRequestEntityTooLarge, "Request Entity Too Large")
	}
	event, err := def.newEvent(ex, body)
	if err != nil {
		def.cfg.Logger.Error("event could not be encoded", "route", ex.route.Key, "requestId", ex.id, "error", err)
		return failure(http.StatusInternalServerError, "Internal Server Error")
	}
	if len(event) > maxEvent {
		return failure(http.StatusRequestEntityTooLarge, "Request Entity Too Large")
	}
	return def.integrate(ex, event) //nolint:contextcheck // the function goes on when its caller has left
}

// findStage picks the stage that the first segment names, or $default, and the path below it.
func (def *definition) findStage(ex *exchange) (path string, ok bool) {
	first, rest, _ := strings.Cut(strings.TrimPrefix(ex.URL.Path, "/"), "/")
	if st, named := def.stages[first]; named && first != defaultStage {
		ex.stage = st
		return "/" + rest, true
	}
	ex.stage, ok = def.stages[defaultStage]
	return ex.URL.Path, ok
}

// permit asks whether the route may invoke its function.
// https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html
func (def *definition) permit(ex *exchange) error {
	if def.cfg.Permit == nil {
		return nil
	}
	source := "arn:aws:execute-api:" + def.cfg.Region + ":" + def.cfg.Account + ":" + def.cfg.ID + "/" + ex.stage.Name + "/"
	if method, path, ok := strings.Cut(ex.route.Key, " "); ok {
		source += strings.Replace(method, "ANY", "*", 1) + path
	} else {
		source += ex.route.Key
	}
	return def.cfg.Permit(def.lifetime, source, ex.route.Integration.FunctionARN)
}

// integrate invokes the function and waits for it, at most as long as the integration may take.
func (def *definition) integrate(ex *exchange, event []byte) answer {
	type outcome struct {
		payload       []byte
		functionError string
		err           error
	}
	log := def.cfg.Logger.With("route", ex.route.Key, "function", ex.route.Integration.FunctionARN, "requestId", ex.id)
	answered := make(chan outcome, 1)
	begin := def.cfg.Now()
	ex.invoked = true
	def.invocations.Go(func() {
		var o outcome
		if o.err = def.permit(ex); o.err == nil {
			o.payload, o.functionError, o.err = def.cfg.Invoker.Invoke(xray.WithHeader(def.lifetime, ex.trace.Header.Under(ex.trace.Segment)), ex.route.Integration.FunctionARN, event)
		}
		answered <- o
	})
	limit := time.NewTimer(ex.route.timeout)
	defer limit.Stop()
	select {
	case o := <-answered:
		ex.integrationTime = def.cfg.Now().Sub(begin)
		switch {
		case o.err != nil:
			ex.integrationError = o.err.Error()
			log.Error("function could not be invoked", "error", o.err)
		case o.functionError != "":
			ex.integrationError = "The function failed: " + o.functionError
			log.Error("function failed", "functionError", o.functionError)
		default:
			a, err := parseAnswer(o.payload)
			if err == nil {
				return a
			}
			ex.integrationError = err.Error()
			log.Error("function answered what is no response", "error", err)
		}
		return failure(http.StatusInternalServerError, "Internal Server Error")
	case <-limit.C:
		ex.integrationTime = def.cfg.Now().Sub(begin)
		ex.integrationError = "Endpoint request timed out"
		log.Error("function did not answer in time", "timeout", ex.route.timeout)
		return failure(http.StatusServiceUnavailable, "Service Unavailable")
	}
}

// requestID looks like those of API Gateway.
func requestID() string {
	raw := make([]byte, 10)
	_, _ = rand.Read(raw) // never fails
	return base64.StdEncoding.EncodeToString(raw)
}
