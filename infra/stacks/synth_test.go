package stacks

import (
	"maps"
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
	settings, err := ReadSettings(context, "")
	if err != nil {
		t.Fatal(err)
	}
	return newTestAppWith(t, settings)
}

func newTestAppWith(t *testing.T, settings Settings) (awscdk.App, *App) {
	t.Helper()
	dist := assets.Dist(t.TempDir())
	for _, name := range append(Functions(), RelationalFunctions()...) {
		if err := os.MkdirAll(dist.Function(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dist.Function(name), "bootstrap"), []byte("#!/bin/sh\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	root := NewRoot(t.TempDir())
	return root, NewApp(root, settings, dist)
}

// deployment is what one stage would deploy.
type deployment struct {
	stage         Stage
	data, service template
	relational    template // nil where it is not asked for
}

// both gives the stacks of the core, and what was asked for beside them.
func (d deployment) both() []template {
	all := []template{d.data, d.service}
	if d.relational != nil {
		all = append(all, d.relational)
	}
	return all
}

// synthesize gives what a context deploys.
func synthesize(t *testing.T, context map[string]any) deployment {
	t.Helper()
	_, app := newTestApp(t, context)
	d := deployment{
		data:    *assertions.Template_FromStack(app.Data.Stack, nil).ToJSON(),
		service: *assertions.Template_FromStack(app.Service.Stack, nil).ToJSON(),
	}
	if app.Relational != nil {
		d.relational = *assertions.Template_FromStack(app.Relational.Stack, nil).ToJSON()
	}
	return d
}

// stages holds what the stages deploy without further settings, and what they deploy
// with the Relational stack, synthesized once for all tests, which read it alone.
var stages, withRelational = map[Stage]deployment{}, map[Stage]deployment{}

// eachStage gives what each stage deploys.
func eachStage(t *testing.T) []deployment {
	t.Helper()
	return each(t, stages, nil)
}

// eachRelational gives what each stage deploys with the Relational stack, and both ways
// to connect: development's default is without the proxy.
func eachRelational(t *testing.T) []deployment {
	t.Helper()
	return each(t, withRelational, map[string]any{"relational": "true"})
}

func each(t *testing.T, kept map[Stage]deployment, context map[string]any) []deployment {
	t.Helper()
	var all []deployment
	for _, stage := range []Stage{Dev, Prod} {
		d, ok := kept[stage]
		if !ok {
			own := map[string]any{"stage": string(stage)}
			maps.Copy(own, context)
			d = synthesize(t, own)
			d.stage = stage
			kept[stage] = d
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
	for _, d := range eachRelational(t) {
		t.Run(string(d.stage)+"-relational", func(t *testing.T) {
			golden.Compare(t, filepath.Join(string(d.stage), "Relational.template.json"), d.relational)
		})
	}
}
