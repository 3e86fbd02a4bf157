package stack

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/iam"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// networkPolicies are the policies of the network endpoints of a service: what goes
// through any of them goes through. A service without one is not reached.
type networkPolicies map[string][]*iam.Policy

func readNetwork(m *template.Model) (networkPolicies, error) {
	policies := networkPolicies{}
	for _, e := range m.NetworkEndpoints {
		document := e.Policy
		if len(document) == 0 { // what an endpoint has without one
			document = []byte(`{"Statement":{"Effect":"Allow","Principal":"*","Action":"*","Resource":"*"}}`)
		}
		policy, err := iam.Parse(iam.Resource, e.ConstructPath, document)
		if err != nil {
			return nil, fmt.Errorf("endpoint %s: %w", e.ConstructPath, err)
		}
		policies[e.Service] = append(policies[e.Service], policy)
	}
	return policies, nil
}

// reach refuses calls that a function in a network could not make. Without an endpoint
// it would wait there until its time-out; with one, the endpoint's policy decides too.
func (s *Stack) reach(ctx context.Context, c *gateway.Call) *gateway.Denial {
	if c.Caller == nil || c.Caller.Function == "" {
		return nil
	}
	m := s.present.Load()
	if !slices.ContainsFunc(m.Functions, func(f *template.Function) bool { return f.Name == c.Caller.Function && f.InNetwork }) {
		return nil
	}
	policies := (*s.network.Load())[c.Service]
	if len(policies) == 0 {
		message := fmt.Sprintf("%s stands in a network that has no endpoint of %s: on AWS this call would wait until it is given up", c.Caller.Function, c.Service)
		s.cfg.Logger.Warn("call out of a network", "why", message)
		return &gateway.Denial{Status: http.StatusServiceUnavailable, Code: "EndpointUnreachable", Message: message}
	}
	outcomes, err := s.access.Load().Decide(ctx, c)
	if err != nil {
		return nil // whoever enforces the roles' policies says so
	}
	for _, o := range outcomes {
		if !strings.HasPrefix(o.Request.Action, c.Service+":") || iam.Evaluate(o.Request, iam.Policies{Resource: policies}).Allowed {
			continue // what a service does inside, such as with a key, does not pass the endpoint
		}
		message := fmt.Sprintf("User: %s is not authorized to perform: %s on resource: %s because no VPC endpoint policy allows the %s action",
			o.Request.Principal.ARN, o.Request.Action, o.Request.Resource, o.Request.Action)
		s.cfg.Logger.Warn("denied", "why", message)
		return &gateway.Denial{Message: message}
	}
	return nil
}
