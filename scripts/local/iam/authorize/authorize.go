// Package authorize decides calls to the gateway by the policies of a template:
// those of the caller's role with its boundary, those passed to its session, and
// those of the resources. It gives each action of a call its condition keys, as
// the service that is called would, and adds the actions that the call depends
// on: kms:Decrypt for reading an encrypted object, and so on.
//
// An Authorizer's Intercept is a gateway.Interceptor; Permit decides what AWS
// does inside, where no call passes a gateway. New refuses policies that it does
// not understand wholly.
//
// Differences from AWS: a DeleteObjects call is denied as a whole when one of
// its keys is; a copy that keeps its source's tags is not asked for the
// permission to read and write them; aws:SecureTransport is always true.
package authorize

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// Document is a policy document with the name that messages give it.
type Document struct {
	Name string
	JSON []byte
}

// Role is a role with everything attached to it.
type Role struct {
	ARN      string
	Policies []Document // inline ones, and managed ones of the template
	Managed  []string   // ARNs of AWS's own policies
	Boundary *Document  // permissions boundary; nil: none
	Trust    Document
	Tags     map[string]string
}

// Resource is a resource with what decides about it.
type Resource struct {
	ARN      string // of the bucket, not of its objects; of the table, not of its indexes
	Policies []Document
	Tags     map[string]string
	KeyARN   string // KMS key that encrypts it; empty: none of the template's
	// BucketKey says that a bucket's objects are encrypted with a key of the bucket.
	BucketKey bool
	// PartitionKeys are a table's, by index; that of the table itself stands under "".
	PartitionKeys map[string]string
}

// Config configures an Authorizer.
type Config struct {
	Region, Account string
	Roles           []Role
	Users           map[string][]Document // policies of users, by ARN
	Resources       []Resource
	// ObjectTags gives the tags of a version of an object, the newest if versionID is empty; false when
	// there is none.
	ObjectTags func(ctx context.Context, bucket, key, versionID string) (map[string]string, bool, error)
	// Observe is told of everything that Intercept and Permit decide. It must not block. Nil: nobody looks.
	Observe func(Outcome)
	Now     func() time.Time // nil: time.Now
}

// Authorizer decides calls. It is safe for concurrent use.
type Authorizer struct {
	cfg       Config
	roles     map[string]*role
	users     map[string][]*iam.Policy
	resources map[string]*resource
	headers   []s3Header
}

type role struct {
	policies []*iam.Policy
	boundary *iam.Policy
	tags     map[string]string
}

type resource struct {
	Resource
	policies []*iam.Policy
}

// New parses every policy and reports all that is wrong with them.
func New(cfg Config) (*Authorizer, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Observe == nil {
		cfg.Observe = func(Outcome) {}
	}
	a := &Authorizer{cfg: cfg, roles: map[string]*role{}, users: map[string][]*iam.Policy{}, resources: map[string]*resource{}, headers: s3HeaderKeys()}
	var errs []error
	for _, r := range cfg.Roles {
		errs = append(errs, a.addRole(r))
	}
	for arn, documents := range cfg.Users {
		policies, err := parseAll(iam.Identity, documents)
		a.users[arn] = policies
		errs = append(errs, in("user", arn, err))
	}
	for _, r := range cfg.Resources {
		policies, err := parseAll(iam.Resource, r.Policies)
		a.resources[r.ARN] = &resource{Resource: r, policies: policies}
		errs = append(errs, in("resource", r.ARN, err))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return a, nil
}

func (a *Authorizer) addRole(r Role) error {
	documents := slices.Clip(r.Policies) // the caller's
	for _, arn := range r.Managed {
		document, ok := ManagedPolicy(arn)
		if !ok {
			return in("role", r.ARN, fmt.Errorf("AWS's policy %s is not known here", arn))
		}
		documents = append(documents, document)
	}
	policies, err := parseAll(iam.Identity, documents)
	parsed := &role{policies: policies, tags: r.Tags}
	if r.Boundary != nil {
		var boundaryErr error
		parsed.boundary, boundaryErr = iam.Parse(iam.Boundary, r.Boundary.Name, r.Boundary.JSON)
		err = errors.Join(err, boundaryErr)
	}
	trust, trustErr := iam.Parse(iam.Trust, r.Trust.Name, r.Trust.JSON)
	a.roles[r.ARN] = parsed
	a.resources[r.ARN] = &resource{Resource: Resource{ARN: r.ARN, Tags: r.Tags}, policies: []*iam.Policy{trust}}
	return in("role", r.ARN, errors.Join(err, trustErr))
}

func parseAll(kind iam.Kind, documents []Document) ([]*iam.Policy, error) {
	var (
		policies []*iam.Policy
		errs     []error
	)
	for _, d := range documents {
		p, err := iam.Parse(kind, d.Name, d.JSON)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		policies = append(policies, p)
	}
	return policies, errors.Join(errs...)
}

// in says where an error is; nil stays nil.
func in(what, arn string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %s: %w", what, arn, err)
}

// Outcome is one action of a call and what was decided of it.
type Outcome struct {
	Caller   *gateway.Caller // nil: nobody, or a service of AWS
	Request  iam.Request
	Decision iam.Decision
	Hints    []string // of a denial for want of an Allow: iam.Explain
}

// String explains a denial: in AWS's words, then in those that look for the reason.
func (o Outcome) String() string {
	said := o.Decision.Message(o.Request)
	if o.Decision.Explicit {
		return said + ": " + o.Decision.Because.String()
	}
	return strings.Join(append([]string{said}, o.Hints...), "; ")
}

// Decide decides every action of a call, up to the first that is denied. A call that needs no permission
// has no outcome; one whose operation cannot be told is an error.
func (a *Authorizer) Decide(ctx context.Context, c *gateway.Call) ([]Outcome, error) {
	if c.Name == "" {
		return nil, fmt.Errorf("%s: the operation cannot be told, so that nothing can permit it", c.Service)
	}
	requests, err := a.requests(ctx, c)
	if err != nil {
		return nil, err
	}
	return a.evaluate(c.Caller, requests)
}

func (a *Authorizer) evaluate(caller *gateway.Caller, requests []iam.Request) ([]Outcome, error) {
	outcomes := make([]Outcome, 0, len(requests))
	for _, r := range requests {
		policies, err := a.policies(caller, r)
		if err != nil {
			return outcomes, err
		}
		o := Outcome{Caller: caller, Request: r, Decision: iam.Evaluate(r, policies)}
		if !o.Decision.Allowed && !o.Decision.Explicit {
			o.Hints = iam.Explain(r, policies)
		}
		outcomes = append(outcomes, o)
		if !o.Decision.Allowed {
			break
		}
	}
	return outcomes, nil
}

func (a *Authorizer) observe(outcomes []Outcome) {
	for _, o := range outcomes {
		a.cfg.Observe(o)
	}
}

// denial is the outcome that denies, which is the last; nil when there is none.
func denial(outcomes []Outcome) *Outcome {
	if n := len(outcomes); n > 0 && !outcomes[n-1].Decision.Allowed {
		return &outcomes[n-1]
	}
	return nil
}

// Intercept refuses a call that is not authorized; it is a gateway.Interceptor.
func (a *Authorizer) Intercept(ctx context.Context, c *gateway.Call) *gateway.Denial {
	outcomes, err := a.Decide(ctx, c)
	if errors.Is(err, errLookup) {
		return &gateway.Denial{Status: http.StatusServiceUnavailable, Code: "ServiceUnavailable", Message: err.Error()}
	}
	if err != nil {
		return &gateway.Denial{Message: err.Error()}
	}
	denied := denial(outcomes)
	if denied != nil {
		if forged := c.Forged(); forged != nil { // nobody was denied anything: who calls is not known
			return forged
		}
	}
	a.observe(outcomes)
	if denied != nil {
		return deny(c, *denied)
	}
	return nil
}

// errLookup says that what a decision rests on could not be found out: that is no denial, and whoever
// calls may try again.
var errLookup = errors.New("look up the object's tags")

// deny words a denial as the service does. Of KMS's, the service that called it tells.
func deny(c *gateway.Call, o Outcome) *gateway.Denial {
	message := o.Decision.Message(o.Request)
	if c.Service == "sqs" { // which writes its actions in lower case
		message = strings.ReplaceAll(message, o.Request.Action, strings.ToLower(o.Request.Action))
	}
	d := &gateway.Denial{Message: message}
	if strings.HasPrefix(o.Request.Action, "kms:") && c.Service == "sqs" {
		d.Status, d.Code = http.StatusBadRequest, "KMS.AccessDeniedException"
	}
	return d
}

// policies are all that apply to a request.
func (a *Authorizer) policies(caller *gateway.Caller, r iam.Request) (iam.Policies, error) {
	p := iam.Policies{ResourceDecides: strings.HasPrefix(r.Action, "kms:") || strings.HasPrefix(r.Action, "sts:") && r.Resource != "*"}
	if target := a.resourceOf(r.Resource); target != nil {
		p.Resource = target.policies
	}
	switch {
	case caller == nil:
	case caller.RoleARN != "":
		own := a.roles[caller.RoleARN]
		if own == nil {
			return p, fmt.Errorf("the role %s is not in the template", caller.RoleARN)
		}
		p.Identity, p.Boundary = own.policies, own.boundary
		for _, document := range caller.SessionPolicies {
			policy, err := iam.Parse(iam.Session, "of "+caller.PrincipalARN, []byte(document))
			if err != nil {
				return p, err
			}
			p.Session = append(p.Session, policy)
		}
	default:
		p.Identity = a.users[caller.PrincipalARN]
	}
	return p, nil
}

// resourceOf finds the resource that an ARN is of, or below of: an object's bucket, an index's table.
func (a *Authorizer) resourceOf(arn string) *resource {
	if r := a.resources[arn]; r != nil {
		return r
	}
	switch {
	case strings.HasPrefix(arn, "arn:aws:s3:::"):
		bucket, _, _ := strings.Cut(arn, "/")
		return a.resources[bucket]
	case strings.HasPrefix(arn, "arn:aws:dynamodb:"):
		parts := strings.SplitN(arn, "/", 3)
		if len(parts) == 3 {
			return a.resources[parts[0]+"/"+parts[1]]
		}
	}
	return nil
}
