package template

import (
	"fmt"
	"strings"
	"time"

	"github.com/stowage-dev/stowage/scripts/local/assembly"
)

// API is an HTTP API.
type API struct {
	Origin
	ID, Name, Endpoint string
	CORS               *CORS
	Routes             []Route
	Integrations       map[string]Integration   // by id
	Authorizers        map[string]JWTAuthorizer // by id
	Stages             []Stage
}

// CORS is what an HTTP API answers about other origins.
type CORS struct {
	AllowOrigins, AllowMethods, AllowHeaders, ExposeHeaders []string
	AllowCredentials                                        bool
	MaxAge                                                  time.Duration
}

// Route sends requests to an integration.
type Route struct {
	Key          string // "GET /v1/objects/{id}" or "$default"
	Integration  string // id
	AuthorizerID string // empty: open
	Scopes       []string
}

// Integration invokes a function with payload format 2.0.
type Integration struct {
	FunctionARN string
	Timeout     time.Duration // zero: 30 s
}

// JWTAuthorizer checks bearer tokens.
type JWTAuthorizer struct {
	Name, Issuer    string
	Audience        []string
	IdentitySources []string
}

// Stage serves an API under a name.
type Stage struct {
	Name            string
	Throttle        Throttle
	RouteThrottles  map[string]Throttle // by route key
	AccessLogFormat string              // empty: no access log
	Variables       map[string]string
}

// Throttle limits requests; zero is no limit.
type Throttle struct {
	Rate  float64
	Burst int
}

func decodeAPI(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		CorsConfiguration *struct {
			AllowCredentials                                        boolean
			AllowHeaders, AllowMethods, AllowOrigins, ExposeHeaders []string
			MaxAge                                                  *integer
		}
		Description, Tags         NoLocalEffect // for people
		DisableExecuteAPIEndpoint NoLocalEffect // custom domains do not exist here, so this address stays
		IPAddressType             NoLocalEffect // 127.0.0.1 is the only one
		Name, ProtocolType        string
	}](r)
	if err != nil {
		return err
	}
	if err := oneOf("ProtocolType", p.ProtocolType, "HTTP"); err != nil {
		return err
	}
	a := &API{Origin: origin(r), ID: r.Ref, Name: r.Name, Endpoint: r.Attributes["ApiEndpoint"],
		Integrations: map[string]Integration{}, Authorizers: map[string]JWTAuthorizer{}}
	if c := p.CorsConfiguration; c != nil {
		a.CORS = &CORS{AllowOrigins: c.AllowOrigins, AllowMethods: c.AllowMethods, AllowHeaders: c.AllowHeaders,
			ExposeHeaders: c.ExposeHeaders, AllowCredentials: bool(c.AllowCredentials), MaxAge: seconds(c.MaxAge, 0)}
	}
	d.model.APIs = append(d.model.APIs, a)
	return nil
}

// onAPI runs f with the API of this id once every API is known.
func (d *decoder) onAPI(r assembly.Resource, id string, f func(*API) error) {
	d.later(r, func() error {
		for _, a := range d.model.APIs {
			if a.ID == id {
				return f(a)
			}
		}
		return fmt.Errorf("property ApiId: no stack declares the API %s", id)
	})
}

func decodeIntegration(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		APIID                           string
		ConnectionType                  string
		Description                     NoLocalEffect // for people
		IntegrationMethod               NoLocalEffect // a function has none
		IntegrationType, IntegrationURI string
		PayloadFormatVersion            string
		TimeoutInMillis                 *integer
	}](r)
	if err != nil {
		return err
	}
	if p.ConnectionType != "" {
		if err := oneOf("ConnectionType", p.ConnectionType, "INTERNET"); err != nil {
			return err
		}
	}
	if err := oneOf("IntegrationType", p.IntegrationType, "AWS_PROXY"); err != nil {
		return err
	}
	if err := oneOf("PayloadFormatVersion", p.PayloadFormatVersion, "2.0"); err != nil {
		return err
	}
	d.onAPI(r, p.APIID, func(a *API) error {
		f, err := d.model.function(functionOf(p.IntegrationURI))
		if err != nil {
			return fmt.Errorf("property IntegrationUri: %w", err)
		}
		a.Integrations[r.Ref] = Integration{FunctionARN: f.ARN, Timeout: time.Duration(number(p.TimeoutInMillis, 0)) * time.Millisecond}
		return nil
	})
	return nil
}

// functionOf takes the function out of the older form of an integration's URI,
// `arn:aws:apigateway:<region>:lambda:path/2015-03-31/functions/<arn>/invocations`.
func functionOf(uri string) string {
	if _, rest, ok := strings.Cut(uri, "/functions/"); ok {
		return strings.TrimSuffix(rest, "/invocations")
	}
	return uri
}

func decodeRoute(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		APIID               string
		APIKeyRequired      boolean
		AuthorizationScopes []string
		AuthorizationType   string
		AuthorizerID        string
		OperationName       NoLocalEffect // for people
		RouteKey, Target    string
	}](r)
	if err != nil {
		return err
	}
	if p.AuthorizationType != "" {
		if err := oneOf("AuthorizationType", p.AuthorizationType, "NONE", "JWT"); err != nil {
			return err
		}
	}
	integration, ok := strings.CutPrefix(p.Target, "integrations/")
	if !ok {
		return fmt.Errorf("property Target: want integrations/<id>, have %q", p.Target)
	}
	d.onAPI(r, p.APIID, func(a *API) error {
		a.Routes = append(a.Routes, Route{Key: p.RouteKey, Integration: integration, AuthorizerID: p.AuthorizerID, Scopes: p.AuthorizationScopes})
		return nil
	})
	return nil
}

func decodeAuthorizer(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		APIID, AuthorizerType, Name string
		IdentitySource              []string
		JwtConfiguration            struct {
			Audience []string
			Issuer   string
		}
	}](r)
	if err != nil {
		return err
	}
	if err := oneOf("AuthorizerType", p.AuthorizerType, "JWT"); err != nil {
		return err
	}
	d.onAPI(r, p.APIID, func(a *API) error {
		a.Authorizers[r.Ref] = JWTAuthorizer{Name: p.Name, Issuer: p.JwtConfiguration.Issuer, Audience: p.JwtConfiguration.Audience, IdentitySources: p.IdentitySource}
		return nil
	})
	return nil
}

type routeSettings struct {
	DataTraceEnabled, DetailedMetricsEnabled, LoggingLevel NoLocalEffect // no metrics are kept
	ThrottlingBurstLimit                                   *integer
	ThrottlingRateLimit                                    float64
}

func (s routeSettings) throttle() Throttle {
	return Throttle{Rate: s.ThrottlingRateLimit, Burst: number(s.ThrottlingBurstLimit, 0)}
}

func decodeStage(d *decoder, r assembly.Resource) error {
	p, err := properties[struct {
		AccessLogSettings struct {
			DestinationArn NoLocalEffect // the access log is a file
			Format         string
		}
		APIID                    string
		AutoDeploy, DeploymentID NoLocalEffect // what is in the template is served
		DefaultRouteSettings     routeSettings
		Description, Tags        NoLocalEffect // for people
		RouteSettings            map[string]routeSettings
		StageName                string
		StageVariables           map[string]string
	}](r)
	if err != nil {
		return err
	}
	s := Stage{Name: p.StageName, Throttle: p.DefaultRouteSettings.throttle(), RouteThrottles: map[string]Throttle{},
		AccessLogFormat: p.AccessLogSettings.Format, Variables: p.StageVariables}
	for key, settings := range p.RouteSettings {
		s.RouteThrottles[key] = settings.throttle()
	}
	d.onAPI(r, p.APIID, func(a *API) error {
		a.Stages = append(a.Stages, s)
		return nil
	})
	return nil
}
