package stack

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
	"github.com/stowage-dev/stowage/scripts/local/build"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// Apply reads the assembly anew and changes the running stack as far as its parts
// can be changed. It says what it did, and what needs a restart, resource by
// resource. An assembly that cannot be read or does not fit together changes
// nothing.
//
// What a part took before another one refused stays; applying again does no harm.
// Calls must not overlap.
func (s *Stack) Apply(ctx context.Context) ([]string, error) {
	before := s.present.Load()
	after, err := s.readModel()
	if err != nil {
		return nil, err
	}
	var lines []string
	differences := compare(before, after)
	for _, d := range differences {
		if !d.silent() {
			lines = append(lines, d.String())
		}
	}
	if len(differences) == 0 {
		return nil, nil
	}
	merged := keep(before, after)
	if err := s.apply(ctx, before, merged); err != nil {
		return nil, err
	}
	return lines, nil
}

// readModel resolves the assembly with the ports that the stack has.
func (s *Stack) readModel() (*template.Model, error) {
	a, err := assembly.Load(s.cfg.Assembly)
	if err != nil {
		return nil, err
	}
	if a.Account() != s.account || a.Region() != s.region {
		return nil, fmt.Errorf("the assembly is now for account %s in %s, and the stack runs as %s in %s: start anew", a.Account(), a.Region(), s.account, s.region)
	}
	endpoint := func(stack, logicalID string) (string, error) {
		if l := s.listeners[apiName(stack, logicalID)]; l != nil {
			return address(l), nil
		}
		return "http://127.0.0.1:0", nil // a new API has its port after a restart
	}
	database := func(stack, logicalID, attribute string) (string, error) {
		if l := s.listeners[databaseName(stack, logicalID, attribute)]; l != nil {
			return l.Addr().String(), nil
		}
		return "127.0.0.1:0", nil // a new database has its port after a restart
	}
	resources, err := a.Resolve(assembly.Environment{GatewayURL: s.GatewayURL(), APIEndpoint: endpoint, DatabaseEndpoint: database})
	if err != nil {
		return nil, fmt.Errorf("resolve %s: %w", s.cfg.Assembly, err)
	}
	m, err := template.Decode(resources)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.cfg.Assembly, err)
	}
	return m, checkTargets(m)
}

// keep is the new model with what cannot go before a restart: functions and queues
// that are no longer declared still have callers and messages.
func keep(before, after *template.Model) *template.Model {
	merged := *after
	for _, f := range before.Functions {
		if !slices.ContainsFunc(after.Functions, func(o *template.Function) bool { return o.Name == f.Name }) {
			merged.Functions = append(slices.Clip(merged.Functions), f)
		}
	}
	for _, q := range before.Queues {
		if !slices.ContainsFunc(after.Queues, func(o *template.Queue) bool { return o.Name == q.Name }) {
			merged.Queues = append(slices.Clip(merged.Queues), q)
		}
	}
	return &merged
}

// apply brings the parts up to a model, each after what it needs: queues and
// functions before what delivers to them.
func (s *Stack) apply(ctx context.Context, before, m *template.Model) error {
	queueMappings, streamMappings, err := mappings(m)
	if err != nil {
		return err
	}
	roles, err := s.tokenService(m)
	if err != nil {
		return err
	}
	if err := s.defineAccess(m); err != nil { //nolint:contextcheck // what it asks of policies is answered at once
		return err
	}
	s.roles.replace(roles)
	s.present.Store(m) // from here on new processes have the new roles
	for _, step := range []func() error{
		func() error { return s.Broker.Configure(queues(m)) },
		func() error { return s.putFunctions(ctx, before, m) },
		func() error { return s.applyCustomResources(ctx, m) },
		func() error { return s.Bus.Configure(busOf(m)) },
		func() error { return s.notifier.Configure(notifications(m)) },
		func() error { return s.runner.Configure(queueMappings, streamMappings) },
		func() error { return s.defineAPIs(m) },
	} {
		if err := step(); err != nil {
			s.present.Store(before)
			return errors.Join(err, s.defineAccess(before)) //nolint:contextcheck // likewise
		}
	}
	s.console.Show(s.consoleResources())
	return nil
}

// putFunctions gives functions that differ their new configuration, and builds
// those that are new or come from another package.
func (s *Stack) putFunctions(ctx context.Context, before, m *template.Model) error {
	known := map[string]*template.Function{}
	for _, f := range before.Functions {
		known[f.Name] = f
	}
	sources := map[string]build.Source{}
	for _, b := range s.Functions() {
		sources[b.Function] = b.Source
	}
	var fresh []*template.Function
	for _, f := range m.Functions {
		if old := known[f.Name]; old == nil || old.AssetDir != f.AssetDir && moved(f, sources[f.Name]) {
			fresh = append(fresh, f)
		}
	}
	built := map[string]build.Result{}
	for _, b := range s.build(ctx, fresh) {
		built[b.Function] = b
	}
	if ctx.Err() != nil {
		return fmt.Errorf("build the new functions: %w", context.Cause(ctx))
	}
	for _, f := range m.Functions {
		if old := known[f.Name]; old != nil && !differs(old, f) {
			continue
		}
		if err := s.putFunction(f, known[f.Name] == nil, built); err != nil {
			return fmt.Errorf("change %s: %w", f.ConstructPath, err)
		}
	}
	return nil
}

// moved says whether a function is built from another package than before.
func moved(f *template.Function, before build.Source) bool {
	now, err := build.SourceOf(f.AssetDir)
	return err != nil || now != before
}

// putFunction changes or adds one function. Without a new build it keeps its binary.
func (s *Stack) putFunction(f *template.Function, isNew bool, built map[string]build.Result) error {
	b, rebuilt := built[f.Name]
	put := hosted(f, b)
	if !rebuilt {
		put.Command = nil
	}
	if isNew {
		if err := s.openFunctionLog(f.Name); err != nil {
			return err
		}
	}
	if err := s.Host.Put(put); err != nil {
		return err
	}
	if rebuilt {
		s.functions.note(b)
	}
	return nil
}

// defineAPIs gives the HTTP APIs that run their new routes.
func (s *Stack) defineAPIs(m *template.Model) error {
	for _, declared := range m.APIs {
		i := slices.IndexFunc(s.Model.APIs, func(a *template.API) bool {
			return a.Stack == declared.Stack && a.LogicalID == declared.LogicalID
		})
		if i < 0 {
			continue // it is served after a restart
		}
		cfg, err := httpAPI(declared)
		if err != nil {
			return err
		}
		if err := s.APIs[i].Configure(cfg); err != nil {
			return err
		}
	}
	return nil
}
