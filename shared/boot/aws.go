package boot

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
)

// Bounds of one AWS call. Retries wait at most maxBackoff, so that a throttled
// call gives up well within the shortest time-out of a function.
const (
	maxAttempts = 4
	maxBackoff  = time.Second
	dialTimeout = 2 * time.Second
	// maxIdlePerHost keeps a connection for each of a batch's concurrent calls.
	maxIdlePerHost = 64
)

// AWSConfig is the configuration that Lambda's environment describes:
// AWS_REGION, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN and
// the SDK's AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_<SERVICE> and
// AWS_IGNORE_CONFIGURED_ENDPOINT_URLS.
//
// Credentials are read from the environment for each request, never kept.
func AWSConfig(s *Settings) aws.Config {
	env := environment{s.lookup}
	cfg := aws.Config{
		Region:                     s.Required("AWS_REGION"),
		Credentials:                env,
		HTTPClient:                 HTTPClient(),
		Retryer:                    newRetryer,
		RetryMode:                  aws.RetryModeStandard,
		ConfigSources:              []any{env},
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
		ResponseChecksumValidation: aws.ResponseChecksumValidationWhenSupported,
	}
	// Clients read an endpoint meant for one service from ConfigSources and the
	// one meant for all from here.
	if url := s.Optional("AWS_ENDPOINT_URL", ""); url != "" && !env.ignoreEndpoints() {
		cfg.BaseEndpoint = aws.String(url)
	}
	return cfg
}

func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.MaxAttempts = maxAttempts
		o.MaxBackoff = maxBackoff
	})
}

// environment answers the SDK's questions about the process's environment.
type environment struct {
	lookup func(string) (string, bool)
}

var _ aws.CredentialsProvider = environment{}

func (e environment) get(name string) string {
	v, _ := e.lookup(name)
	return v
}

// Retrieve implements aws.CredentialsProvider.
func (e environment) Retrieve(context.Context) (aws.Credentials, error) {
	c := aws.Credentials{
		AccessKeyID:     e.get("AWS_ACCESS_KEY_ID"),
		SecretAccessKey: e.get("AWS_SECRET_ACCESS_KEY"),
		SessionToken:    e.get("AWS_SESSION_TOKEN"),
		Source:          "environment",
	}
	if !c.HasKeys() {
		return aws.Credentials{}, errors.New(
			"no AWS credentials: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY must both be set")
	}
	return c, nil
}

// GetServiceBaseEndpoint tells clients of an endpoint meant for them alone: for
// the service "S3" that of AWS_ENDPOINT_URL_S3.
func (e environment) GetServiceBaseEndpoint(_ context.Context, sdkID string) (string, bool, error) {
	v := e.get("AWS_ENDPOINT_URL_" + strings.ToUpper(strings.ReplaceAll(sdkID, " ", "_")))
	return v, v != "", nil
}

// GetIgnoreConfiguredEndpoints tells clients to disregard those endpoints.
func (e environment) GetIgnoreConfiguredEndpoints(context.Context) (bool, bool, error) {
	_, set := e.lookup("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS")
	return e.ignoreEndpoints(), set, nil
}

func (e environment) ignoreEndpoints() bool {
	return strings.EqualFold(e.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS"), "true")
}
