package boot

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/stowage-dev/stowage/shared/observe"
)

// Runtime is what a function's process has from its start to its end. It is
// built once, outside of any invocation.
type Runtime struct {
	// Function is the name that Lambda runs it under.
	Function string
	// Stage is dev or prod.
	Stage string
	// Settings reads the function's own environment variables.
	Settings *Settings
	// AWS configures SDK clients; their calls are traced.
	AWS     aws.Config
	Log     *slog.Logger
	Metrics *observe.Metrics
	Tracer  observe.Tracer
	Now     func() time.Time
}

// NewRuntime prepares a runtime from the environment that lookup reads. Logs
// and metrics are written to w. It fails when a setting is missing or wrong.
func NewRuntime(lookup func(string) (string, bool), w io.Writer) (*Runtime, error) {
	s := NewSettings(lookup)
	level := s.OneOf("STOWAGE_LOG_LEVEL", "info", "debug", "warn")
	rt := &Runtime{
		Function: s.Optional("AWS_LAMBDA_FUNCTION_NAME", "local"),
		Stage:    s.OneOf("STOWAGE_STAGE", "dev", "prod"),
		Settings: s,
		AWS:      AWSConfig(s),
		Now:      time.Now,
	}
	tracer, err := observe.NewTracer(s.Optional("AWS_XRAY_DAEMON_ADDRESS", ""))
	if err != nil {
		s.invalid = append(s.invalid, fmt.Errorf("environment variable AWS_XRAY_DAEMON_ADDRESS: %w", err))
	}
	if err := s.Err(); err != nil {
		return nil, err
	}
	rt.Tracer = tracer
	observe.InstrumentAWS(&rt.AWS, tracer)
	rt.Log = observe.NewLogger(w, logLevel(level))
	rt.Metrics = observe.NewMetrics(w, rt.Function, rt.Now)
	return rt, nil
}

func logLevel(name string) slog.Level {
	switch name {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	default:
		return slog.LevelInfo
	}
}

// Start builds the handler and serves invocations until Lambda ends the
// process. When the handler cannot be built it says why in the log and exits.
// It does not return.
func Start(build func(*Runtime) (lambda.Handler, error)) {
	useMemory(os.LookupEnv)
	rt, err := NewRuntime(os.LookupEnv, os.Stdout)
	if err != nil {
		fail(err)
	}
	h, err := build(rt)
	if err != nil {
		fail(err)
	}
	lambda.Start(&invocations{rt, h})
}

// fail ends a process that cannot serve. Lambda shows the line and reports the
// invocation as Runtime.ExitError.
func fail(err error) {
	observe.NewLogger(os.Stdout, slog.LevelError).LogAttrs(context.Background(), slog.LevelError,
		"function cannot start", slog.Any("error", err))
	os.Exit(1)
}

// invocations surrounds each invocation with what all functions want of it.
type invocations struct {
	rt *Runtime
	lambda.Handler
}

func (h *invocations) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	defer func() {
		if err := h.rt.Metrics.Flush(); err != nil {
			h.rt.Log.LogAttrs(ctx, slog.LevelWarn, "metrics lost", slog.Any("error", err))
		}
	}()
	out, err := h.Handler.Invoke(ctx, payload)
	if err != nil {
		h.rt.Log.LogAttrs(ctx, slog.LevelError, "invocation failed", slog.Any("error", err))
	}
	return out, err //nolint:wrapcheck // Lambda reports the error's own type and message
}

// JSON adapts a typed function: the event is decoded into In, and Out encoded
// as the answer.
func JSON[In, Out any](handle func(context.Context, In) (Out, error)) lambda.Handler {
	return Raw(func(ctx context.Context, payload []byte) (Out, error) {
		var in In
		if err := json.Unmarshal(payload, &in); err != nil {
			var none Out
			return none, fmt.Errorf("decode event as %T: %w", in, err)
		}
		return handle(ctx, in)
	})
}

// Raw adapts a function that decodes the event itself. It must not keep the
// payload after it returns.
func Raw[Out any](handle func(ctx context.Context, payload []byte) (Out, error)) lambda.Handler {
	return handlerFunc(func(ctx context.Context, payload []byte) ([]byte, error) {
		out, err := handle(ctx, payload)
		if err != nil {
			return nil, err
		}
		answer, err := json.Marshal(out)
		if err != nil {
			return nil, fmt.Errorf("encode answer %T: %w", out, err)
		}
		return answer, nil
	})
}

type handlerFunc func(ctx context.Context, payload []byte) ([]byte, error)

func (f handlerFunc) Invoke(ctx context.Context, payload []byte) ([]byte, error) {
	return f(ctx, payload)
}
