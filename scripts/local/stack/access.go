package stack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/iam/authorize"
	"github.com/stowage-dev/stowage/scripts/local/iam/usage"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// defineAccess reads the policies of a model and decides by them from here on. An error leaves the
// former ones in force.
func (s *Stack) defineAccess(m *template.Model) error {
	p := policies{model: m, account: s.account}
	cfg := authorize.Config{
		Region: s.region, Account: s.account, Roles: p.roles(), Resources: p.resources(),
		Users:      map[string][]authorize.Document{s.developer(): {administrator()}},
		ObjectTags: s.objectTags, Observe: s.decided, Now: s.cfg.Now,
	}
	a, err := authorize.New(cfg)
	if err = errors.Join(err, errors.Join(p.errs...)); err != nil {
		return fmt.Errorf("read the policies: %w", err)
	}
	network, err := readNetwork(m)
	if err != nil {
		return fmt.Errorf("read the policies: %w", err)
	}
	former := s.access.Swap(a)
	if err := s.checkAccess(m); err != nil {
		s.access.Store(former)
		return err
	}
	s.network.Store(&network)
	return nil
}

func (s *Stack) openAccess() error {
	if s.cfg.Usage != "" {
		var err error
		if s.used, err = usage.Open(s.cfg.Usage); err != nil {
			return err
		}
		s.onClose("the record of used grants", s.used.Close)
	}
	return s.defineAccess(s.Model)
}

// authorize is the interceptor that enforces the policies.
func (s *Stack) authorize(ctx context.Context, c *gateway.Call) *gateway.Denial {
	return s.access.Load().Intercept(ctx, c)
}

// decided keeps what was used and what was denied.
func (s *Stack) decided(o authorize.Outcome) {
	if !o.Decision.Allowed {
		s.cfg.Logger.Warn("denied", "why", o.String())
	}
	if s.used != nil {
		s.used.Record(o)
	}
}

// objectTags are those of the very version that a call is about.
func (s *Stack) objectTags(ctx context.Context, bucket, key, version string) (map[string]string, bool, error) {
	tags, err := s.S3.ObjectTags(ctx, bucket, key, version)
	if errors.Is(err, s3.ErrNoObject) {
		return nil, false, nil
	}
	return tags, err == nil, err
}

// administrator is the policy of the developer whose keys dev.json holds.
func administrator() authorize.Document {
	document, _ := authorize.ManagedPolicy("arn:aws:iam::aws:policy/AdministratorAccess")
	return document
}

// policies gathers what a model says about access.
type policies struct {
	model   *template.Model
	account string
	errs    []error
}

func (p *policies) roles() []authorize.Role {
	var roles []authorize.Role
	for _, r := range p.model.Roles {
		role := authorize.Role{
			ARN: r.ARN, Managed: r.ManagedPolicyARNs, Trust: authorize.Document{Name: r.ConstructPath, JSON: r.Trust}, Tags: r.Tags,
		}
		for _, own := range r.Policies {
			role.Policies = append(role.Policies, authorize.Document{Name: own.Name, JSON: own.Document})
		}
		if r.PermissionsBoundary != "" {
			role.Boundary = p.boundary(r)
		}
		roles = append(roles, role)
	}
	return roles
}

// boundary finds the policy that bounds a role: one of the template, or one of AWS's own.
func (p *policies) boundary(r *template.Role) *authorize.Document {
	for _, managed := range p.model.Policies {
		if managed.ARN == r.PermissionsBoundary {
			return &authorize.Document{Name: managed.Name, JSON: managed.Document}
		}
	}
	document, ok := authorize.ManagedPolicy(r.PermissionsBoundary)
	if !ok {
		p.errs = append(p.errs, fmt.Errorf("role %s: the permissions boundary %s is neither in a stack nor among AWS's policies that are known here", r.ConstructPath, r.PermissionsBoundary))
	}
	return &document
}

func (p *policies) resources() []authorize.Resource {
	var list []authorize.Resource
	for _, b := range p.model.Buckets {
		list = append(list, authorize.Resource{ARN: b.ARN, Policies: documents(b.ConstructPath, b.Policies), Tags: b.Tags,
			KeyARN: p.keyARN(b.KeyARN), BucketKey: b.BucketKey})
	}
	for _, t := range p.model.Tables {
		keys := map[string]string{"": t.PartitionKey}
		for _, i := range slices.Concat(t.GlobalIndexes, t.LocalIndexes) {
			keys[i.Name] = i.PartitionKey
		}
		list = append(list, authorize.Resource{ARN: t.ARN, KeyARN: p.keyARN(t.KeyARN), PartitionKeys: keys})
	}
	for _, q := range p.model.Queues {
		list = append(list, authorize.Resource{ARN: q.ARN, Policies: documents(q.ConstructPath, q.Policies), KeyARN: p.keyARN(q.KeyARN)})
	}
	for _, secret := range p.model.Secrets {
		list = append(list, authorize.Resource{ARN: secret.ARN, Policies: documents(secret.ConstructPath, secret.Policies),
			KeyARN: p.keyARN(secret.KeyARN), Tags: secret.Tags})
	}
	for _, t := range p.model.Topics {
		list = append(list, authorize.Resource{ARN: t.ARN, Policies: documents(t.ConstructPath, t.Policies)})
	}
	for _, k := range p.model.Keys {
		list = append(list, authorize.Resource{ARN: k.ARN, Policies: documents(k.ConstructPath, []json.RawMessage{k.Policy})})
	}
	for _, f := range p.model.Functions {
		list = append(list, authorize.Resource{ARN: f.ARN, Policies: p.permissions(f)})
	}
	return list
}

func documents(name string, policies []json.RawMessage) []authorize.Document {
	var list []authorize.Document
	for _, document := range policies {
		list = append(list, authorize.Document{Name: name, JSON: document})
	}
	return list
}

// keyARN is the ARN of a key that is named by it, by its id or by an alias; empty for keys of AWS, which
// any caller of their service may use.
func (p *policies) keyARN(named string) string {
	for _, k := range p.model.Keys {
		if named == k.ARN || named == k.ID || slices.Contains(k.Aliases, named) {
			return k.ARN
		}
	}
	if strings.HasPrefix(named, "arn:") {
		return named
	}
	return ""
}

// permissions are the statements of a function's policy, as Lambda writes them for AddPermission.
func (p *policies) permissions(f *template.Function) []authorize.Document {
	var list []authorize.Document
	for _, permission := range p.model.Permissions {
		if permission.FunctionARN != f.ARN {
			continue
		}
		conditions := map[string]map[string]string{}
		if permission.SourceARN != "" {
			conditions["ArnLike"] = map[string]string{"AWS:SourceArn": permission.SourceARN}
		}
		if permission.SourceAccount != "" {
			conditions["StringEquals"] = map[string]string{"AWS:SourceAccount": permission.SourceAccount}
		}
		kind, principal := "AWS", permission.Principal
		if strings.HasSuffix(principal, ".amazonaws.com") {
			kind = "Service"
		}
		document, err := json.Marshal(map[string]any{"Version": "2012-10-17", "Statement": map[string]any{
			"Effect": "Allow", "Principal": map[string]string{kind: principal}, "Action": permission.Action, "Resource": f.ARN, "Condition": conditions,
		}})
		if err != nil {
			p.errs = append(p.errs, fmt.Errorf("%s: %w", permission.ConstructPath, err))
		}
		list = append(list, authorize.Document{Name: permission.ConstructPath, JSON: document})
	}
	return list
}
