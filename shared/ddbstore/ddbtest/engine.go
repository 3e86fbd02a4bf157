// Package ddbtest gives tests a real DynamoDB engine and the catalog's tables.
//
// A test binary calls Main from its TestMain; each test then takes tables of its
// own, so that all of them run in parallel against one engine.
package ddbtest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// EndpointVariable names the environment variable that makes tests use a running
// DynamoDB-compatible endpoint instead of starting an engine.
const EndpointVariable = "STOWAGE_DYNAMODB_ENDPOINT"

// Main runs the tests of a package with an engine, and returns what os.Exit
// wants. The engine lives in memory and dies with the tests.
func Main(m *testing.M) int {
	if os.Getenv(EndpointVariable) != "" {
		return m.Run()
	}
	stop, err := start()
	if err != nil {
		fmt.Fprintln(os.Stderr, "ddbtest:", err)
		return 1
	}
	defer stop()
	return m.Run()
}

// start runs the engine on a free port and puts its endpoint into the
// environment.
func start() (stop func(), err error) {
	binary, err := find()
	if err != nil {
		return nil, err
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("split %s: %w", address, err)
	}
	cmd := exec.Command(binary, "--host", "127.0.0.1", "--port", port)
	dieWithTests(cmd)

	// The kernel kills the engine when the thread that started it ends, so that
	// thread is kept until the engine has ended.
	started, ended := make(chan error), make(chan struct{})
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer close(ended)
		err := cmd.Start()
		started <- err
		if err == nil {
			_ = cmd.Wait() // it is killed: how it ended says nothing
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	stop = func() {
		_ = cmd.Process.Kill() // or it has ended already
		<-ended
	}
	if err := await(address, ended); err != nil {
		stop()
		return nil, err
	}
	if err := os.Setenv(EndpointVariable, "http://"+address); err != nil {
		stop()
		return nil, fmt.Errorf("name the endpoint: %w", err)
	}
	return stop, nil
}

// find returns the engine's binary below node_modules of this repository.
func find() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the engine: %w", err)
	}
	arch := map[string]string{"amd64": "x64"}[runtime.GOARCH]
	if arch == "" {
		arch = runtime.GOARCH
	}
	engine := filepath.Join("node_modules", "@dynoxide", runtime.GOOS+"-"+arch, "dynoxide")
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			return "", errors.New("find the engine: no go.mod above the working directory")
		}
		dir = up
	}
	path := filepath.Join(dir, engine)
	if _, err := os.Stat(path); err != nil {
		return "", fmt.Errorf("%s is missing: run npm ci, or set %s to any DynamoDB-compatible endpoint", path, EndpointVariable)
	}
	return path, nil
}

func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// await waits until something listens on address, or the engine has ended.
func await(address string, ended <-chan struct{}) error {
	deadline := time.After(10 * time.Second)
	for {
		conn, err := net.Dial("tcp", address)
		if err == nil {
			return conn.Close() //nolint:wrapcheck // a socket that was just opened
		}
		select {
		case <-ended:
			return errors.New("the engine ended as soon as it had started")
		case <-deadline:
			return fmt.Errorf("the engine does not listen on %s after 10 s: %w", address, err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}

// Client returns a client of the engine. A nil transport is the default one;
// tests pass their own to make calls fail.
func Client(transport http.RoundTripper) *dynamodb.Client {
	return dynamodb.New(dynamodb.Options{
		Region:       "us-east-1",
		BaseEndpoint: aws.String(os.Getenv(EndpointVariable)),
		Credentials:  credentials.NewStaticCredentialsProvider("test", "test", ""),
		HTTPClient:   &http.Client{Transport: transport},
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) {
			o.MaxBackoff = 5 * time.Millisecond // what fails on purpose need not be waited for
			o.RateLimiter = ratelimit.None
		}),
	})
}

// background is for work that must be done although a test has ended.
func background() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), 10*time.Second)
}
