package stack

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/api"
	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/issuer"
	"github.com/stowage-dev/stowage/scripts/local/secrets"
	"github.com/stowage-dev/stowage/scripts/local/sts"
	"github.com/stowage-dev/stowage/scripts/local/template"
)

// GatewayURL is where AWS calls go.
func (s *Stack) GatewayURL() string { return address(s.listeners[gatewayName]) }

// APIURL is where the first HTTP API is served; empty when there is none.
func (s *Stack) APIURL() string {
	if len(s.Model.APIs) == 0 {
		return ""
	}
	return s.Model.APIs[0].Endpoint
}

func (s *Stack) startGateway(ctx context.Context) error {
	store, err := s.secretStore()
	if err != nil {
		return err
	}
	services, err := s.services(store)
	if err != nil {
		return err
	}
	cfg := gateway.Config{
		Listener: s.listeners[gatewayName], Region: s.region, Account: s.account, Credentials: s.credentials, Services: services,
		SecretARN: store.ARN, Intercept: slices.Concat([]gateway.Interceptor{s.tracing.intercept}, s.cfg.Intercept, []gateway.Interceptor{s.reach, s.authorize}), Observe: s.called, Logger: s.cfg.Logger, Now: s.cfg.Now,
	}
	if s.Gateway, err = gateway.New(cfg); err != nil { //nolint:contextcheck // it serves beyond the start
		return err
	}
	s.onClose("the faults", s.Chaos.Close)
	if err := s.Gateway.Start(ctx); err != nil {
		return err
	}
	s.onClose("the gateway", s.Gateway.Close)
	return nil
}

// services are what the gateway hands calls to.
func (s *Stack) services(store *secrets.Store) (map[string]http.Handler, error) {
	tables, err := gateway.NewProxy(s.DynamoDB.Endpoint())
	if err != nil {
		return nil, err
	}
	objects, err := gateway.NewProxy(s.S3.Endpoint())
	if err != nil {
		return nil, err
	}
	roles, err := s.tokenService(s.Model)
	if err != nil {
		return nil, err
	}
	s.roles.replace(roles)
	services := map[string]http.Handler{
		gateway.S3: objects, gateway.DynamoDB: tables, gateway.DynamoDBStreams: tables,
		"sqs": s.Broker, "events": s.Bus, "sts": &s.roles, "secretsmanager": store, "lambda": s.Host,
	}
	for name, service := range services {
		services[name] = s.Chaos.Service(name, service)
	}
	return services, nil
}

func (s *Stack) called(c *gateway.Call, status int, took time.Duration) {
	if c.Service == gateway.DynamoDB {
		s.wakeStreams(c.Name, status)
	}
	if call, ok := s.tracing.called(c, status, took); ok {
		s.console.Called(call)
	}
	s.cfg.OnCall(c, status, took)
}

func (s *Stack) tokenService(m *template.Model) (*sts.Service, error) {
	cfg := sts.Config{Account: s.account, Credentials: s.credentials, Logger: s.cfg.Logger}
	for _, r := range m.Roles {
		cfg.Roles = append(cfg.Roles, sts.Role{Name: r.Name, ARN: r.ARN, ID: r.ID, Trust: string(r.Trust), MaxSession: r.MaxSession, Tags: r.Tags})
	}
	service, err := sts.New(cfg)
	if err != nil {
		return nil, fmt.Errorf("read the roles: %w", err)
	}
	return service, nil
}

func (s *Stack) secretStore() (*secrets.Store, error) {
	cfg := secrets.Config{StateDir: s.state.data("secrets"), Logger: s.cfg.Logger, Now: s.cfg.Now}
	for _, declared := range s.Model.Secrets {
		secret := secrets.Secret{ARN: declared.ARN, Name: declared.Name, Description: declared.Description, Value: declared.Value, Tags: declared.Tags}
		if g := declared.Generate; g != nil {
			secret.Generate = &secrets.Generate{
				Length: g.Length, ExcludeCharacters: g.ExcludeCharacters, ExcludeLowercase: g.ExcludeLowercase, ExcludeUppercase: g.ExcludeUppercase,
				ExcludeNumbers: g.ExcludeNumbers, ExcludePunctuation: g.ExcludePunctuation, IncludeSpace: g.IncludeSpace,
				AllowEachIncludedType: !g.RequireEachIncludedType, SecretStringTemplate: g.Template, GenerateStringKey: g.Key,
			}
		}
		cfg.Secrets = append(cfg.Secrets, secret)
	}
	store, err := secrets.Open(cfg)
	if err != nil {
		return nil, fmt.Errorf("open the secrets: %w", err)
	}
	return store, nil
}

func (s *Stack) startIssuer(ctx context.Context) error {
	l, err := listen("the token issuer", "--issuer-port", s.cfg.IssuerPort)
	if err != nil {
		return err
	}
	s.hold("the token issuer", l)
	cfg := issuer.Config{Region: s.region, StateDir: s.state.data("issuer"), Listener: l, Invoke: s.trigger, Logger: s.cfg.Logger, Now: s.cfg.Now}
	for _, p := range s.Model.UserPools {
		cfg.Pools = append(cfg.Pools, pool(p))
	}
	if s.Issuer, err = issuer.New(cfg); err != nil {
		return err
	}
	if err := s.Issuer.Start(ctx); err != nil {
		return err
	}
	s.onClose("the token issuer", s.Issuer.Close)
	return nil
}

func pool(p *template.UserPool) issuer.Pool {
	out := issuer.Pool{ID: p.ID, ARN: p.ARN}
	if p.TriggerARN != "" {
		out.Trigger = &issuer.PreTokenGeneration{FunctionARN: p.TriggerARN, Version: p.TriggerVersion}
	}
	for _, c := range p.Clients {
		out.Clients = append(out.Clients, issuer.Client(c))
	}
	for _, r := range p.ResourceServers {
		out.ResourceServers = append(out.ResourceServers, issuer.ResourceServer(r))
	}
	return out
}

func (s *Stack) startAPIs(ctx context.Context) error {
	log, err := s.logFile("api")
	if err != nil {
		return err
	}
	for _, declared := range s.Model.APIs {
		cfg, err := httpAPI(declared)
		if err != nil {
			return err
		}
		cfg.Account, cfg.Region, cfg.Listener = s.account, s.region, s.listeners[apiName(declared.Stack, declared.LogicalID)]
		cfg.Invoker, cfg.Keys, cfg.AccessLog, cfg.Logger, cfg.Now = syncInvoker{s.Host, s.tracing}, s.Issuer, log, s.cfg.Logger, s.cfg.Now
		cfg.Permit, cfg.Observe = s.permitAPI, s.console.Requested
		server, err := api.New(cfg)
		if err != nil {
			return err
		}
		if err := server.Start(ctx); err != nil {
			return err
		}
		s.onClose("the HTTP API "+declared.Name, server.Close)
		s.APIs = append(s.APIs, server)
	}
	return nil
}

func httpAPI(a *template.API) (api.Config, error) {
	cfg := api.Config{ID: a.ID, Name: a.Name}
	for _, r := range a.Routes {
		integration, ok := a.Integrations[r.Integration]
		if !ok {
			return cfg, fmt.Errorf("%s: route %s names the integration %s, which the API does not have", a.ConstructPath, r.Key, r.Integration)
		}
		route := api.Route{Key: r.Key, Integration: api.Integration(integration), Scopes: r.Scopes}
		if r.AuthorizerID != "" {
			authorizer, ok := a.Authorizers[r.AuthorizerID]
			if !ok {
				return cfg, fmt.Errorf("%s: route %s names the authorizer %s, which the API does not have", a.ConstructPath, r.Key, r.AuthorizerID)
			}
			route.Authorizer = authorizer.Name
		}
		cfg.Routes = append(cfg.Routes, route)
	}
	for _, j := range a.Authorizers {
		cfg.Authorizers = append(cfg.Authorizers, api.JWTAuthorizer{Name: j.Name, Issuer: j.Issuer, Audience: j.Audience, IdentitySource: j.IdentitySources})
	}
	if a.CORS != nil {
		cors := api.CORS(*a.CORS)
		cfg.CORS = &cors
	}
	for _, st := range a.Stages {
		stage := api.Stage{Name: st.Name, Throttle: api.Throttle(st.Throttle), RouteThrottles: map[string]api.Throttle{},
			AccessLogFormat: st.AccessLogFormat, Variables: st.Variables}
		for key, t := range st.RouteThrottles {
			stage.RouteThrottles[key] = api.Throttle(t)
		}
		cfg.Stages = append(cfg.Stages, stage)
	}
	return cfg, nil
}

// Mint issues a token with every custom scope of the first user pool to a user,
// through the client that people use (one without a secret) if there is one.
func (s *Stack) Mint(ctx context.Context, sub string) (string, time.Time, error) {
	if len(s.Model.UserPools) == 0 {
		return "", time.Time{}, fmt.Errorf("the assembly declares no user pool")
	}
	p := s.Model.UserPools[0]
	req := issuer.MintRequest{Pool: p.ID, Sub: sub}
	for _, r := range p.ResourceServers {
		for _, scope := range r.Scopes {
			req.Scopes = append(req.Scopes, r.Identifier+"/"+scope)
		}
	}
	for _, c := range p.Clients {
		if !c.GenerateSecret {
			req.ClientID = c.ID
			break
		}
	}
	return s.Issuer.Mint(ctx, req)
}
