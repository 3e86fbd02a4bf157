package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"strconv"

	"github.com/stowage-dev/stowage/scripts/local/chaos"
	"github.com/stowage-dev/stowage/scripts/local/stack"
)

// Ports are fixed by default, so that a bookmark or a configured client works
// after a restart.
const (
	defaultAPIPort     = 8480
	defaultGatewayPort = 8481
	defaultConsolePort = 8482
)

// errHelp says that usage was asked for and printed.
var errHelp = errors.New("help")

type options struct {
	stack    stack.Config
	reload   bool
	synth    string
	mustBe   bool // ready
	check    bool // only
	chaos    chaos.Settings
	logLevel slog.Level
}

// parse reads flags, whose defaults come from the environment.
func parse(args []string, lookup func(string) (string, bool), out io.Writer) (options, error) {
	var o options
	env := environment{lookup: lookup}
	flags := flag.NewFlagSet("local", flag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprintln(out, "Runs a synthesized assembly on this machine. Every flag has a variable of the same name, such as STOWAGE_API_PORT.")
		flags.PrintDefaults()
		fmt.Fprintln(out, "  RESET=1 starts from scratch. STOWAGE_DYNAMODB_ENDPOINT names a DynamoDB-compatible engine to use instead of starting one. STOWAGE_SEED is the seed of faults for which --chaos gives none.")
	}
	flags.StringVar(&o.stack.Assembly, "cdk-out", env.text("STOWAGE_CDK_OUT", "cdk.out"), "`directory` that cdk synth wrote")
	flags.StringVar(&o.stack.Source, "source", env.text("STOWAGE_SOURCE", ""), "`directory` of the functions' Go module and of node_modules (default: the one that cdk-out is in)")
	flags.StringVar(&o.stack.State, "state", env.text("STOWAGE_STATE", ".stowage"), "`directory` that everything is kept in")
	flags.IntVar(&o.stack.APIPort, "api-port", env.number("STOWAGE_API_PORT", defaultAPIPort), "`port` of the HTTP API; 0: any free one")
	flags.IntVar(&o.stack.GatewayPort, "gateway-port", env.number("STOWAGE_GATEWAY_PORT", defaultGatewayPort), "`port` for AWS calls; 0: any free one")
	flags.IntVar(&o.stack.IssuerPort, "issuer-port", env.number("STOWAGE_ISSUER_PORT", 0), "`port` of the token issuer; 0: any free one")
	flags.IntVar(&o.stack.ConsolePort, "console-port", env.number("STOWAGE_CONSOLE_PORT", defaultConsolePort), "`port` of the page that shows what goes on; 0: any free one")
	flags.BoolVar(&o.reload, "reload", env.flag("STOWAGE_RELOAD"), "when source is saved, build and swap the functions that it is part of, and apply what it changes of the infrastructure")
	flags.StringVar(&o.synth, "synth", env.text("STOWAGE_SYNTH", ""), "`command` that writes cdk-out anew, for --reload")
	flags.BoolVar(&o.mustBe, "must-be-ready", env.flag("STOWAGE_MUST_BE_READY"), "stop with an error when the stack runs but cannot become ready, for one because a function does not build")
	flags.BoolVar(&o.check, "check", env.flag("STOWAGE_CHECK"), "only look whether the state directory and the ports are free, and end: with an error that says what is taken, and by whom")
	flags.StringVar(&o.stack.Usage, "usage", env.text("STOWAGE_USAGE", ""), "`file` to which what functions use of their roles is appended, for scripts/privileges")
	flags.BoolVar(&o.stack.Reset, "reset", env.flag("RESET"), "throw the state away first")
	flags.TextVar(&o.logLevel, "log-level", env.level("STOWAGE_LOG_LEVEL"), "least `level` of what is logged: DEBUG, INFO, WARN or ERROR")
	faults := flags.String("chaos", env.text("STOWAGE_CHAOS", "off"), "`faults` to inject once the stack is ready: \"on\", \"seed=7\" (all, from that seed), \"duplicates=0.2,S3Ingest.kills=0.3\", ... (docs/chaos.md)")
	o.stack.DynamoDBEndpoint = env.text("STOWAGE_DYNAMODB_ENDPOINT", "")
	if err := errors.Join(env.errs...); err != nil {
		return o, err
	}
	if err := flags.Parse(args); errors.Is(err, flag.ErrHelp) {
		return o, errHelp
	} else if err != nil {
		return o, fmt.Errorf("read the flags: %w", err)
	}
	var err error
	if o.chaos, err = chaos.Parse(*faults); err != nil {
		return o, fmt.Errorf("--chaos: %w", err)
	}
	if seed := env.text("STOWAGE_SEED", ""); o.chaos.Seed == 0 && seed != "" {
		only, err := chaos.Parse("seed=" + seed)
		if err != nil {
			return o, fmt.Errorf("STOWAGE_SEED: %w", err)
		}
		o.chaos.Seed = only.Seed
	}
	// Nobody chose the console's port, so a second runtime is not to stop for it.
	o.stack.ConsoleMayMove = env.text("STOWAGE_CONSOLE_PORT", "") == ""
	flags.Visit(func(f *flag.Flag) { o.stack.ConsoleMayMove = o.stack.ConsoleMayMove && f.Name != "console-port" })
	if flags.NArg() > 0 {
		return o, fmt.Errorf("unexpected argument %q: see --help", flags.Arg(0))
	}
	for name, port := range map[string]int{"--api-port": o.stack.APIPort, "--gateway-port": o.stack.GatewayPort, "--issuer-port": o.stack.IssuerPort, "--console-port": o.stack.ConsolePort} {
		if port < 0 || port > 65535 {
			return o, fmt.Errorf("%s: %d is not between 0 and 65535", name, port)
		}
	}
	return o, nil
}

// environment reads variables, gathering what is wrong with them.
type environment struct {
	lookup func(string) (string, bool)
	errs   []error
}

// text is a variable's value, or the default when it is unset or empty.
func (e *environment) text(name, otherwise string) string {
	if v, ok := e.lookup(name); ok && v != "" {
		return v
	}
	return otherwise
}

func (e *environment) number(name string, otherwise int) int {
	v := e.text(name, "")
	if v == "" {
		return otherwise
	}
	n, err := strconv.Atoi(v)
	if err != nil {
		e.errs = append(e.errs, fmt.Errorf("%s: want a number, have %q", name, v))
	}
	return n
}

func (e *environment) flag(name string) bool {
	v := e.text(name, "")
	if v == "" {
		return false
	}
	on, err := strconv.ParseBool(v)
	if err != nil {
		e.errs = append(e.errs, fmt.Errorf("%s: want 1 or 0, have %q", name, v))
	}
	return on
}

func (e *environment) level(name string) slog.Level {
	var l slog.Level
	if err := l.UnmarshalText([]byte(e.text(name, slog.LevelInfo.String()))); err != nil {
		e.errs = append(e.errs, fmt.Errorf("%s: %w", name, err))
	}
	return l
}
