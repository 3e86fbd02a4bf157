package command_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"github.com/stowage-dev/stowage/scripts/command"
)

// roleEnv makes the test binary a program.
const roleEnv = "COMMAND_TEST_ROLE"

func TestMain(m *testing.M) {
	programs := map[string]func(context.Context) error{
		"works": func(context.Context) error { return nil },
		"fails": func(context.Context) error { return errors.New("no stack") },
		"helps": func(context.Context) error { return fmt.Errorf("read the flags: %w", flag.ErrHelp) },
		"waits": func(ctx context.Context) error {
			fmt.Println("waiting")
			<-ctx.Done()
			return errors.New("stopped")
		},
	}
	if program, ok := programs[os.Getenv(roleEnv)]; ok {
		os.Exit(command.Run("example", program))
	}
	os.Exit(m.Run())
}

func start(t *testing.T, role string) (cmd *exec.Cmd, out *bufio.Reader, said *bytes.Buffer) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd, said = exec.CommandContext(t.Context(), self), &bytes.Buffer{}
	cmd.Env, cmd.Stderr = append(os.Environ(), roleEnv+"="+role), said
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewReader(pipe), said
}

func TestWhatAProgramExitsWith(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		role   string
		status int
		said   string
	}{
		{"works", 0, ""},
		{"helps", 0, ""},
		{"fails", 1, "example: no stack\n"},
	} {
		cmd, _, said := start(t, c.role)
		_ = cmd.Wait() // says what ExitCode does
		if got := cmd.ProcessState.ExitCode(); got != c.status || said.String() != c.said {
			t.Errorf("one that %s: exits with %d and says %q, want %d and %q", c.role, got, said, c.status, c.said)
		}
	}
}

func TestSignalsEndTheContext(t *testing.T) {
	t.Parallel()
	for _, signal := range []os.Signal{os.Interrupt, syscall.SIGTERM} {
		cmd, out, said := start(t, "waits")
		if _, err := out.ReadString('\n'); err != nil {
			t.Fatal(err)
		}
		if err := cmd.Process.Signal(signal); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // says what ExitCode does
		if got := cmd.ProcessState.ExitCode(); got != 1 || said.String() != "example: stopped\n" {
			t.Errorf("%s: exits with %d and says %q", signal, got, said)
		}
	}
}
