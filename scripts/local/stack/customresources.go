package stack

import (
	"context"
	"errors"
	"fmt"

	"github.com/stowage-dev/stowage/scripts/local/custom"
	"github.com/stowage-dev/stowage/scripts/local/lambda"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// startCustomResources has the functions of custom resources do what is declared, before
// anything else invokes functions.
func (s *Stack) startCustomResources(ctx context.Context) error {
	var err error
	s.custom, err = custom.Open(custom.Config{
		StatePath: s.state.data("custom.json"), Logger: s.cfg.Logger,
		StackID: func(stack string) string {
			return "arn:aws:cloudformation:" + s.region + ":" + s.account + ":stack/" + stack + "/local"
		},
		Invoke: func(ctx context.Context, functionARN string, event []byte) (string, error) {
			r, err := s.Host.Invoke(ctx, functionARN, event)
			switch {
			case errors.Is(err, lambda.ErrNotFound):
				return "", fmt.Errorf("%w: %w", custom.ErrNoFunction, err)
			case err != nil || r.FunctionError == "":
				return "", err
			}
			return string(r.Payload), nil
		},
		Left: func(stack, logicalID string) {
			s.cfg.Logger.Info("what a custom resource made is kept, though neither it nor its function is declared any more: it is used again once they are (make dev RELATIONAL=1, for the ledger and search)",
				"resource", stack+"/"+logicalID, "directory", s.state.data())
		},
	})
	if err != nil {
		return err
	}
	s.onClose("the answers of custom resources", s.custom.Close)
	if len(s.Model.CustomResources) == 0 {
		return s.applyCustomResources(ctx, s.Model)
	}
	return s.progress.step("running custom resources", func() error { return s.applyCustomResources(ctx, s.Model) })
}

// provideAgain has a function whose code has been changed do again what its custom
// resources ask for: a migration that was just written, for one.
func (s *Stack) provideAgain(ctx context.Context, function string) error {
	m := s.present.Load()
	for _, f := range m.Functions {
		if f.Name == function {
			return s.custom.Again(ctx, f.ARN, customResources(m))
		}
	}
	return nil
}

func (s *Stack) applyCustomResources(ctx context.Context, m *template.Model) error {
	if err := s.custom.Apply(ctx, customResources(m)); err != nil {
		return fmt.Errorf("%w; the function's log is in %s", err, s.state.logs())
	}
	return nil
}

func customResources(m *template.Model) []custom.Resource {
	var declared []custom.Resource
	for _, r := range m.CustomResources {
		declared = append(declared, custom.Resource{
			Stack: r.Stack, LogicalID: r.LogicalID, Path: r.ConstructPath, Type: r.Type, FunctionARN: r.FunctionARN,
			Properties: r.Properties, Timeout: r.Timeout, DependsOn: r.DependsOn,
		})
	}
	return declared
}
