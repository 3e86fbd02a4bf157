// Command function is a Lambda function that behaves as its MODE says.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-lambda-go/lambdacontext"
)

type answer struct {
	PID      int               `json:"pid"`
	Event    json.RawMessage   `json:"event"`
	Env      map[string]string `json:"env"`
	Dir      string            `json:"dir"`
	Deadline int64             `json:"deadline"`
	Request  string            `json:"request"`
	ARN      string            `json:"arn"`
	Version  string            `json:"version"`
}

func main() {
	mode := os.Getenv("MODE")
	switch mode {
	case "panic-at-init":
		panic("no configuration")
	case "exit-at-init":
		fmt.Fprintln(os.Stderr, "cannot go on")
		os.Exit(3)
	case "hang-at-init":
		time.Sleep(time.Hour)
	case "sigterm":
		lambda.StartWithOptions(echo, lambda.WithEnableSIGTERM(func() {
			if err := os.WriteFile(os.Getenv("MARK"), []byte("terminated"), 0o600); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}))
	}
	handlers := map[string]any{
		"echo": echo, "slow": slow, "error": failing, "panic": panicking, "exit": exiting, "big": big, "exit-after": exitAfter,
		"log": logging, "reader": reader, "flaky": flaky,
	}
	lambda.Start(handlers[mode])
}

func echo(ctx context.Context, event json.RawMessage) (answer, error) {
	env := map[string]string{}
	for _, pair := range os.Environ() {
		name, value, _ := strings.Cut(pair, "=")
		env[name] = value
	}
	dir, err := os.Getwd()
	if err != nil {
		return answer{}, err
	}
	a := answer{PID: os.Getpid(), Event: event, Env: env, Dir: dir, Version: os.Getenv("FUNCTION_BUILD")}
	if deadline, ok := ctx.Deadline(); ok {
		a.Deadline = deadline.UnixMilli()
	}
	if lc, ok := lambdacontext.FromContext(ctx); ok {
		a.Request, a.ARN = lc.AwsRequestID, lc.InvokedFunctionArn
	}
	return a, nil
}

// slow sleeps for the milliseconds in its event, whatever its deadline.
func slow(_ context.Context, milliseconds int) (int, error) {
	time.Sleep(time.Duration(milliseconds) * time.Millisecond)
	return os.Getpid(), nil
}

func failing(context.Context) error { return errors.New("no such object") }

func panicking(context.Context) error { panic("a defect") }

func exiting(context.Context) error {
	os.Exit(7)
	return nil
}

// big answers with a string such that the whole answer has as many bytes as its event says.
func big(_ context.Context, bytes int) (string, error) {
	return strings.Repeat("x", bytes-2), nil
}

// exitAfter answers and then ends its process.
func exitAfter(context.Context) (int, error) {
	go func() {
		time.Sleep(20 * time.Millisecond)
		os.Exit(1)
	}()
	return os.Getpid(), nil
}

func logging(context.Context) error {
	fmt.Print("one line\nhalf a ")
	fmt.Println("line")
	fmt.Fprint(os.Stderr, "no end of line")
	return nil
}

type brokenReader struct{ sent bool }

func (r *brokenReader) Read(b []byte) (int, error) {
	if r.sent {
		return 0, errors.New("the source broke")
	}
	r.sent = true
	return copy(b, "beginning"), nil
}

func reader(context.Context) (*brokenReader, error) { return &brokenReader{}, nil }

// flaky fails until the file MARK has as many bytes as FAILURES says.
func flaky(_ context.Context, _ json.RawMessage) (string, error) {
	path := os.Getenv("MARK")
	seen, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return "", err
	}
	if err := os.WriteFile(path, append(seen, 'x'), 0o600); err != nil {
		return "", err
	}
	var failures int
	if _, err := fmt.Sscan(os.Getenv("FAILURES"), &failures); err != nil {
		return "", err
	}
	if len(seen) < failures {
		return "", fmt.Errorf("failure %d", len(seen)+1)
	}
	return "done", nil
}
