// Package command is the frame of the programs in scripts: what they do at Ctrl-C, how they
// say an error, and what they exit with.
package command

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// Run runs a program and returns what to exit with: 0, or 1 where it fails, which it says on
// standard error. An interruption or SIGTERM ends the context. That somebody only asked for
// help is no failure.
func Run(name string, program func(ctx context.Context) error) (status int) {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := program(ctx)
	if err == nil || errors.Is(err, flag.ErrHelp) {
		return 0
	}
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	return 1
}
