// Package subject measures a Lambda function, or the same work written in TypeScript, as a
// process of its own, which asks for its events as it does in Lambda. A Comparison has two of
// them take turns.
//
// All that a process takes counts: the loop around its handler, the collection of garbage, the
// compilation of JavaScript where it goes on after the warming up. It needs Linux, which tells
// the processor time and the memory of another process.
package subject

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/child"
)

const (
	// Region is where a subject takes itself to be.
	Region = "eu-central-1"
	// giveUp is how long one event may take.
	giveUp = 30 * time.Second
)

// Config says what to run.
type Config struct {
	Name    string   // in what is printed
	Command []string // of BuildFunction or BuildPeer
	Env     []string // what the templates set, and where the engines are
	// Wanted tells whether an answer is as it should be. Nil: any is.
	Wanted func(answer []byte) bool
}

// Subject is a process under measurement. It takes one event at a time: it is not safe for
// concurrent use.
type Subject struct {
	cfg     Config
	api     *runtimeAPI
	process *child.Process
}

// Start starts the process, which ends on Close, or when ctx ends.
func Start(ctx context.Context, cfg Config) (*Subject, error) {
	api, err := serve(ctx)
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, cfg.Command[0], cfg.Command[1:]...)
	cmd.Env = append([]string{
		"PATH=" + os.Getenv("PATH"),
		"HOME=" + os.Getenv("HOME"),
		"AWS_REGION=" + Region,
		"AWS_LAMBDA_FUNCTION_NAME=bench",
		"AWS_LAMBDA_RUNTIME_API=" + api.address,
	}, cfg.Env...)
	process, err := child.Start(cmd)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("start the %s: %w", cfg.Name, err), api.close())
	}
	return &Subject{cfg: cfg, api: api, process: process}, nil
}

// Close ends the process.
func (s *Subject) Close() error {
	return errors.Join(s.process.Stop(time.Second), s.api.close())
}

// Invoke hands over one event and returns the answer to it. An answer that is not the wanted
// one is an error, and so is more than half a minute without any.
func (s *Subject) Invoke(ctx context.Context, event []byte) ([]byte, error) {
	got, err := s.exchange(ctx, event)
	if err == nil && s.cfg.Wanted != nil && !s.cfg.Wanted(got) {
		err = fmt.Errorf("it answered %s", got)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w\n%s", s.cfg.Name, err, s.process.Stderr())
	}
	return got, nil
}

func (s *Subject) exchange(ctx context.Context, event []byte) ([]byte, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, giveUp, fmt.Errorf("nothing came within %s", giveUp))
	defer cancel()
	select {
	case s.api.events <- event:
	case early := <-s.api.answers: // it failed before it asked
		return early.body, early.err
	case <-s.process.Done():
		return nil, s.ended()
	case <-ctx.Done():
		return nil, fmt.Errorf("it does not ask for an event: %w", context.Cause(ctx))
	}
	select {
	case got := <-s.api.answers:
		return got.body, got.err
	case <-s.process.Done():
		return nil, s.ended()
	case <-ctx.Done():
		return nil, fmt.Errorf("it does not answer: %w", context.Cause(ctx))
	}
}

func (s *Subject) ended() error {
	return fmt.Errorf("it ended with exit code %d", s.process.ExitCode())
}

// CPU is the processor time that the process has taken so far, to 10 ms.
func (s *Subject) CPU() (time.Duration, error) {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.process.PID()))
	if err != nil {
		return 0, fmt.Errorf("read its processor time: %w", err)
	}
	return processorTime(stat)
}

// PeakRSS is the most memory that the process has held so far, in bytes.
func (s *Subject) PeakRSS() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.process.PID()))
	if err != nil {
		return 0, fmt.Errorf("read its memory: %w", err)
	}
	return peakRSS(status)
}
