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

// deployment is what one stage would deploy.
type deployment struct {
	stage         Stage
	data, service template
}

func (d deployment) both() []template { return []template{d.data, d.service} }

// synthesize gives what a context deploys.
func synthesize(t *testing.T, context map[string]any) deployment {
	t.Helper()
	_, app := newTestApp(t, context)
	return deployment{
		data:    *assertions.Template_FromStack(app.Data.Stack, nil).ToJSON(),
		service: *assertions.Template_FromStack(app.Service.Stack, nil).ToJSON(),
	}
}

// stages holds what the stages deploy without further settings, synthesized
// once for all tests, which read it alone.
var stages = map[Stage]deployment{}

// eachStage gives what each stage deploys.
func eachStage(t *testing.T) []deployment {
	t.Helper()
	var all []deployment
	for _, stage := range []Stage{Dev, Prod} {
		d, ok := stages[stage]
		if !ok {
			d = synthesize(t, map[string]any{"stage": string(stage)})
			d.stage = stage
			stages[stage] = d
		}
		all = append(all, d)
	}
	return all
}

func TestTemplatesAreThoseKept(t *testing.T) {
	for _, d := range eachStage(t) {
		t.Run(string(d.stage), func(t *testing.T) {
			golden.Compare(t, filepath.Join(string(d.stage), "Data.template.json"), d.data)
			golden.Compare(t, filepath.Join(string(d.stage), "Service.template.json"), d.service)
		})
	}
}
