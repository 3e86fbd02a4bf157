package assembly

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Environment is what only the running local stack knows.
type Environment struct {
	// GatewayURL is where AWS calls are answered; queue URLs start with it.
	GatewayURL string
	// APIEndpoint gives the base URL at which one HTTP API is served. It is
	// called once for each API of the assembly.
	APIEndpoint func(stack, logicalID string) (string, error)
	// DatabaseEndpoint gives host:port of an attribute of a database or proxy that says
	// where it is reached. It is called once for each of them.
	DatabaseEndpoint func(stack, logicalID, attribute string) (string, error)
}

// Resolve gives every resource of every stack, stacks in deployment order and
// the resources of a stack in the order of their logical ids. The error, if
// any, joins everything that could not be resolved.
func (a *Assembly) Resolve(env Environment) ([]Resource, error) {
	r := &resolver{
		env:     env,
		kinds:   kinds(),
		exports: map[string]export{},
		scopes:  make([]*scope, len(a.stacks)),
	}
	for i, s := range a.stacks {
		r.scopes[i] = newScope(r, s)
	}
	var errs []error
	for _, sc := range r.scopes {
		errs = append(errs, sc.declareExports())
	}
	var out []Resource
	for _, sc := range r.scopes {
		for _, id := range slices.Sorted(maps.Keys(sc.stack.template.Resources)) {
			res, ok, err := sc.resource(id)
			if err != nil {
				errs = append(errs, err)
			} else if ok {
				out = append(out, res)
			}
		}
		errs = append(errs, sc.outputs())
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return out, nil
}

// resolver is the state of one Resolve over all stacks.
type resolver struct {
	env     Environment
	kinds   map[string]kind
	exports map[string]export
	scopes  []*scope
}

// export is an output under the name that other stacks import.
type export struct {
	scope *scope
	value any
}

// scope resolves what one stack's template says.
type scope struct {
	*resolver
	stack      *stack
	names      map[string]string // logical id -> generated physical name
	identities map[string]identity
	conditions map[string]bool
	busy       map[string]bool // what is being resolved: finds circular references
}

func newScope(r *resolver, s *stack) *scope {
	return &scope{
		resolver:   r,
		stack:      s,
		names:      generatedNames(s, r.kinds),
		identities: map[string]identity{},
		conditions: map[string]bool{},
		busy:       map[string]bool{},
	}
}

// guarded runs f unless it is already running for the same key.
func (s *scope) guarded(key string, f func() error) error {
	if s.busy[key] {
		return fmt.Errorf("%s refers to itself", key)
	}
	s.busy[key] = true
	defer delete(s.busy, key)
	return f()
}

func (s *scope) declareExports() error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(s.stack.template.Outputs)) {
		o := s.stack.template.Outputs[id]
		if o.Export == nil {
			continue
		}
		wanted, err := s.wanted(o.Condition)
		if err != nil || !wanted {
			errs = append(errs, err)
			continue
		}
		name, err := s.evalString(o.Export.Name)
		switch {
		case err != nil:
			errs = append(errs, fmt.Errorf("stack %s, export name of output %s: %w", s.stack.name, id, err))
		case s.exports[name].scope != nil:
			errs = append(errs, fmt.Errorf("stack %s, output %s: stack %s exports %q too", s.stack.name, id, s.exports[name].scope.stack.name, name))
		default:
			s.exports[name] = export{s, o.Value}
		}
	}
	return errors.Join(errs...)
}

// outputs resolves every output, so that one which names nothing is found.
func (s *scope) outputs() error {
	var errs []error
	for _, id := range slices.Sorted(maps.Keys(s.stack.template.Outputs)) {
		o := s.stack.template.Outputs[id]
		wanted, err := s.wanted(o.Condition)
		if err == nil && wanted {
			_, err = s.eval(o.Value)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("stack %s, output %s: %w", s.stack.name, id, err))
		}
	}
	return errors.Join(errs...)
}

// resource resolves one resource; false means that its condition leaves it out.
func (s *scope) resource(id string) (Resource, bool, error) {
	decl := s.stack.template.Resources[id]
	res := Resource{Stack: s.stack.name, LogicalID: id, Type: decl.Type, DependsOn: decl.DependsOn}
	fail := func(err error) (Resource, bool, error) { return Resource{}, false, fmt.Errorf("%s: %w", res, err) }

	wanted, err := s.wanted(decl.Condition)
	if err != nil {
		return fail(err)
	}
	if !wanted {
		return Resource{}, false, nil
	}
	ident, err := s.identify(id)
	if err != nil {
		return fail(err)
	}
	res.Name, res.Ref, res.Attributes = ident.name, ident.ref, ident.attributes
	res.ConstructPath = s.constructPath(id, decl)
	props, err := s.evalMap(decl.Properties)
	if err != nil {
		return fail(err)
	}
	res.Properties = props
	if res.Metadata, err = s.evalMap(decl.Metadata); err != nil {
		return fail(fmt.Errorf("metadata: %w", err))
	}
	if res.AssetDir, err = s.assetDir(props); err != nil {
		return fail(err)
	}
	return res, true, nil
}

func (s *scope) constructPath(id string, decl resource) string {
	if path, ok := decl.Metadata["aws:cdk:path"].(string); ok {
		return path
	}
	if path, ok := s.stack.paths[id]; ok {
		return path
	}
	return s.stack.name + "/" + id
}

// assetDir finds the code of a function that is an asset: its S3Key is the
// asset's object key.
func (s *scope) assetDir(props map[string]any) (string, error) {
	code, _ := props["Code"].(map[string]any)
	key, ok := code["S3Key"].(string)
	if !ok {
		return "", nil
	}
	return s.stack.asset(key)
}

// wanted evaluates a condition by its name; no name is no condition.
func (s *scope) wanted(condition string) (bool, error) {
	if condition == "" {
		return true, nil
	}
	if known, ok := s.conditions[condition]; ok {
		return known, nil
	}
	expr, ok := s.stack.template.Conditions[condition]
	if !ok {
		return false, fmt.Errorf("condition %s is not declared", condition)
	}
	var value bool
	err := s.guarded("condition "+condition, func() (err error) {
		value, err = s.evalCondition(expr)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("condition %s: %w", condition, err)
	}
	s.conditions[condition] = value
	return value, nil
}

// identify gives a resource's physical name, Ref and attributes.
func (s *scope) identify(id string) (identity, error) {
	if known, ok := s.identities[id]; ok {
		return known, nil
	}
	decl, ok := s.stack.template.Resources[id]
	if !ok {
		return identity{}, fmt.Errorf("%s is neither a resource nor a parameter of this stack", id)
	}
	wanted, err := s.wanted(decl.Condition)
	if err != nil {
		return identity{}, err
	}
	if !wanted {
		return identity{}, fmt.Errorf("resource %s is left out by its condition %s, yet something refers to it", id, decl.Condition)
	}
	k, ok := s.kindOf(decl.Type)
	if !ok {
		return identity{}, fmt.Errorf("the local runtime does not know resource type %s", decl.Type)
	}
	ident := identity{account: s.stack.account, region: s.stack.region, stack: s.stack.name, logicalID: id, gateway: s.env.GatewayURL, name: s.names[id]}
	err = s.guarded("resource "+id, func() error { return s.fill(&ident, k, decl) })
	if err != nil {
		return identity{}, err
	}
	s.identities[id] = ident
	return ident, nil
}

// kindOf is the kind of a type. What a custom resource is called its own function says,
// once it has run; nothing may refer to that here.
func (s *scope) kindOf(typ string) (kind, bool) {
	k, ok := s.kinds[typ]
	if !ok && strings.HasPrefix(typ, "Custom::") {
		return kind{values: func(identity) (string, attrs) { return "", nil }}, true
	}
	return k, ok
}

// fill completes an identity with what the resource's own properties decide.
func (s *scope) fill(ident *identity, k kind, decl resource) error {
	if given, ok := decl.Properties[k.nameProperty]; ok && k.nameProperty != "" {
		name, err := s.evalString(given)
		if err != nil {
			return fmt.Errorf("property %s: %w", k.nameProperty, err)
		}
		ident.name = name
	}
	for _, p := range k.needs {
		v, err := s.eval(decl.Properties[p])
		if err != nil {
			return fmt.Errorf("property %s: %w", p, err)
		}
		if ident.properties == nil {
			ident.properties = map[string]string{}
		}
		ident.properties[p] = text(v)
	}
	if decl.Type == typeAPI {
		url, err := s.env.APIEndpoint(s.stack.name, ident.logicalID)
		if err != nil {
			return fmt.Errorf("serve the API: %w", err)
		}
		ident.endpoint = strings.TrimSuffix(url, "/")
	}
	if err := s.fillEndpoints(ident, k); err != nil {
		return err
	}
	ident.ref, ident.attributes = k.values(*ident)
	return nil
}

// fillEndpoints asks where a database is reached.
func (s *scope) fillEndpoints(ident *identity, k kind) error {
	for _, attribute := range k.endpoints {
		if s.env.DatabaseEndpoint == nil {
			return errors.New("serve the database: nobody serves databases here")
		}
		address, err := s.env.DatabaseEndpoint(s.stack.name, ident.logicalID, attribute)
		if err != nil {
			return fmt.Errorf("serve the database: %w", err)
		}
		if ident.databases == nil {
			ident.databases = map[string]string{}
		}
		ident.databases[attribute] = address
	}
	return nil
}
