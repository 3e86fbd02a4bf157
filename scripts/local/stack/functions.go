package stack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/build"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/template"
	"github.com/stowage-dev/stowage/scripts/local/xray"
)

// build compiles the functions. One that does not compile is told of at once and
// answers every invocation with what the compiler said; the others work.
func (s *Stack) build(ctx context.Context, functions []*template.Function) []build.Result {
	cfg := build.Config{ModuleDir: s.cfg.Source, OutDir: s.state.bin(), Done: func(r build.Result) {
		switch {
		case ctx.Err() != nil: // given up
		case r.Err != nil:
			s.progress.say("function %s does not build; it answers every call with this error:\n%v", r.Function, r.Err)
		case r.Took >= patience:
			s.progress.say("built %s: %.1f s", r.Function, r.Took.Seconds())
		}
	}}
	for _, f := range functions {
		cfg.Functions = append(cfg.Functions, build.Function{Name: f.Name, AssetDir: f.AssetDir, Architecture: f.Architecture})
	}
	return build.All(ctx, cfg)
}

func (s *Stack) startHost(ctx context.Context, binaries []build.Result) error {
	tracer, err := s.startTraces(ctx)
	if err != nil {
		return err
	}
	s.functions = &functions{logs: map[string]io.Writer{}, built: binaries}
	cfg := lambda.Config{
		Region: s.region, AsyncStatePath: s.state.data("async.db"), RetryDelay: s.cfg.RetryDelay,
		Env:         s.trust(map[string]string{"AWS_ENDPOINT_URL": s.GatewayURL(), "AWS_XRAY_DAEMON_ADDRESS": tracer}),
		Credentials: s.functionCredentials,
		Logs:        s.functions.log,
		Observe:     s.invoked, Faults: s.Chaos, Permit: s.permitDestination, Deliver: s.deliver, DeadLetter: s.deadLetter, Logger: s.cfg.Logger, Now: s.cfg.Now,
	}
	for i, f := range s.Model.Functions {
		cfg.Functions = append(cfg.Functions, hosted(f, binaries[i]))
		if err := s.openFunctionLog(f.Name); err != nil {
			return err
		}
	}
	s.Host = lambda.New(cfg)
	s.onClose("the functions", s.Host.Close)
	if err := s.Host.Start(ctx); err != nil {
		return fmt.Errorf("start the functions' host: %w", err)
	}
	return nil
}

// functions is what the stack knows of its functions beside what is declared. It
// is safe for concurrent use.
type functions struct {
	mu    sync.Mutex
	logs  map[string]io.Writer // by name
	built []build.Result
}

func (f *functions) log(function string) io.Writer {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.logs[function]
}

// note remembers what a function was built from.
func (f *functions) note(b build.Result) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.built = slices.DeleteFunc(slices.Clone(f.built), func(o build.Result) bool { return o.Function == b.Function })
	f.built = append(f.built, b)
}

func (s *Stack) openFunctionLog(name string) error {
	file, err := s.logFile(name)
	if err != nil {
		return err
	}
	s.functions.mu.Lock()
	defer s.functions.mu.Unlock()
	s.functions.logs[name] = s.console.Log(name, file)
	return nil
}

// Functions are the functions with what they were built from.
func (s *Stack) Functions() []build.Result {
	s.functions.mu.Lock()
	defer s.functions.mu.Unlock()
	return slices.Clone(s.functions.built)
}

// Bin is where the functions' binaries are.
func (s *Stack) Bin() string { return s.state.bin() }

// Swap gives a function another binary. Invocations under way finish with the old one. The custom
// resources that it provides are provided again.
func (s *Stack) Swap(function, binary string) error {
	if err := s.Host.Swap(function, []string{binary}); err != nil {
		return err
	}
	return s.provideAgain(context.Background(), function)
}

func hosted(f *template.Function, b build.Result) lambda.Function {
	out := lambda.Function{
		Name: f.Name, ARN: f.ARN, Handler: f.Handler, Dir: f.AssetDir, Env: maps.Clone(f.Environment), Timeout: f.Timeout, MemoryMB: f.MemoryMB,
		Async: lambda.AsyncConfig{MaxAge: f.Async.MaxAge, MaxRetries: f.Async.MaxRetries, OnSuccess: f.Async.OnSuccess,
			OnFailure: f.Async.OnFailure, DeadLetterARN: f.DeadLetterARN},
	}
	if b.Err != nil {
		out.BuildError = b.Err.Error()
	} else {
		out.Command = []string{b.Binary}
	}
	if n := f.ReservedConcurrency; n != nil {
		out.MaxConcurrency = *n
		if *n == 0 {
			out.MaxConcurrency = -1 // switched off
		}
	}
	if f.LogFormat == "JSON" {
		if out.Env == nil {
			out.Env = map[string]string{}
		}
		out.Env["AWS_LAMBDA_LOG_FORMAT"] = f.LogFormat
		if f.LogLevel != "" {
			out.Env["AWS_LAMBDA_LOG_LEVEL"] = f.LogLevel
		}
	}
	return out
}

// Session gives the credentials of a session of a role, whoever the role trusts: for tests and tools that
// do what a function may do.
func (s *Stack) Session(roleARN, name string) (identity.Credentials, error) {
	c, _, err := s.credentials.IssueSession(identity.Session{RoleARN: roleARN, Name: name, Duration: time.Hour})
	return c, err
}

// FunctionSession gives the credentials that a function has: for tests and tools that call as it does.
func (s *Stack) FunctionSession(name string) (identity.Credentials, error) {
	f, err := s.functionCredentials(context.Background(), name)
	return identity.Credentials{AccessKeyID: f.AccessKeyID, SecretAccessKey: f.SecretAccessKey, SessionToken: f.SessionToken}, err
}

// functionCredentials are a session of the function's own role.
func (s *Stack) functionCredentials(_ context.Context, function string) (lambda.Credentials, error) {
	declared := s.present.Load().Functions
	i := slices.IndexFunc(declared, func(f *template.Function) bool { return f.Name == function })
	if i < 0 {
		return lambda.Credentials{}, fmt.Errorf("no function is called %s", function)
	}
	c, err := s.credentials.IssueFor(declared[i].RoleARN, function)
	return lambda.Credentials{AccessKeyID: c.AccessKeyID, SecretAccessKey: c.SecretAccessKey, SessionToken: c.SessionToken}, err
}

// invoked says where to look when a function has failed.
func (s *Stack) invoked(r lambda.Report) {
	if r.FunctionError != "" {
		s.cfg.Logger.Warn("function failed", "function", r.Function, "error", r.ErrorType, "requestId", r.RequestID, "log", s.state.logs(r.Function+".log"))
	}
	s.permitTelemetry(r.Function)
	s.console.Invoked(r)
	s.cfg.OnInvoke(r)
}

// syncInvoker answers for the HTTP API.
type syncInvoker struct {
	host    *lambda.Host
	tracing *tracing
}

// Invoke runs a function and waits for its answer.
func (i syncInvoker) Invoke(ctx context.Context, functionARN string, payload []byte) ([]byte, string, error) {
	r, err := i.host.Invoke(ctx, functionARN, payload)
	trace, _ := xray.FromContext(ctx)
	i.tracing.answered(trace, r.Payload)
	return r.Payload, r.FunctionError, err
}

// trigger runs a function for the token issuer, to which a failure of the
// function is an error like any other.
func (s *Stack) trigger(ctx context.Context, functionARN string, event []byte) ([]byte, error) {
	if err := s.permitTrigger(ctx, event, functionARN); err != nil {
		return nil, err
	}
	r, err := s.Host.Invoke(ctx, functionARN, event)
	if err != nil {
		return nil, err
	}
	if r.FunctionError != "" {
		return nil, errors.New(string(r.Payload))
	}
	return r.Payload, nil
}
