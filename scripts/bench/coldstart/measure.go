package main

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"os/exec"
	"slices"
	"time"
)

// giveUp is how long a function may take to ask for an invocation.
const giveUp = 10 * time.Second

// series is the start-up times of one binary.
type series []time.Duration

func (s series) median() time.Duration {
	sorted := slices.Sorted(slices.Values(s))
	return sorted[len(sorted)/2]
}

func (s series) least() time.Duration { return slices.Min(s) }

func millis(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// measure starts every binary in turn, runs times. A first round, which reads the
// binaries from the disk, does not count.
func measure(ctx context.Context, subjects []subject, runs int) ([]series, error) {
	api, err := listen(ctx)
	if err != nil {
		return nil, err
	}
	defer api.close()
	times := make([]series, len(subjects))
	for round := range runs + 1 {
		for i, s := range subjects {
			d, err := api.start(ctx, s.program)
			if err != nil {
				return nil, fmt.Errorf("start %s (%s): %w", s.function, s.variant.name, err)
			}
			if round > 0 {
				times[i] = append(times[i], d)
			}
		}
	}
	return times, nil
}

// runtimeAPI is the part of Lambda's Runtime API that a function calls first. It
// never answers.
type runtimeAPI struct {
	addr  string
	asked chan time.Time
	close func()
}

func listen(ctx context.Context) (*runtimeAPI, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen: %w", err)
	}
	api := &runtimeAPI{addr: l.Addr().String(), asked: make(chan time.Time, 1)}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /2018-06-01/runtime/invocation/next", func(_ http.ResponseWriter, r *http.Request) {
		api.asked <- time.Now()
		<-r.Context().Done()
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: giveUp}
	go srv.Serve(l) //nolint:errcheck // it ends when it is closed
	api.close = func() { srv.Close() }
	return api, nil
}

// start executes program and returns how long it took to ask for an invocation.
func (a *runtimeAPI) start(ctx context.Context, program string) (time.Duration, error) {
	ctx, cancel := context.WithTimeout(ctx, giveUp)
	defer cancel()
	var output bytes.Buffer
	cmd := exec.CommandContext(ctx, program)
	cmd.Env = append(environment(), "AWS_LAMBDA_RUNTIME_API="+a.addr)
	cmd.Stdout, cmd.Stderr = &output, &output
	began := time.Now()
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("execute: %w", err)
	}
	exited := make(chan error, 1)
	go func() { exited <- cmd.Wait() }()
	select {
	case at := <-a.asked:
		cancel()
		<-exited //nolint:errcheck // it was killed
		return at.Sub(began), nil
	case err := <-exited:
		return 0, fmt.Errorf("it ended without asking for an invocation: %w\n%s", err, output.Bytes())
	}
}

// environment is what Lambda and the templates set.
func environment() []string {
	return []string{
		"AWS_REGION=eu-west-1",
		"AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE",
		"AWS_SECRET_ACCESS_KEY=secret",
		"AWS_SESSION_TOKEN=token",
		"AWS_LAMBDA_FUNCTION_NAME=bench",
		"AWS_LAMBDA_FUNCTION_MEMORY_SIZE=512",
		"AWS_XRAY_DAEMON_ADDRESS=127.0.0.1:2000",
		"STOWAGE_STAGE=dev",
		"STOWAGE_TABLE=table",
		"STOWAGE_IDEMPOTENCY_TABLE=idempotency",
		"STOWAGE_BUCKET=bucket",
		"STOWAGE_DEAD_LETTER_BUCKET=dead-letters",
		"STOWAGE_BUS=bus",
		"STOWAGE_COMPLETION_QUEUE_URL=http://127.0.0.1:9/completions",
		"STOWAGE_HOME_REGION=eu-west-1",
		"STOWAGE_DB_HOST=stowage.cluster-abc123.eu-central-1.rds.amazonaws.com",
		"STOWAGE_DB_NAME=stowage",
		"STOWAGE_DB_USER=bench",
		"STOWAGE_VERDICT_QUEUE_URL=http://127.0.0.1:9/verdicts",
		"STOWAGE_CLAMD_ADDRESS=127.0.0.1:9",
		"STOWAGE_CLAMD_MAX_BYTES=104857600",
		"STOWAGE_SIGNER_ROLE_ARN=arn:aws:iam::123456789012:role/signer",
		"STOWAGE_CURSOR_SECRET_ARN=arn:aws:secretsmanager:eu-west-1:123456789012:secret:cursor",
	}
}
