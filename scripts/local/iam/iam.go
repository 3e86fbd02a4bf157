// Package iam evaluates IAM policies as AWS documents it: "Policy evaluation
// logic" and "IAM JSON policy element reference" of the IAM User Guide
// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html).
//
// It is pure: Parse checks and compiles a document, Evaluate decides a request
// against compiled policies. What it does not know (an element, an operator, a
// condition key, an action of a service that it knows) is an error of Parse
// that names it, never a statement that silently does not apply.
//
// All accounts are one: there are no service or resource control policies, no
// groups and no federation. A request of another
// account's principal is decided as AWS does: both sides must allow it.
//
// Policies are immutable after Parse; everything is safe for concurrent use.
package iam

import (
	"fmt"
	"strings"
)

// Kind is what a policy is attached to, and so which elements it has.
type Kind int

// Kinds of policies.
const (
	Identity Kind = iota // of a role or user, inline or managed
	Resource             // of a bucket, queue, key, secret, ...
	Trust                // of a role: who may assume it
	Boundary             // permissions boundary of a role or user
	Session              // passed when a role was assumed
)

// String is the kind in the words of AWS's messages.
func (k Kind) String() string {
	switch k {
	case Identity:
		return "identity-based policy"
	case Resource:
		return "resource-based policy"
	case Trust:
		return "role trust policy"
	case Boundary:
		return "permissions boundary"
	case Session:
		return "session policy"
	}
	return fmt.Sprintf("policy kind %d", int(k))
}

// hasPrincipal says whether statements of this kind name principals.
func (k Kind) hasPrincipal() bool { return k == Resource || k == Trust }

// Principal is who makes a request.
type Principal struct {
	ARN     string // of the user or of the role session; empty for a service and for nobody
	RoleARN string // of the role of a session
	UserID  string // unique id, of a session with ":<session>" behind it
	Service string // an AWS service that acts for itself: events.amazonaws.com
}

// Anonymous says that a request was not signed.
func (p Principal) Anonymous() bool { return p.ARN == "" && p.Service == "" }

// Account is the account that the principal belongs to; empty for a service and for nobody.
func (p Principal) Account() string { return segment(p.ARN, arnAccount) }

// isRoot says that the principal is the account itself, which no identity policy limits.
func (p Principal) isRoot() bool { return segment(p.ARN, arnResource) == "root" }

// Request is one action on one resource by one principal.
type Request struct {
	Principal Principal
	Action    string // s3:GetObject
	Resource  string // ARN, or * when the action has none
	// ResourceAccount owns the resource, where its ARN does not say it (S3's does not). Empty: the
	// principal's.
	ResourceAccount string
	Context         Context

	action string // in lower case
}

// prepared is the request as statements want it.
func (r Request) prepared() Request {
	r.action = strings.ToLower(r.Action)
	if r.Context == nil {
		r.Context = Context{}
	}
	return r
}

// Context are the condition keys of a request, by name in lower case, with their values. A key with no
// value counts as absent.
type Context map[string][]string

// Set gives a key its values.
func (c Context) Set(key string, values ...string) { c[strings.ToLower(key)] = values }

// values of a key whose name is in lower case.
func (c Context) values(key string) ([]string, bool) {
	v := c[key]
	return v, len(v) > 0
}

// Policies are all that apply to a request.
type Policies struct {
	Identity []*Policy
	Resource []*Policy
	Boundary *Policy   // nil: none
	Session  []*Policy // what any of them allows, the session allows; empty: no limit
	// ResourceDecides says that the resource's policy must allow the request: a key's (KMS), a role's
	// trust policy. Other services do with one side where both are of one account.
	ResourceDecides bool
}

// Ref names a statement of a policy.
type Ref struct {
	Kind   Kind
	Policy string // its name, as given to Parse
	Sid    string
	Index  int // of the statement, from 0
}

// String says where to look.
func (r Ref) String() string {
	where := fmt.Sprintf("%s %s, statement %d", r.Kind, r.Policy, r.Index)
	if r.Sid != "" {
		where += " (" + r.Sid + ")"
	}
	return where
}

// Decision is what becomes of a request.
type Decision struct {
	Allowed bool
	// Explicit says that Because denies the request; otherwise it is denied for want of an Allow.
	Explicit bool
	// Because is the statement that denies; of an implicit denial, only its Kind is set: the policies
	// that would have had to allow the request.
	Because Ref
	// Grants are the statements that allow the request, of every kind that had to.
	Grants []Grant
}

// Grant is a statement that allows a request, with those of its words that match.
type Grant struct {
	Ref
	Action   string // s3:Get*; empty where the statement has NotAction
	Resource string // arn:aws:s3:::bucket/*; empty where it has NotResource
}

// Message explains a denial in AWS's words.
func (d Decision) Message(r Request) string {
	who := r.Principal.ARN
	switch {
	case r.Principal.Service != "":
		who = r.Principal.Service
	case r.Principal.Anonymous():
		who = "anonymous"
	}
	message := fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s", who, r.Action, r.Resource)
	article := "a"
	if d.Because.Kind == Identity {
		article = "an"
	}
	if d.Explicit {
		return message + fmt.Sprintf(" with an explicit deny in %s %s", article, d.Because.Kind)
	}
	return message + fmt.Sprintf(" because no %s allows the %s action", d.Because.Kind, r.Action)
}

// Parts of an ARN: arn:partition:service:region:account:resource.
const (
	arnService  = 2
	arnAccount  = 4
	arnResource = 5
	arnParts    = 6
)

// segment is one part of an ARN; empty when it is none.
func segment(arn string, part int) string {
	parts := strings.SplitN(arn, ":", arnParts)
	if len(parts) != arnParts || parts[0] != "arn" {
		return ""
	}
	return parts[part]
}
