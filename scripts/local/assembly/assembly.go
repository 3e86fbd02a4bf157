// Package assembly reads a cloud assembly, the directory that `cdk synth`
// writes, and resolves its templates as CloudFormation would: every intrinsic
// function, condition and cross-stack import becomes a plain value, and every
// resource gets the physical name, Ref and attributes that it will have for as
// long as its logical id stays the same.
//
// Nothing is guessed. A resource type, attribute, intrinsic function or
// template section that the package does not know is an error which names the
// stack and the resource; all such errors are reported together.
package assembly

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
)

// DefaultAccount stands in for an account that the app left open.
const DefaultAccount = "000000000000"

// DefaultRegion stands in for a region that the app left open.
const DefaultRegion = "us-east-1"

// Assembly is a cloud assembly as read from disk, with nothing resolved yet.
type Assembly struct {
	dir    string
	stacks []*stack // in deployment order
}

// Resource is one resource of one stack, with all its intrinsics resolved.
type Resource struct {
	Stack     string // the stack's name
	LogicalID string
	// ConstructPath is where the resource stands in the construct tree.
	ConstructPath string
	Type          string
	// Name is the physical name. It is deterministic.
	Name string
	// Ref is what Ref gives, Attributes what Fn::GetAtt gives.
	Ref        string
	Attributes map[string]string
	// Properties are as in the template, resolved. Numbers are json.Number.
	Properties map[string]any
	Metadata   map[string]any // likewise
	DependsOn  []string
	// AssetDir is the directory of a function's code asset; empty for other types.
	AssetDir string
}

// String names the resource for a message.
func (r Resource) String() string {
	return fmt.Sprintf("stack %s, resource %s (%s)", r.Stack, r.LogicalID, r.Type)
}

// Load reads the assembly in dir.
func Load(dir string) (*Assembly, error) {
	stacks, err := loadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("read cloud assembly %s: %w", dir, err)
	}
	if len(stacks) == 0 {
		return nil, fmt.Errorf("read cloud assembly %s: it holds no stack", dir)
	}
	return &Assembly{dir: dir, stacks: stacks}, nil
}

// Stacks names the stacks in deployment order.
func (a *Assembly) Stacks() []string {
	names := make([]string, len(a.stacks))
	for i, s := range a.stacks {
		names[i] = s.name
	}
	return names
}

// Region is the region of the assembly's stacks.
func (a *Assembly) Region() string { return a.stacks[0].region }

// Account is the account of the assembly's stacks.
func (a *Assembly) Account() string { return a.stacks[0].account }

// loadDir reads a manifest and the nested assemblies it names (CDK stages).
func loadDir(dir string) ([]*stack, error) {
	m, err := readManifest(dir)
	if err != nil {
		return nil, err
	}
	order, err := m.order()
	if err != nil {
		return nil, err
	}
	assets, err := readAssets(dir, m)
	if err != nil {
		return nil, err
	}
	var stacks []*stack
	for _, id := range order {
		art := m.Artifacts[id]
		switch art.Type {
		case artifactStack:
			s, err := loadStack(dir, id, art, assets)
			if err != nil {
				return nil, err
			}
			stacks = append(stacks, s)
		case artifactAssembly:
			nested, err := loadDir(filepath.Join(dir, art.Properties.DirectoryName))
			if err != nil {
				return nil, fmt.Errorf("stage %s: %w", id, err)
			}
			stacks = append(stacks, nested...)
		}
	}
	return stacks, oneEnvironment(stacks)
}

// oneEnvironment refuses an assembly that spans regions or accounts: the
// runtime stands for one.
func oneEnvironment(stacks []*stack) error {
	for _, s := range stacks[:min(1, len(stacks))] {
		i := slices.IndexFunc(stacks, func(o *stack) bool { return o.region != s.region || o.account != s.account })
		if i >= 0 {
			o := stacks[i]
			return fmt.Errorf("stacks %s (%s in %s) and %s (%s in %s) are in different environments; give all stacks one account and region",
				s.name, s.account, s.region, o.name, o.account, o.region)
		}
	}
	return nil
}

// stack is one template with what the manifest says of it.
type stack struct {
	name, account, region string
	template              template
	paths                 map[string]string // logical id -> construct path
	assets                map[string]string // object key -> directory
}

func loadStack(dir, id string, art artifact, assets map[string]string) (*stack, error) {
	s := &stack{name: art.Properties.StackName, assets: assets}
	if s.name == "" {
		s.name = id
	}
	var err error
	if s.account, s.region, err = art.environment(); err != nil {
		return nil, fmt.Errorf("stack %s: %w", s.name, err)
	}
	if err := readJSON(filepath.Join(dir, art.Properties.TemplateFile), &s.template, true); err != nil {
		return nil, fmt.Errorf("stack %s: %w", s.name, err)
	}
	if s.paths, err = constructPaths(dir, art); err != nil {
		return nil, fmt.Errorf("stack %s: %w", s.name, err)
	}
	if err := s.template.validate(); err != nil {
		return nil, fmt.Errorf("stack %s: %w", s.name, err)
	}
	return s, nil
}

// template is the part of a CloudFormation template that CDK emits. Sections
// that are not here are refused by name when it is decoded.
type template struct {
	AWSTemplateFormatVersion string
	Description              string
	Metadata                 any
	Parameters               map[string]parameter
	Rules                    map[string]any
	Mappings                 map[string]map[string]map[string]any
	Conditions               map[string]any
	Resources                map[string]resource
	Outputs                  map[string]output
}

type parameter struct {
	Type        string
	Default     any
	Description string

	AllowedValues, AllowedPattern, ConstraintDescription any
	MinLength, MaxLength, MinValue, MaxValue, NoEcho     any
}

type resource struct {
	Type           string
	Properties     map[string]any
	DependsOn      stringOrList
	Condition      string
	Metadata       map[string]any
	DeletionPolicy any
	// UpdateReplacePolicy and the next two say how CloudFormation changes a
	// resource in place, which has no counterpart here.
	UpdateReplacePolicy, UpdatePolicy, CreationPolicy any
}

type output struct {
	Value       any
	Description string
	Condition   string
	Export      *struct{ Name any }
}

// bootstrapParameter and bootstrapRule are in every template that CDK writes.
// They guard a deployment and mean nothing here.
const (
	bootstrapParameter = "BootstrapVersion"
	bootstrapRule      = "CheckBootstrapVersion"
)

func (t *template) validate() error {
	for name := range t.Rules {
		if name != bootstrapRule {
			return fmt.Errorf("rule %s: template rules are not supported", name)
		}
	}
	for id, r := range t.Resources {
		if r.Type == "" {
			return fmt.Errorf("resource %s has no Type", id)
		}
	}
	return nil
}

// stringOrList decodes what CloudFormation lets be either.
type stringOrList []string

func (l *stringOrList) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*l = stringOrList{one}
		return nil
	}
	var many []string
	if err := json.Unmarshal(b, &many); err != nil {
		return fmt.Errorf("want a string or a list of strings: %w", err)
	}
	*l = many
	return nil
}

// readJSON decodes one file, keeping numbers as they are written.
func readJSON(path string, into any, strict bool) error {
	raw, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%s is missing; run the synthesis again", filepath.Base(path))
	}
	if err != nil {
		return fmt.Errorf("open %s: %w", filepath.Base(path), err)
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if strict {
		dec.DisallowUnknownFields()
	}
	if err = dec.Decode(into); err == nil {
		if _, more := dec.Token(); !errors.Is(more, io.EOF) {
			err = errors.New("something follows the document")
		}
	}
	if err != nil {
		return fmt.Errorf("decode %s, line %d: %w (it was edited by hand, or cut short: synthesize it again)",
			filepath.Base(path), line(raw, dec, err), err)
	}
	return nil
}

// line is where a file could not be decoded, counted from 1.
func line(raw []byte, dec *json.Decoder, err error) int {
	offset := dec.InputOffset()
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = syntax.Offset
	}
	if kind, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = kind.Offset
	}
	if errors.Is(err, io.ErrUnexpectedEOF) {
		offset = int64(len(raw))
	}
	return 1 + bytes.Count(raw[:min(max(offset, 0), int64(len(raw)))], []byte("\n"))
}
