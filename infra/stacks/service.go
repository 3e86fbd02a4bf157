package stacks

import (
	"github.com/aws/aws-cdk-go/awscdk/v2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awsapigatewayv2"
	"github.com/aws/aws-cdk-go/awscdk/v2/awssecretsmanager"
	"github.com/aws/constructs-go/constructs/v10"
	"github.com/aws/jsii-runtime-go"

	"github.com/stowage-dev/stowage/infra/internal/assets"
	"github.com/stowage-dev/stowage/infra/patterns"
)

// Functions are the names of the functions that the app deploys, as they stand
// below functions/ and in the Dist.
func Functions() []string {
	return []string{fnUploadAPI, fnIngest, fnFanout, fnClaims, fnCompleter, fnSweeper, fnDerivatives, fnScanner}
}

const (
	fnUploadAPI = "upload-api"
	fnIngest    = "s3-ingest"
	fnFanout    = "stream-fanout"
	fnClaims    = "token-claims"
	fnCompleter = "upload-completer"
	fnSweeper   = "upload-sweeper"

	fnDerivatives = "image-derivatives"
	fnScanner     = "malware-scanner"
)

// Service holds what runs: the functions with their mappings, the API, the
// user pool, the dashboard and the alarms. It refers to Data alone.
type Service struct {
	Stack       awscdk.Stack
	UploadAPI   *patterns.Function
	Ingest      *patterns.Function
	Fanout      *patterns.Function
	Completer   *patterns.Function
	Sweeper     *patterns.Function
	Derivatives *patterns.Function
	Scanner     *patterns.Function // nil where clamd does not look for malware
	TokenClaims *patterns.Function // nil when another issuer's tokens are taken
	API         *patterns.HTTPAPI
	Alarms      *patterns.AlarmTopic

	settings Settings
	data     *Data
	dist     assets.Dist
	fanout   *patterns.StreamFanout

	completions *patterns.IngestQueue
	pictures    *patterns.IngestQueue
	verdicts    *patterns.IngestQueue // nil without a scanner
	scans       *patterns.IngestQueue // nil without clamd
}

// NewService makes the Service stack.
func NewService(scope constructs.Construct, id string, settings Settings, data *Data, dist assets.Dist) *Service {
	s := &Service{
		Stack:    newStack(scope, id, settings, "Stowage: functions, API, user pool, dashboard and alarms"),
		settings: settings,
		data:     data,
		dist:     dist,
	}
	s.addUploadAPI()
	s.addIngest()
	s.addFanout()
	s.addCompletion()
	s.addSweeper()
	s.addDerivatives()
	s.addScanning()
	issuer, audience := s.addIssuer()
	s.addAPI(issuer, audience)
	s.Alarms = patterns.NewAlarmTopic(s.Stack, jsii.String("Alarms"), &patterns.AlarmTopicProps{
		Email:         optional(settings.AlarmEmail),
		RemovalPolicy: settings.Stage.RemovalPolicy(),
	})
	s.addAlarms()
	s.addDashboard()
	output(s.Stack, "AlarmTopic", "Topic that alarms are sent to", s.Alarms.Topic().TopicArn())
	s.exportForRelational()
	return s
}

// exportForRelational exports what the Relational stack imports whether or not it is synthesized
// this time: CloudFormation refuses to take an export away from a stack that was deployed with
// it before.
func (s *Service) exportForRelational() {
	for _, value := range []*string{s.API.API().ApiId(), s.API.AuthorizerID(), s.Alarms.Topic().TopicArn()} {
		s.Stack.ExportValue(value, nil)
	}
}

// functionProps are what a function of its own says, beside what all share.
type functionProps struct {
	description string
	memoryMB    int
	timeout     int // seconds
	environment map[string]*string
	roleTags    map[string]*string
	network     *patterns.IsolatedNetwork
}

func (s *Service) addFunction(id, name string, p functionProps) *patterns.Function {
	return addFunction(s.Stack, s.settings, s.dist, id, name, p)
}

func addFunction(stack awscdk.Stack, settings Settings, dist assets.Dist, id, name string, p functionProps) *patterns.Function {
	environment := map[string]*string{
		"STOWAGE_STAGE":     jsii.String(string(settings.Stage)),
		"STOWAGE_LOG_LEVEL": jsii.String(settings.LogLevel),
	}
	for variable, value := range p.environment {
		environment[variable] = value
	}
	props := &patterns.FunctionProps{
		CodeDir:       jsii.String(dist.Function(name)),
		Description:   jsii.String(p.description),
		Environment:   &environment,
		LogRetention:  settings.Retention(),
		MemorySize:    jsii.Number(p.memoryMB),
		Network:       p.network,
		RemovalPolicy: settings.Stage.RemovalPolicy(),
		Timeout:       awscdk.Duration_Seconds(jsii.Number(p.timeout)),
	}
	if len(p.roleTags) > 0 {
		props.RoleTags = &p.roleTags
	}
	return patterns.NewFunction(stack, jsii.String(id), props)
}

// addAPI makes the HTTP API. Every method is named: ANY would catch the
// preflight requests too, and ask them for a token.
func (s *Service) addAPI(issuer *string, audience *[]*string) {
	s.API = patterns.NewHTTPAPI(s.Stack, jsii.String("Api"), &patterns.HTTPAPIProps{
		AllowHeaders:  jsii.Strings("authorization", "content-type", "idempotency-key", "if-match", "stowage-workspace"),
		Audience:      audience,
		BurstLimit:    jsii.Number(s.settings.APIBurst),
		Description:   jsii.String("Stowage"),
		ExposeHeaders: jsii.Strings("etag", "location", "retry-after"),
		Issuer:        issuer,
		LogRetention:  s.settings.Retention(),
		Origins:       jsii.Strings(s.settings.Origins...),
		RateLimit:     jsii.Number(s.settings.APIRate),
		RemovalPolicy: s.settings.Stage.RemovalPolicy(),
	})
	s.API.Route("/v1/{proxy+}", s.UploadAPI,
		awsapigatewayv2.HttpMethod_GET, awsapigatewayv2.HttpMethod_POST, awsapigatewayv2.HttpMethod_PUT,
		awsapigatewayv2.HttpMethod_PATCH, awsapigatewayv2.HttpMethod_DELETE)
	output(s.Stack, "ApiUrl", "Where the API is reached", s.API.URL())
}

// newCursorSecret makes the key that seals the cursors of lists. Writing a new
// value makes the one before it AWSPREVIOUS, under which cursors that are
// still out are read.
func newCursorSecret(scope constructs.Construct, settings Settings) awssecretsmanager.Secret {
	return awssecretsmanager.NewSecret(scope, jsii.String("CursorKey"), &awssecretsmanager.SecretProps{
		Description: jsii.String("Stowage: key that seals the cursors of lists"),
		GenerateSecretString: &awssecretsmanager.SecretStringGenerator{
			ExcludePunctuation: jsii.Bool(true),
			PasswordLength:     jsii.Number(64),
		},
		RemovalPolicy: settings.Stage.RemovalPolicy(),
	})
}

// optional is nil for an empty text.
func optional(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
