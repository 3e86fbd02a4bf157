package template

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

// Role is an IAM role with every policy that is attached to it.
type Role struct {
	Origin
	Name, ARN, ID       string
	Trust               json.RawMessage
	Policies            []Policy
	ManagedPolicyARNs   []string // of AWS's own policies; those of the template are among Policies
	Tags                map[string]string
	PermissionsBoundary string
	MaxSession          time.Duration
	// Unused are grants that the template itself says nothing uses, and why.
	Unused []UnusedGrant
}

// UnusedGrant says why a role is granted what no run uses.
type UnusedGrant struct {
	Actions  []string
	Resource string // as in the policy
	Reason   string
}

// Policy is a named policy document.
type Policy struct {
	Name     string
	Document json.RawMessage
}

// ManagedPolicy is a managed policy of the template. It stands among the policies of every role that it is
// attached to.
type ManagedPolicy struct {
	Origin
	ARN string
	Policy
}

// Key is a KMS key.
type Key struct {
	Origin
	ID, ARN string
	Policy  json.RawMessage
	Aliases []string
}

type roleProperties struct {
	AssumeRolePolicyDocument document
	Description              NoLocalEffect // for people
	ManagedPolicyArns        []string
	MaxSessionDuration       *integer
	Path                     string
	PermissionsBoundary      string
	Policies                 []struct {
		PolicyName     string
		PolicyDocument document
	}
	RoleName string
	Tags     tags
}

func decodeRole(d *decoder, r assembly.Resource) error {
	p, err := properties[roleProperties](r)
	if err != nil {
		return err
	}
	if len(p.AssumeRolePolicyDocument) == 0 {
		return errors.New("property AssumeRolePolicyDocument is required: without it nobody may assume the role")
	}
	role := &Role{
		Origin: origin(r), Name: r.Ref, ARN: r.Attributes["Arn"], ID: r.Attributes["RoleId"], Trust: p.AssumeRolePolicyDocument.raw(),
		ManagedPolicyARNs: p.ManagedPolicyArns, Tags: p.Tags.toMap(), PermissionsBoundary: p.PermissionsBoundary,
		MaxSession: seconds(p.MaxSessionDuration, time.Hour),
	}
	if role.Unused, err = unusedGrants(r); err != nil {
		return err
	}
	for _, inline := range p.Policies {
		role.Policies = append(role.Policies, Policy{inline.PolicyName, inline.PolicyDocument.raw()})
	}
	d.model.Roles = append(d.model.Roles, role)
	return nil
}

// unusedPrefix begins the name of a role's metadata that explains an UnusedGrant.
const unusedPrefix = "UnusedGrant"

func unusedGrants(r assembly.Resource) ([]UnusedGrant, error) {
	var grants []UnusedGrant
	for _, name := range slices.Sorted(maps.Keys(r.Metadata)) {
		if !strings.HasPrefix(name, unusedPrefix) {
			continue
		}
		raw, err := json.Marshal(r.Metadata[name])
		if err != nil {
			return nil, fmt.Errorf("metadata %s: %w", name, err)
		}
		var grant UnusedGrant
		in := json.NewDecoder(bytes.NewReader(raw))
		in.DisallowUnknownFields()
		if err := in.Decode(&grant); err != nil {
			return nil, fmt.Errorf("metadata %s must have Actions, Resource and Reason: %w", name, err)
		}
		if len(grant.Actions) == 0 || grant.Resource == "" || grant.Reason == "" {
			return nil, fmt.Errorf("metadata %s must have Actions, Resource and Reason", name)
		}
		grants = append(grants, grant)
	}
	return grants, nil
}

type policyProperties struct {
	Description       NoLocalEffect // for people
	ManagedPolicyName string
	Path              string
	PolicyDocument    document
	PolicyName        string
	Roles             []string
	Users, Groups     []string
}

func decodePolicy(d *decoder, r assembly.Resource) error {
	p, err := properties[policyProperties](r)
	if err != nil {
		return err
	}
	return d.attach(r, p, Policy{r.Name, p.PolicyDocument.raw()})
}

// decodeManagedPolicy attaches a managed policy both to the roles that it names
// and to those that name it.
func decodeManagedPolicy(d *decoder, r assembly.Resource) error {
	p, err := properties[policyProperties](r)
	if err != nil {
		return err
	}
	policy := Policy{r.Name, p.PolicyDocument.raw()}
	d.model.Policies = append(d.model.Policies, ManagedPolicy{Origin: origin(r), ARN: r.Ref, Policy: policy})
	d.later(r, func() error {
		for _, role := range d.model.Roles {
			if i := slices.Index(role.ManagedPolicyARNs, r.Ref); i >= 0 {
				role.ManagedPolicyARNs = slices.Delete(role.ManagedPolicyARNs, i, i+1)
				role.Policies = append(role.Policies, policy)
			}
		}
		return nil
	})
	return d.attach(r, p, policy)
}

func (d *decoder) attach(r assembly.Resource, p policyProperties, policy Policy) error {
	if len(p.Users) > 0 || len(p.Groups) > 0 {
		return fmt.Errorf("properties Users and Groups: the local runtime has roles only")
	}
	d.later(r, func() error {
		for _, name := range p.Roles {
			i := slices.IndexFunc(d.model.Roles, func(role *Role) bool { return role.Name == name })
			if i < 0 {
				return fmt.Errorf("property Roles: no stack declares the role %s", name)
			}
			d.model.Roles[i].Policies = append(d.model.Roles[i].Policies, policy)
		}
		return nil
	})
	return nil
}

func decodeKey(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		Description                             NoLocalEffect // for people
		EnableKeyRotation, RotationPeriodInDays NoLocalEffect // nothing is encrypted locally
		Enabled                                 NoLocalEffect // nothing is encrypted locally
		KeyPolicy                               document
		KeySpec, KeyUsage, Origin, MultiRegion  NoLocalEffect // nothing is encrypted locally
		BypassPolicyLockoutSafetyCheck          NoLocalEffect // the account cannot lock itself out
		PendingWindowInDays                     NoLocalEffect // nothing deletes keys
		Tags                                    NoLocalEffect // keys are not matched by tag
	}](r)
	if err != nil {
		return err
	}
	d.model.Keys = append(d.model.Keys, &Key{Origin: origin(r), ID: r.Ref, ARN: r.Attributes["Arn"], Policy: p.KeyPolicy.raw()})
	return nil
}

func decodeAlias(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		AliasName   string
		TargetKeyID string
	}](r)
	if err != nil {
		return err
	}
	d.later(r, func() error {
		for _, k := range d.model.Keys {
			if p.TargetKeyID == k.ARN || p.TargetKeyID == k.ID {
				k.Aliases = append(k.Aliases, p.AliasName)
				return nil
			}
		}
		return fmt.Errorf("property TargetKeyId: no stack declares the key %s", p.TargetKeyID)
	})
	return nil
}

// service is the service of an ARN.
func service(arn string) string {
	parts := strings.SplitN(arn, ":", 4)
	if len(parts) < 4 {
		return ""
	}
	return parts[2]
}
