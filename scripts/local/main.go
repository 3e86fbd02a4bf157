// Command local runs a synthesized assembly on this machine, whole: it reads
// cdk.out, starts an engine for each store that the templates declare, builds
// the functions, seeds two workspaces and prints how to call the API. It serves
// on 127.0.0.1 only and stops on Ctrl-C.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/seed"
	"github.com/stowage-dev/stowage/scripts/local/stack"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == s3.Command {
		os.Exit(s3.Main(os.Args, os.Stdin))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	opts, err := parse(os.Args[1:], os.LookupEnv, os.Stderr)
	if errors.Is(err, errHelp) {
		return
	}
	if err == nil {
		err = run(ctx, opts, os.Stdout, os.Stderr)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "local:", err)
		os.Exit(1)
	}
}

// run starts the stack, keeps its file fresh until it is interrupted or an
// engine dies, and stops it. An interruption is not an error.
func run(ctx context.Context, opts options, out, errOut io.Writer) (err error) {
	start := time.Now()
	logger := slog.New(slog.NewTextHandler(errOut, &slog.HandlerOptions{Level: opts.logLevel}))
	cfg := opts.stack
	cfg.Progress, cfg.Logger = errOut, logger
	if opts.check {
		return stack.Check(cfg)
	}
	source, err := watch(opts, errOut, logger) // first: what is saved during the start counts
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, source.Close()) }()
	s, err := stack.Start(ctx, cfg)
	if err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, i := range s.Model.Inert {
		logger.Debug("nothing to run locally", "type", i.Type, "path", i.ConstructPath, "why", i.Reason)
	}
	seeder := seed.Seeder{APIURL: s.APIURL(), Mint: s.Mint}
	renew, err := publish(ctx, s, seeder, out, start)
	if err != nil && ctx.Err() == nil {
		if opts.mustBe {
			return err
		}
		// A function that does not build is no reason to stop the others.
		fmt.Fprintf(errOut, "local: the stack runs, but is not ready: %v\n", err)
	}
	if err := s.Chaos.Set(opts.chaos); err != nil {
		return fmt.Errorf("--chaos: %w", err)
	}
	defer func() {
		if err != nil && s.Chaos.On() {
			fmt.Fprintf(errOut, "local: faults were injected; to repeat them: --chaos '%s'\n", s.Chaos.Settings())
		}
	}()
	defer source.follow(ctx, s)()
	again := func() (time.Time, error) { return publish(ctx, s, seeder, out, start) }
	return serve(ctx, s, seeder, renew, again, source.changed, logger)
}

// publish seeds the stack and says where it is. It returns when the tokens are
// to be replaced.
func publish(ctx context.Context, s *stack.Stack, seeder seed.Seeder, out io.Writer, start time.Time) (time.Time, error) {
	if err := seeder.Run(ctx, seed.Workspaces()); err != nil {
		return time.Time{}, fmt.Errorf("%w; %s is not written", err, s.DevPath())
	}
	dev, renew, err := refresh(ctx, s, seeder)
	if err != nil {
		return time.Time{}, err
	}
	fmt.Fprintf(out, `local: ready in %.1f s (all of it also in %s)

  console  %s
  API      %s
  AWS      %s  (AWS_ENDPOINT_URL of every service)
  tokens   curl -d '{"sub": "alpha-user"}' %s
  logs     %s
  bucket   %s
  table    %s
%s
  token=%s
  curl -H "Authorization: Bearer $token" %s/v1/usage

Ctrl-C stops it.
`, time.Since(start).Seconds(), s.DevPath(), dev.ConsoleURL, dev.APIURL, dev.S3Endpoint, dev.TokenURL, s.LogDir(), dev.Bucket, dev.Table, databases(dev.Databases, s.Databases), dev.Tokens["alpha"], dev.APIURL)
	return renew, nil
}

// databases are the lines that tell how to look into the databases, which goes past their poolers.
func databases(commands []string, running []*stack.Database) string {
	var lines strings.Builder
	for i, command := range commands {
		fmt.Fprintf(&lines, "  database %s", command)
		if running[i].Pooler != nil {
			lines.WriteString("  (functions call through pgbouncer)")
		}
		lines.WriteByte('\n')
	}
	return lines.String()
}

// refresh writes dev.json with new tokens and says when to do it again.
func refresh(ctx context.Context, s *stack.Stack, seeder seed.Seeder) (stack.DevFile, time.Time, error) {
	tokens, ends, err := seeder.Tokens(ctx, seed.Workspaces())
	if err != nil {
		return stack.DevFile{}, time.Time{}, err
	}
	dev := s.Dev(tokens)
	// At half of their life, so that whoever reads the file has time to use them.
	return dev, time.Now().Add(time.Until(ends) / 2), s.WriteDev(dev)
}

// retryTokens is the wait after tokens could not be replaced.
const retryTokens = time.Minute

// serve waits for the end, replacing the tokens in dev.json before theirs. A stack
// that is not ready is published once new code makes it so.
func serve(ctx context.Context, s *stack.Stack, seeder seed.Seeder, renew time.Time, publish func() (time.Time, error), changed <-chan struct{}, logger *slog.Logger) error {
	var due <-chan time.Time
	if !renew.IsZero() {
		due = time.After(time.Until(renew))
	}
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-s.Failed():
			return fmt.Errorf("%w; stopping (logs: %s)", err, s.LogDir())
		case <-changed:
			if due != nil {
				continue
			}
			if next, err := publish(); err == nil {
				due = time.After(time.Until(next))
			}
		case <-due:
			_, next, err := refresh(ctx, s, seeder)
			if err != nil {
				logger.Warn("tokens were not replaced", "error", err)
				next = time.Now().Add(retryTokens)
			}
			due = time.After(time.Until(next))
		}
	}
}
