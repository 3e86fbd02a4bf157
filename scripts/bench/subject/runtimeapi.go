package subject

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"
)

// runtimeAPI is the Runtime API of one process: it hands out what is sent to events, and sends
// to answers what came of each.
// https://docs.aws.amazon.com/lambda/latest/dg/runtimes-api.html
type runtimeAPI struct {
	address string
	events  chan []byte
	answers chan answer
	server  *http.Server
	handed  atomic.Int64
}

// answer is what came of one event.
type answer struct {
	body []byte
	err  error
}

func serve(ctx context.Context) (*runtimeAPI, error) {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	mux := http.NewServeMux()
	a := &runtimeAPI{
		address: listener.Addr().String(), events: make(chan []byte), answers: make(chan answer),
		server: &http.Server{Handler: mux, ReadHeaderTimeout: giveUp},
	}
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", a.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", a.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", a.failure)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", a.failure)
	go a.server.Serve(listener) //nolint:errcheck // it ends when it is closed
	return a, nil
}

func (a *runtimeAPI) close() error {
	if err := a.server.Close(); err != nil {
		return fmt.Errorf("close the Runtime API: %w", err)
	}
	return nil
}

// next hands out an event when there is one.
func (a *runtimeAPI) next(w http.ResponseWriter, r *http.Request) {
	select {
	case event := <-a.events:
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", strconv.FormatInt(a.handed.Add(1), 10))
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(giveUp).UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+Region+":123456789012:function:bench")
		w.Write(event) //nolint:errcheck // without it there is no answer, which is noticed
	case <-r.Context().Done():
	}
}

func (a *runtimeAPI) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	a.take(w, r, answer{body: body, err: err})
}

func (a *runtimeAPI) failure(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	a.take(w, r, answer{err: errors.Join(fmt.Errorf("it failed: %s", body), err)})
}

// take passes an answer on, unless the process goes away before it is wanted.
func (a *runtimeAPI) take(w http.ResponseWriter, r *http.Request, got answer) {
	w.WriteHeader(http.StatusAccepted)
	select {
	case a.answers <- got:
	case <-r.Context().Done():
	}
}
