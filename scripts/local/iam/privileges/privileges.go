// Package privileges compares what the roles of a template are granted with what
// was used of it, over all runs that kept a record (package usage).
//
// Least privilege is proved when every action on every resource that a role's
// policies allow was used, or the template says why it is granted all the same
// (metadata of the role, which infra/patterns.ExplainUnused writes), and when
// nothing was denied. A wildcard in an action stands for every action that it
// matches.
//
// Only roles that run here are looked at: those of functions and of database proxies, and
// those that other roles assume. Those of CloudFormation's custom resources are not.
package privileges

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/iam"
	"github.com/stowage-dev/stowage/scripts/local/iam/authorize"
	"github.com/stowage-dev/stowage/scripts/local/iam/usage"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// Report is what became of every grant.
type Report struct {
	Roles   []Role
	Denials []usage.Line // each once
	Stale   []string     // reasons for what is used, or not granted
}

// Role is a role with what it is granted.
type Role struct {
	Path   string // of its construct
	Grants []Grant
}

// Grant is one word of a statement about actions, on one of its resources.
type Grant struct {
	Policy           string
	Statement        int
	Action, Resource string
	Used             bool
	Missing          []string // of a wildcard: actions that it matches and nobody used
	Reason           string   // why it is granted, as the template has it
}

// OK says whether the grant is needed, or explained.
func (g Grant) OK() bool { return g.Used && len(g.Missing) == 0 || g.Reason != "" }

// New compares a template with the lines of a record.
func New(m *template.Model, lines []usage.Line) (Report, error) {
	var report Report
	var errs []error
	used := map[usage.Grant]map[string]bool{} // of a role
	for _, r := range m.Roles {
		if !runsHere(m, r) {
			continue
		}
		clear(used)
		for _, l := range lines {
			if l.Role != r.ARN {
				continue
			}
			if l.Denial != nil {
				report.deny(l)
				continue
			}
			if used[*l.Grant] == nil {
				used[*l.Grant] = map[string]bool{}
			}
			used[*l.Grant][l.Action] = true
		}
		role, stale, err := compare(r, used)
		errs = append(errs, err)
		report.Roles, report.Stale = append(report.Roles, role), append(report.Stale, stale...)
	}
	slices.SortFunc(report.Roles, func(a, b Role) int { return strings.Compare(a.Path, b.Path) })
	return report, errors.Join(errs...)
}

func (r *Report) deny(l usage.Line) {
	if !slices.ContainsFunc(r.Denials, func(d usage.Line) bool { return d.Denial.Why == l.Denial.Why }) {
		r.Denials = append(r.Denials, l)
	}
}

// runsHere says whether a role is a function's or a database proxy's, or one that others
// assume.
func runsHere(m *template.Model, r *template.Role) bool {
	if slices.ContainsFunc(m.Functions, func(f *template.Function) bool { return f.RoleARN == r.ARN }) ||
		slices.ContainsFunc(m.Proxies, func(p *template.DatabaseProxy) bool { return p.RoleARN == r.ARN }) {
		return true
	}
	var trust struct {
		Statement []struct {
			Principal struct{ AWS any }
		}
	}
	_ = json.Unmarshal(r.Trust, &trust) // the runtime has read it
	return slices.ContainsFunc(trust.Statement, func(s struct {
		Principal struct{ AWS any }
	}) bool {
		return s.Principal.AWS != nil
	})
}

// compare lists a role's grants with what was used of them.
func compare(r *template.Role, used map[usage.Grant]map[string]bool) (Role, []string, error) {
	role := Role{Path: r.ConstructPath}
	var errs []error
	explained := map[string]bool{}
	for _, document := range documents(r) {
		policy, err := iam.Parse(iam.Identity, document.Name, document.JSON)
		if err != nil {
			errs = append(errs, fmt.Errorf("role %s: %w", r.ConstructPath, err))
			continue
		}
		for _, p := range policy.Permissions() {
			if p.Resource == "" || p.Action == "" {
				errs = append(errs, fmt.Errorf("role %s: %s has NotAction or NotResource: what it grants cannot be listed", r.ConstructPath, p.Ref))
				continue
			}
			actions := used[usage.Grant{Policy: p.Policy, Statement: p.Index, Action: p.Action, Resource: p.Resource}]
			g := Grant{Policy: p.Policy, Statement: p.Index, Action: p.Action, Resource: p.Resource, Used: len(actions) > 0}
			for _, a := range p.Actions {
				if !actions[a] {
					g.Missing = append(g.Missing, a)
				}
			}
			if !g.OK() {
				g.Reason = reason(r, g, explained)
			}
			role.Grants = append(role.Grants, g)
		}
	}
	var stale []string
	for _, u := range r.Unused {
		for _, a := range u.Actions {
			if !explained[a+" "+u.Resource] {
				stale = append(stale, fmt.Sprintf("%s: %s on %s is used, or not granted: drop the reason %q", r.ConstructPath, a, u.Resource, u.Reason))
			}
		}
	}
	return role, stale, errors.Join(errs...)
}

func documents(r *template.Role) []authorize.Document {
	var list []authorize.Document
	for _, p := range r.Policies {
		list = append(list, authorize.Document{Name: p.Name, JSON: p.Document})
	}
	for _, arn := range r.ManagedPolicyARNs {
		if document, ok := authorize.ManagedPolicy(arn); ok {
			list = append(list, document)
		}
	}
	return list
}

// reason finds what the template says of a grant, and notes that it was asked for.
func reason(r *template.Role, g Grant, explained map[string]bool) string {
	for _, u := range r.Unused {
		if u.Resource == g.Resource && slices.Contains(u.Actions, g.Action) {
			explained[g.Action+" "+g.Resource] = true
			return u.Reason
		}
	}
	return ""
}
