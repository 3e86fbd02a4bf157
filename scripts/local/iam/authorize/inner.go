package authorize

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
	"github.com/stowage-dev/stowage/scripts/local/iam"
)

// Inner is something that AWS does inside: S3 that sends to a queue, EventBridge that invokes a function,
// Lambda that reads a stream with a function's role.
type Inner struct {
	// Caller is the session of a role with which it is done. Nil: the service does it as itself.
	Caller *gateway.Caller
	// Service is the principal that does it as itself: s3.amazonaws.com.
	Service string
	// Source is the ARN of what it is done for: the bucket, the rule. Empty: nothing is said of it.
	Source string

	Action   string // sqs:SendMessage
	Resource string // ARN
	// Asked says that nothing is done, and Observe not told: it is asked whether it could be.
	Asked bool
}

// ErrDenied is what every error of Permit wraps.
var ErrDenied = errors.New("access denied")

// Permit says why something may not be done, or gives nil. What it rests on beside the action itself (the
// key of an encrypted queue, for one) must be permitted too.
func (a *Authorizer) Permit(ctx context.Context, in Inner) error {
	service, name, _ := strings.Cut(in.Action, ":")
	call := &gateway.Call{
		Caller: in.Caller, Service: service, Received: a.cfg.Now(), Request: &http.Request{URL: &url.URL{}, Header: http.Header{}},
		Operation: operation.Operation{Name: name, Resource: in.Resource, Actions: []operation.Action{{Name: in.Action, Resource: in.Resource}}},
	}
	requests, err := a.requests(ctx, call)
	if err != nil {
		return err
	}
	if in.Caller == nil {
		for i := range requests {
			a.actsAsItself(&requests[i], in)
		}
	}
	outcomes, err := a.evaluate(in.Caller, requests)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrDenied, err)
	}
	if !in.Asked {
		a.observe(outcomes)
	}
	if denied := denial(outcomes); denied != nil {
		return fmt.Errorf("%w: %s", ErrDenied, denied)
	}
	return nil
}

// actsAsItself makes a request that of a service. ("Cross-service confused deputy prevention" says which
// keys it brings.)
func (a *Authorizer) actsAsItself(r *iam.Request, in Inner) {
	r.Principal = iam.Principal{Service: in.Service}
	r.Context.Set("aws:PrincipalType")
	r.Context.Set("aws:PrincipalIsAWSService", "true")
	r.Context.Set("aws:PrincipalServiceName", in.Service)
	r.Context.Set("aws:PrincipalServiceNamesList", in.Service)
	r.Context.Set("aws:SourceAccount", a.cfg.Account)
	if in.Source != "" {
		r.Context.Set("aws:SourceArn", in.Source)
	}
}
