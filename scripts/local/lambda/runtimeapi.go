package lambda

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"time"
)

// headerTimeout bounds how long a process may take over the header of a request.
const headerTimeout = 10 * time.Second

// runtimeAPI serves the Lambda Runtime API of all functions. Each process has a
// path of its own, /fn/<token>, which is what AWS_LAMBDA_RUNTIME_API gives it.
// Source: https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type runtimeAPI struct {
	host    *Host
	address string
	server  *http.Server
	served  chan struct{}
}

func startRuntimeAPI(h *Host) (*runtimeAPI, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("open the Lambda Runtime API: %w", err)
	}
	api := &runtimeAPI{host: h, address: listener.Addr().String(), served: make(chan struct{})}
	api.server = &http.Server{
		Handler:           api.routes(),
		ReadHeaderTimeout: headerTimeout,
		ErrorLog:          slog.NewLogLogger(h.cfg.Logger.Handler(), slog.LevelDebug),
	}
	go func() {
		defer close(api.served)
		if err := api.server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			h.cfg.Logger.Error("the Lambda Runtime API stopped", "error", err)
		}
	}()
	return api, nil
}

func (a *runtimeAPI) close() error {
	err := a.server.Close()
	<-a.served
	if err != nil {
		return fmt.Errorf("close the Lambda Runtime API: %w", err)
	}
	return nil
}

func (a *runtimeAPI) routes() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, serve func(*instance, http.ResponseWriter, *http.Request)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			inst := a.instance(r.PathValue("token"))
			if inst == nil {
				refuse(w, http.StatusForbidden, "UnknownInstance", "no process of a function has this path")
				return
			}
			serve(inst, w, r)
		})
	}
	const runtime, extension = "/fn/{token}/2018-06-01/runtime/", "/fn/{token}/2020-01-01/extension/"
	handle("GET "+runtime+"invocation/next", a.next)
	handle("POST "+runtime+"invocation/{id}/response", a.response)
	handle("POST "+runtime+"invocation/{id}/error", a.invocationError)
	handle("POST "+runtime+"init/error", a.initError)
	handle("POST "+extension+"register", a.registerExtension)
	handle("GET "+extension+"event/next", a.nextEvent)
	return mux
}

func (a *runtimeAPI) instance(token string) *instance {
	a.host.mu.Lock()
	defer a.host.mu.Unlock()
	return a.host.instances[token]
}

func (a *runtimeAPI) next(inst *instance, w http.ResponseWriter, r *http.Request) {
	inv := inst.next(r.Context().Done())
	if inv == nil {
		return
	}
	header := w.Header()
	header["Content-Type"] = []string{"application/json"}
	header["Content-Length"] = []string{strconv.Itoa(len(inv.payload))}
	header["Lambda-Runtime-Aws-Request-Id"] = []string{inv.requestID}
	header["Lambda-Runtime-Trace-Id"] = []string{inv.trace.runtime()}
	header["Lambda-Runtime-Invoked-Function-Arn"] = []string{inst.fn.arn}
	deadline := time.Now().Add(inv.timeout) // the process compares it with the same clock
	header["Lambda-Runtime-Deadline-Ms"] = []string{strconv.FormatInt(deadline.UnixMilli(), 10)}
	w.WriteHeader(http.StatusOK)
	// A process that does not read its work is found out by its end or its time-out.
	_, _ = w.Write(inv.payload)
}

func (a *runtimeAPI) response(inst *instance, w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	if !inst.serving(id) {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "the request id is not that of the invocation under way")
		return
	}
	body, err := readBody(r)
	if err != nil {
		// The process broke off its answer; its end is reported when it comes.
		refuse(w, http.StatusBadRequest, "InvalidRequest", "the answer was cut short")
		return
	}
	if len(body) > MaxResponse {
		inst.answer(id, failure(errorTooLarge,
			fmt.Sprintf("Response payload size exceeded maximum allowed payload size (%d bytes).", MaxResponse)))
		refuse(w, http.StatusRequestEntityTooLarge, "RequestEntityTooLarge",
			fmt.Sprintf("Exceeded maximum allowed payload size (%d bytes).", MaxResponse))
		return
	}
	end := outcome{payload: body}
	if errorType := r.Trailer.Get("Lambda-Runtime-Function-Error-Type"); errorType != "" {
		end = streamFailure(errorType, r.Trailer.Get("Lambda-Runtime-Function-Error-Body"))
	}
	a.accept(inst, id, end, w, r)
}

// streamFailure is an answer whose reader failed after it had begun.
func streamFailure(errorType, encodedBody string) outcome {
	payload, err := base64.StdEncoding.DecodeString(encodedBody)
	if err != nil || len(payload) == 0 {
		payload = functionError(errorType, "")
	}
	return outcome{payload: payload, functionError: statusUnhandled}
}

func (a *runtimeAPI) invocationError(inst *instance, w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil || len(body) > MaxResponse {
		refuse(w, http.StatusBadRequest, "InvalidRequest", "the error could not be read")
		return
	}
	a.accept(inst, r.PathValue("id"), outcome{payload: body, functionError: statusUnhandled}, w, r)
}

// accept ends the invocation first and answers the process then: whoever invoked
// has waited longer.
func (a *runtimeAPI) accept(inst *instance, id string, end outcome, w http.ResponseWriter, r *http.Request) {
	if inst.serving(id) && !inst.takesAnswer() {
		<-r.Context().Done() // until the process is gone: it is not to hear anything
		return
	}
	if !inst.answer(id, end) {
		refuse(w, http.StatusBadRequest, "InvalidRequestID", "the request id is not that of the invocation under way")
		return
	}
	accepted(w)
}

func (a *runtimeAPI) initError(inst *instance, w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	if err != nil || len(body) == 0 || len(body) > MaxResponse {
		body = functionError("Runtime.InitError", "the function said that it cannot initialize, and not why")
	}
	inst.initFailure.Store(&outcome{payload: body, functionError: statusUnhandled, reset: true})
	accepted(w)
}

// registerExtension serves lambda.WithEnableSIGTERM, which registers for no event.
func (a *runtimeAPI) registerExtension(inst *instance, w http.ResponseWriter, _ *http.Request) {
	inst.extension.Store(true)
	w.Header().Set("Lambda-Extension-Identifier", a.host.cfg.NewID())
	writeJSON(w, http.StatusOK, `{"functionName":"`+inst.fn.name+`","functionVersion":"`+latestVersion+`","handler":"`+inst.config.Handler+`"}`)
}

// nextEvent never comes back for an extension that registered for no event.
func (a *runtimeAPI) nextEvent(_ *instance, _ http.ResponseWriter, r *http.Request) {
	<-r.Context().Done()
}

// readBody reads at most one byte more than an answer may have.
func readBody(r *http.Request) ([]byte, error) {
	if n := r.ContentLength; n >= 0 && n <= MaxResponse {
		body := make([]byte, n)
		_, err := io.ReadFull(r.Body, body)
		return body, err //nolint:wrapcheck // only its presence matters
	}
	return io.ReadAll(io.LimitReader(r.Body, MaxResponse+1)) //nolint:wrapcheck // only its presence matters
}

func accepted(w http.ResponseWriter) { writeJSON(w, http.StatusAccepted, `{"status":"OK"}`) }

func refuse(w http.ResponseWriter, status int, errorType, message string) {
	writeJSON(w, status, string(functionError(errorType, message)))
}

func writeJSON(w http.ResponseWriter, status int, body string) {
	w.Header()["Content-Type"] = []string{"application/json"}
	w.WriteHeader(status)
	_, _ = io.WriteString(w, body) // the process is gone when this fails
}
