package httpapi

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"time"

	"github.com/stowage-dev/stowage/shared/fault"
)

// MaxBodyBytes is the largest request body. Objects never pass through a request.
const MaxBodyBytes = 1 << 20

// requestIDHeader carries the request's id in every answer.
const requestIDHeader = "X-Request-Id"

// Options configures Wrap.
type Options struct {
	Log *slog.Logger
	// NewID makes the id of a request that comes without one.
	NewID func() string
	Now   func() time.Time
}

// Wrap gives a mux what every request needs: an id, a bounded body, problems instead of
// the mux's own plain-text answers, an answer when a handler panics, headers that keep
// answers from being sniffed or cached, and one log line with the route, the status and
// the time taken.
func Wrap(mux *http.ServeMux, opts Options) http.Handler {
	return &wrapped{mux: mux, opts: opts}
}

type wrapped struct {
	mux  *http.ServeMux
	opts Options
}

func (h *wrapped) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	begun, ctx := h.opts.Now(), r.Context()
	id := RequestID(ctx)
	if id == "" {
		id = h.opts.NewID()
		ctx = WithRequestID(ctx, id)
	}
	w.Header().Set(requestIDHeader, id)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store") // answers hold signed URLs and private names
	watched := &statusWriter{ResponseWriter: w}
	line := &logLine{attrs: []slog.Attr{slog.String("httpRequestId", id)}}
	ctx = context.WithValue(ctx, logLineKey{}, line)
	r = r.WithContext(ctx)
	handler, route := h.route(r)
	defer h.finish(ctx, watched, line, route, begun)
	body, err := bufferBody(r)
	if err != nil {
		ProblemOf(ctx, err).Write(watched)
		return
	}
	handler.ServeHTTP(watched, r.WithContext(context.WithValue(ctx, bodyKey{}, body)))
}

// route finds the handler, and its pattern for the log. A path that the mux would
// redirect to its clean form is not one of this API's.
func (h *wrapped) route(r *http.Request) (handler http.Handler, route string) {
	if clean := path.Clean(r.URL.Path); clean != r.URL.Path {
		return notFound(), "none"
	}
	if _, pattern := h.mux.Handler(r); pattern != "" {
		return h.mux, pattern // the mux itself, because it sets the path's values
	}
	return http.HandlerFunc(h.unrouted), "none"
}

// unrouted answers 405 where another method has a route, else 404.
func (h *wrapped) unrouted(w http.ResponseWriter, r *http.Request) {
	plain := &answer{header: http.Header{}}
	h.mux.ServeHTTP(plain, r)
	allow := plain.header.Get("Allow")
	if allow == "" {
		notFound().ServeHTTP(w, r)
		return
	}
	p := NewProblem(r.Context(), MethodNotAllowed, "this path allows "+allow)
	p.Headers = http.Header{"Allow": {allow}}
	p.Write(w)
}

func notFound() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		NewProblem(r.Context(), fault.NotFound, "no route has this path").Write(w)
	})
}

// finish is deferred: it answers when the handler has panicked, and writes the log line.
func (h *wrapped) finish(ctx context.Context, w *statusWriter, line *logLine, route string, begun time.Time) {
	if cause := recover(); cause != nil {
		Annotate(ctx, slog.Any("panic", cause), slog.String("stack", string(debug.Stack())))
		if w.status == 0 {
			NewProblem(ctx, fault.Internal, "").Write(w)
		}
	}
	level := slog.LevelInfo
	if w.status >= http.StatusInternalServerError {
		level = slog.LevelError
	}
	h.opts.Log.LogAttrs(ctx, level, "request", append(line.attrs,
		slog.String("route", route),
		slog.Int("status", w.status),
		slog.Float64("millis", float64(h.opts.Now().Sub(begun))/float64(time.Millisecond)))...)
}

type logLineKey struct{}

// logLine gathers what a request's one log line says.
type logLine struct{ attrs []slog.Attr }

// Annotate adds to the log line of the request of ctx: never a token, a URL, a name that a
// client chose, or a body. It must be called from the goroutine that serves the request.
func Annotate(ctx context.Context, attrs ...slog.Attr) {
	if line, ok := ctx.Value(logLineKey{}).(*logLine); ok {
		line.attrs = append(line.attrs, attrs...)
	}
}

type bodyKey struct{}

// Body returns the body of the request of ctx as it was sent. It is not to be changed.
func Body(ctx context.Context) []byte {
	body, _ := ctx.Value(bodyKey{}).([]byte)
	return body
}

// bufferBody reads the whole body, which in Lambda is in memory already, so that a limit
// is a limit whoever reads it.
func bufferBody(r *http.Request) ([]byte, error) {
	if r.Body == nil || r.Body == http.NoBody {
		return nil, nil
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, MaxBodyBytes+1))
	if err := errors.Join(err, r.Body.Close()); err != nil {
		return nil, fault.Wrap(fault.InvalidArgument, err, "the body could not be read to its end")
	}
	if len(body) > MaxBodyBytes {
		return nil, fault.New(fault.TooLarge, "the request body is larger than %d bytes; objects are sent to storage, not here", MaxBodyBytes).
			With("limit", MaxBodyBytes)
	}
	r.Body = io.NopCloser(bytes.NewReader(body))
	r.ContentLength = int64(len(body))
	return body, nil
}

// statusWriter remembers the status.
type statusWriter struct {
	http.ResponseWriter
	status int
}

func (w *statusWriter) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
		w.ResponseWriter.WriteHeader(status)
	}
}

func (w *statusWriter) Write(p []byte) (int, error) {
	w.WriteHeader(http.StatusOK)
	return w.ResponseWriter.Write(p) //nolint:wrapcheck // a writer passes its inner writer's error on
}

// Unwrap serves http.ResponseController.
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
