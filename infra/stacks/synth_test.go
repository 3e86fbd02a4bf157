package stacks

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/assertions"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/internal/assets"
	"github.com/stowage-dev/stowage/infra/internal/golden"
)

func TestMain(m *testing.M) {
	code := m.Run()
	jsii.Close()
	os.Exit(code)
}

// newTestApp makes the stacks as main does, with executables that do nothing.
func newTestApp(t *testing.T, context map[string]any) (awscdk.App, *App) {
	t.Helper()
	dist := assets.Dist(t.TempDir())
	for _, name := range Functions() {
		if err := os.MkdirAll(dist.Function(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dist.Function(name), "bootstrap"), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	settings, err := ReadSettings(context, "")
	if err != nil {
		t.Fatal(err)
	}
	root := NewRoot(t.TempDir())
	return root, NewApp(root, settings, dist)
}

// synthesize gives the templates of a deployment.
func synthesize(t *testing.T, context map[string]any) (data, service template) {
	t.Helper()
	_, app := newTestApp(t, context)
	return *assertions.Template_FromStack(app.Data.Stack, nil).ToJSON(),
		*assertions.Template_FromStack(app.Service.Stack, nil).ToJSON()
}

func TestTemplatesAreThoseKept(t *testing.T) {
	for _, stage := range []string{"dev", "prod"} {
		data, service := synthesize(t, map[string]any{"stage": stage})
		golden.Compare(t, filepath.Join(stage, "Data.template.json"), data)
		golden.Compare(t, filepath.Join(stage, "Service.template.json"), service)
	}
}

func TestStacksHold(t *testing.T) {
	for _, stage := range []string{"dev", "prod"} {
		t.Run(stage, func(t *testing.T) {
			data, service := synthesize(t, map[string]any{"stage": stage})
			both := []template{data, service}
			t.Run("content", func(t *testing.T) { testContent(t, data) })
			t.Run("quarantine", func(t *testing.T) { testQuarantine(t, data, service) })
			t.Run("tables", func(t *testing.T) { testTables(t, data) })
			t.Run("queue", func(t *testing.T) { testQueue(t, data, service) })
			t.Run("stream", func(t *testing.T) { testStream(t, service) })
			t.Run("bus", func(t *testing.T) { testBus(t, data) })
			t.Run("functions", func(t *testing.T) { testFunctions(t, service) })
			t.Run("privileges", func(t *testing.T) { testPrivileges(t, service) })
			t.Run("api", func(t *testing.T) { testAPI(t, service) })
			t.Run("users", func(t *testing.T) { testUsers(t, service) })
			t.Run("alarms", func(t *testing.T) { testAlarms(t, data, service) })
			t.Run("state", func(t *testing.T) { testState(t, Stage(stage), both) })
			t.Run("names", func(t *testing.T) { testNames(t, both) })
			t.Run("portable", func(t *testing.T) { testPortable(t, data, both) })
		})
	}
}
