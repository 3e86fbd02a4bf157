package patterns

import (
	"encoding/json"
	"strings"

	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2authorizers"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2integrations"
	"github.com/aws/aws-cdk-go/awscdk/v2/awscloudwatch"
	"github.com/aws/aws-cdk-go/awscdk/v2/awslogs"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"
)

// HTTPAPIProps configures an HTTPAPI. Issuer and Audience are required.
type HTTPAPIProps struct {
	// Issuer is the URL of the OpenID Connect issuer whose tokens are accepted.
	Issuer *string
	// Audience is what a token's aud or client_id must be one of.
	Audience *[]*string
	// Description of the API. Nil: none.
	Description *string
	// Origins whose pages may call the API. Nil: none.
	Origins *[]*string
	// AllowHeaders and ExposeHeaders are what pages may send and read, beside
	// those that every page may. Nil: authorization and content-type; none.
	AllowHeaders  *[]*string
	ExposeHeaders *[]*string
	// RateLimit is how many requests a second are let through. Nil: 1000.
	RateLimit *float64
	// BurstLimit is how many requests at once are let through. Nil: 2000.
	BurstLimit *float64
	// LogRetention is how long access logs are kept. Empty: one month.
	LogRetention awslogs.RetentionDays
	// RemovalPolicy of the access logs. Empty: RETAIN.
	RemovalPolicy awscdk.RemovalPolicy
}

// HTTPAPI is an HTTP API all of whose routes want a JWT, throttled, with
// access logs as JSON and with metrics by route.
type HTTPAPI struct {
	constructs.Construct
	api   awsapigatewayv2.HttpApi
	stage awsapigatewayv2.HttpStage
	logs  awslogs.LogGroup
}

// authorizerID names the authorizer below its API.
const authorizerID = "Jwt"

// NewHTTPAPI makes an HTTPAPI without routes.
func NewHTTPAPI(scope constructs.Construct, id *string, props *HTTPAPIProps) *HTTPAPI {
	p := *props
	p.RateLimit = orDefault(p.RateLimit, 1000)
	p.BurstLimit = orDefault(p.BurstLimit, 2000)
	if p.LogRetention == "" {
		p.LogRetention = awslogs.RetentionDays_ONE_MONTH
	}
	requireRange(scope, id, "RateLimit", p.RateLimit, 1, 10000)
	requireRange(scope, id, "BurstLimit", p.BurstLimit, 1, 5000)
	requireIssuer(scope, id, p.Issuer, p.Audience)

	a := &HTTPAPI{}
	constructs.NewConstruct_Override(a, scope, id)
	a.api = awsapigatewayv2.NewHttpApi(a, jsii.String("Default"), &awsapigatewayv2.HttpApiProps{
		CorsPreflight:      apiCORS(p),
		CreateDefaultStage: jsii.Bool(false),
		DefaultAuthorizer: awsapigatewayv2authorizers.NewHttpJwtAuthorizer(jsii.String(authorizerID), p.Issuer,
			&awsapigatewayv2authorizers.HttpJwtAuthorizerProps{JwtAudience: p.Audience}),
		Description: p.Description,
	})
	a.logs = awslogs.NewLogGroup(a, jsii.String("AccessLogs"), &awslogs.LogGroupProps{
		Retention:     p.LogRetention,
		RemovalPolicy: orRetain(p.RemovalPolicy),
	})
	a.stage = awsapigatewayv2.NewHttpStage(a, jsii.String("Stage"), &awsapigatewayv2.HttpStageProps{
		AutoDeploy:             jsii.Bool(true),
		DetailedMetricsEnabled: jsii.Bool(true),
		HttpApi:                a.api,
		StageName:              jsii.String("$default"),
		Throttle:               &awsapigatewayv2.ThrottleSettings{RateLimit: p.RateLimit, BurstLimit: p.BurstLimit},
	})
	a.stage.Node().DefaultChild().(awsapigatewayv2.CfnStage).SetAccessLogSettings(
		&awsapigatewayv2.CfnStage_AccessLogSettingsProperty{
			DestinationArn: a.logs.LogGroupArn(),
			Format:         jsii.String(accessLogFormat()),
		})
	return a
}

func requireIssuer(scope constructs.Construct, id, issuer *string, audience *[]*string) {
	if issuer == nil {
		refuse(scope, id, "Issuer", "nil", "give the URL of the issuer")
	}
	if !*awscdk.Token_IsUnresolved(issuer) && !strings.HasPrefix(*issuer, "https://") {
		refuse(scope, id, "Issuer", *issuer, "give the https URL whose /.well-known/openid-configuration describes the issuer")
	}
	if audience == nil || len(*audience) == 0 {
		refuse(scope, id, "Audience", "empty", "name the client ids or audiences whose tokens are accepted")
	}
}

// apiCORS answers preflight requests at the gateway. Routes name their methods
// and never say ANY, which would catch OPTIONS and ask it for a token.
func apiCORS(p HTTPAPIProps) *awsapigatewayv2.CorsPreflightOptions {
	if p.Origins == nil || len(*p.Origins) == 0 {
		return nil
	}
	return &awsapigatewayv2.CorsPreflightOptions{
		AllowHeaders: orDefault(p.AllowHeaders, *jsii.Strings("authorization", "content-type")),
		AllowMethods: &[]awsapigatewayv2.CorsHttpMethod{
			awsapigatewayv2.CorsHttpMethod_GET, awsapigatewayv2.CorsHttpMethod_POST, awsapigatewayv2.CorsHttpMethod_PUT,
			awsapigatewayv2.CorsHttpMethod_PATCH, awsapigatewayv2.CorsHttpMethod_DELETE,
		},
		AllowOrigins:  p.Origins,
		ExposeHeaders: p.ExposeHeaders,
		MaxAge:        awscdk.Duration_Hours(jsii.Number(1)),
	}
}

// accessLogFormat is one line of JSON for each request: who, what, how long,
// and why it failed; no token and no query string, which may hold one.
func accessLogFormat() string {
	fields := map[string]string{
		"requestId":        "$context.requestId",
		"time":             "$context.requestTime",
		"sourceIp":         "$context.identity.sourceIp",
		"userAgent":        "$context.identity.userAgent",
		"routeKey":         "$context.routeKey",
		"path":             "$context.path",
		"protocol":         "$context.protocol",
		"status":           "$context.status",
		"responseLength":   "$context.responseLength",
		"responseLatency":  "$context.responseLatency",
		"integrationError": "$context.integrationErrorMessage",
		"authorizerError":  "$context.authorizer.error",
		"subject":          "$context.authorizer.claims.sub",
	}
	text, err := json.Marshal(fields) // sorts the keys: the template stays the same
	if err != nil {
		panic(err) // a map of strings is always JSON
	}
	return string(text)
}

// Route sends the requests for path with one of the methods to function. A
// path may hold parameters: "/v1/{proxy+}".
func (a *HTTPAPI) Route(path string, function *Function, methods ...awsapigatewayv2.HttpMethod) {
	integration := awsapigatewayv2integrations.NewHttpLambdaIntegration(function.Node().Id(), function.function,
		&awsapigatewayv2integrations.HttpLambdaIntegrationProps{
			PayloadFormatVersion: awsapigatewayv2.PayloadFormatVersion_VERSION_2_0(),
			// One permission for the API rather than one for each route.
			ScopePermissionToRoute: jsii.Bool(false),
		})
	a.api.AddRoutes(&awsapigatewayv2.AddRoutesOptions{Path: jsii.String(path), Methods: &methods, Integration: integration})
}

// RouteFrom is Route for a stack that builds on the API's own: the route stands in scope
// under the given id, so that the API's stack does not refer to it.
func (a *HTTPAPI) RouteFrom(scope constructs.Construct, id, path string, function *Function, method awsapigatewayv2.HttpMethod) {
	awsapigatewayv2.NewHttpRoute(scope, jsii.String(id+"Route"), &awsapigatewayv2.HttpRouteProps{
		HttpApi: a.api,
		Integration: awsapigatewayv2integrations.NewHttpLambdaIntegration(jsii.String("Integration"), function.function,
			&awsapigatewayv2integrations.HttpLambdaIntegrationProps{PayloadFormatVersion: awsapigatewayv2.PayloadFormatVersion_VERSION_2_0()}),
		RouteKey: awsapigatewayv2.HttpRouteKey_With(jsii.String(path), method),
	})
}

// API gives the API itself.
func (a *HTTPAPI) API() awsapigatewayv2.HttpApi { return a.api }

// AuthorizerID is the id of the API's JWT authorizer, which is there once the API has a route.
func (a *HTTPAPI) AuthorizerID() *string {
	return a.api.Node().FindChild(jsii.String(authorizerID)).(awsapigatewayv2.HttpAuthorizer).AuthorizerId() //nolint:forcetypeassert // NewHTTPAPI makes it
}

// Stage gives the stage that serves the API.
func (a *HTTPAPI) Stage() awsapigatewayv2.HttpStage { return a.stage }

// URL is where the API is reached, without a slash at its end.
func (a *HTTPAPI) URL() *string { return a.api.ApiEndpoint() }

// MetricCount counts requests, over 5 minutes.
func (a *HTTPAPI) MetricCount() awscloudwatch.Metric { return a.api.MetricCount(nil) }

// MetricClientErrors counts answers of 400 to 499, over 5 minutes.
func (a *HTTPAPI) MetricClientErrors() awscloudwatch.Metric { return a.api.MetricClientError(nil) }

// MetricServerErrors counts answers of 500 to 599, over 5 minutes.
func (a *HTTPAPI) MetricServerErrors() awscloudwatch.Metric { return a.api.MetricServerError(nil) }

// MetricLatency is the time to answer at the given statistic, such as "p99".
func (a *HTTPAPI) MetricLatency(statistic string) awscloudwatch.Metric {
	return a.api.MetricLatency(&awscloudwatch.MetricOptions{Statistic: jsii.String(statistic)})
}
