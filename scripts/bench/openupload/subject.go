package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

const (
	// giveUp is how long one request may take.
	giveUp = 20 * time.Second
	// tick is the unit of processor times in /proc: proc(5) calls it USER_HZ, and it is
	// the same on all machines that Go runs on.
	tick = 10 * time.Millisecond
)

// subject is a process under measurement, and the Runtime API that it asks for events.
type subject struct {
	name      string
	workspace string
	command   []string
	each      []time.Duration // processor time of a request, by batch

	process *child.Process
	server  *http.Server
	events  chan []byte
	answers chan answer
	sent    atomic.Int64
}

// answer is what came of one event.
type answer struct {
	body []byte
	err  error
}

func (s *subject) start(ctx context.Context, endpoint string) error {
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	s.events, s.answers = make(chan []byte), make(chan answer)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", s.next)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/response", s.response)
	mux.HandleFunc("POST /2018-06-01/runtime/invocation/{id}/error", s.failure)
	mux.HandleFunc("POST /2018-06-01/runtime/init/error", s.failure)
	mux.HandleFunc("POST /{$}", assumeRole)
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: giveUp}
	go s.server.Serve(listener) //nolint:errcheck // it ends when it is closed
	cmd := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	cmd.Env = environment(endpoint, listener.Addr().String())
	if s.process, err = child.Start(cmd); err != nil {
		return fmt.Errorf("start the %s: %w", s.name, err)
	}
	return nil
}

func (s *subject) stop() error {
	var errs []error
	if s.process != nil {
		errs = append(errs, s.process.Stop(time.Second))
	}
	if s.server != nil {
		errs = append(errs, s.server.Close())
	}
	return errors.Join(errs...)
}

// next hands out an event when there is one.
func (s *subject) next(w http.ResponseWriter, r *http.Request) {
	select {
	case event := <-s.events:
		w.Header().Set("Lambda-Runtime-Aws-Request-Id", strconv.FormatInt(s.sent.Load(), 10))
		w.Header().Set("Lambda-Runtime-Deadline-Ms", strconv.FormatInt(time.Now().Add(giveUp).UnixMilli(), 10))
		w.Header().Set("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:"+region+":123456789012:function:bench")
		w.Write(event) //nolint:errcheck // without it there is no answer, which is noticed
	case <-r.Context().Done():
	}
}

func (s *subject) response(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.WriteHeader(http.StatusAccepted)
	s.answers <- answer{body: body, err: err}
}

func (s *subject) failure(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	w.WriteHeader(http.StatusAccepted)
	s.answers <- answer{err: errors.Join(fmt.Errorf("it failed: %s", body), err)}
}

// assumeRole answers the one call of STS that the function makes, at its first request.
func assumeRole(w http.ResponseWriter, _ *http.Request) {
	fmt.Fprintf(w, `<AssumeRoleResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><AssumeRoleResult><Credentials>`+
		`<AccessKeyId>ASIAIOSFODNN7EXAMPLE</AccessKeyId><SecretAccessKey>secret</SecretAccessKey><SessionToken>token</SessionToken>`+
		`<Expiration>%s</Expiration></Credentials></AssumeRoleResult></AssumeRoleResponse>`, time.Now().Add(time.Hour).UTC().Format(time.RFC3339))
}

// batch sends n requests, one after the other, and returns the processor time that they took.
func (s *subject) batch(ctx context.Context, n int) (time.Duration, error) {
	before, err := cpu(s.process.PID())
	if err != nil {
		return 0, err
	}
	for range n {
		if err := s.request(ctx); err != nil {
			return 0, fmt.Errorf("%s: %w\n%s", s.name, err, s.process.Stderr())
		}
	}
	after, err := cpu(s.process.PID())
	return after - before, err
}

func (s *subject) request(ctx context.Context) error {
	event, err := s.event()
	if err != nil {
		return err
	}
	late := time.NewTimer(giveUp)
	defer late.Stop()
	select {
	case s.events <- event:
	case early := <-s.answers:
		return early.err
	case <-s.process.Done():
		return fmt.Errorf("it ended: %w", s.process.Err())
	case <-late.C:
		return errors.New("it does not ask for an event")
	case <-ctx.Done():
		return context.Cause(ctx) //nolint:wrapcheck // the interrupt
	}
	select {
	case got := <-s.answers:
		if got.err == nil && !bytes.Contains(got.body, []byte(`"statusCode":201`)) {
			got.err = fmt.Errorf("it answered %s", got.body)
		}
		return got.err
	case <-s.process.Done():
		return fmt.Errorf("it ended: %w", s.process.Err())
	case <-late.C:
		return errors.New("it does not answer")
	}
}

// event is a request as API Gateway sends it, for a path of its own.
func (s *subject) event() ([]byte, error) {
	number := s.sent.Add(1)
	body, err := json.Marshal(map[string]any{
		"path": fmt.Sprintf("reports/2026/q3-%d.pdf", number), "size": 482113, "contentType": "application/pdf",
		"sha256": "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
	})
	if err != nil {
		return nil, fmt.Errorf("encode a body: %w", err)
	}
	event, err := json.Marshal(map[string]any{
		"version": "2.0", "routeKey": "POST /v1/{proxy+}", "rawPath": "/v1/uploads", "rawQueryString": "", "body": string(body),
		"headers": map[string]string{
			"content-type": "application/json", "content-length": strconv.Itoa(len(body)), "host": "api.example.com",
			"user-agent": "bench", "x-forwarded-for": "192.0.2.1", "x-forwarded-proto": "https", "accept": "*/*",
		},
		"requestContext": map[string]any{
			"accountId": "123456789012", "apiId": "bench", "domainName": "api.example.com", "requestId": strconv.FormatInt(number, 10), "stage": "$default",
			"http": map[string]string{"method": "POST", "path": "/v1/uploads", "protocol": "HTTP/1.1", "sourceIp": "192.0.2.1", "userAgent": "bench"},
			"authorizer": map[string]any{"jwt": map[string]any{"claims": map[string]string{
				"sub": writer, "client_id": "web", "scope": "stowage/read stowage/write", "stowage:workspaces": s.workspace + ":owner",
			}}},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("encode an event: %w", err)
	}
	return event, nil
}

// cpu is the processor time that a process has taken so far.
// https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html
func cpu(pid int) (time.Duration, error) {
	name := fmt.Sprintf("/proc/%d/stat", pid)
	text, err := os.ReadFile(name)
	if err != nil {
		return 0, fmt.Errorf("read its processor time: %w", err)
	}
	// The second field, in brackets, may hold anything; utime and stime are the 14th and 15th.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	if len(fields) < 13 {
		return 0, fmt.Errorf("read its processor time: %s holds %q", name, text)
	}
	var ticks int64
	for _, field := range fields[11:13] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read its processor time from %s: %w", name, err)
		}
		ticks += n
	}
	return time.Duration(ticks) * tick, nil
}
