package main

import (
	"bytes"
	"context"
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
	// giveUp is how long one batch may take.
	giveUp = 30 * time.Second
	// tick is the unit of processor times in /proc: proc(5) calls it USER_HZ, and it is
	// the same on all machines that Go runs on.
	tick = 10 * time.Millisecond
	// batchSize is how many messages an invocation gets: what the template says.
	batchSize = 10
)

// subject is a process under measurement, and the Runtime API that it asks for events.
type subject struct {
	name      string
	workspace string
	command   []string
	engines   *engines
	each      []time.Duration // processor time of an event, by round

	process *child.Process
	server  *http.Server
	events  chan []byte
	answers chan answer
	sent    atomic.Int64
}

// answer is what came of one batch.
type answer struct {
	body []byte
	err  error
}

// start starts the process with the engines at the given URLs.
func (s *subject) start(ctx context.Context, dynamodbURL, s3URL string) error {
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
	s.server = &http.Server{Handler: mux, ReadHeaderTimeout: giveUp}
	go s.server.Serve(listener) //nolint:errcheck // it ends when it is closed
	cmd := exec.CommandContext(ctx, s.command[0], s.command[1:]...)
	cmd.Env = s.engines.environment(listener.Addr().String(), dynamodbURL, s3URL)
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

// round has the subject ingest n batches of new objects, one after the other, and returns
// the processor time that an object took.
func (s *subject) round(ctx context.Context, n int) (time.Duration, error) {
	batches := make([][]arrived, n)
	for i := range batches {
		for range batchSize {
			o, err := s.engines.put(ctx, s.workspace, s.sent.Add(1))
			if err != nil {
				return 0, err
			}
			batches[i] = append(batches[i], o)
		}
	}
	before, err := cpu(s.process.PID())
	if err != nil {
		return 0, err
	}
	for _, b := range batches {
		if err := s.ingest(ctx, b); err != nil {
			return 0, fmt.Errorf("%s: %w\n%s", s.name, err, s.process.Stderr())
		}
	}
	after, err := cpu(s.process.PID())
	return (after - before) / time.Duration(n*batchSize), err
}

// ingest hands the subject one batch, none of which may come back.
func (s *subject) ingest(ctx context.Context, objects []arrived) error {
	text, err := event(objects)
	if err != nil {
		return err
	}
	late := time.NewTimer(giveUp)
	defer late.Stop()
	select {
	case s.events <- text:
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
		if got.err == nil && !bytes.Equal(bytes.ReplaceAll(got.body, []byte(" "), nil), []byte(`{"batchItemFailures":[]}`)) {
			got.err = fmt.Errorf("it answered %s", got.body)
		}
		return got.err
	case <-s.process.Done():
		return fmt.Errorf("it ended: %w", s.process.Err())
	case <-late.C:
		return errors.New("it does not answer")
	}
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

// peakRSS is the most memory that a process has held so far, in bytes.
// https://man7.org/linux/man-pages/man5/proc_pid_status.5.html
func peakRSS(pid int) (int64, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, fmt.Errorf("read its memory: %w", err)
	}
	for line := range strings.Lines(string(text)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(value), "kB")), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read its memory from %q: %w", line, err)
			}
			return kib << 10, nil
		}
	}
	return 0, errors.New("read its memory: the kernel does not tell VmHWM")
}
