package lambda_test

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	sdk "github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
	"github.com/aws/smithy-go"
)

// TestInvokeOverHTTP: AWS's own client invokes a function, and reads its answer, its
// failure and the refusals as it does on AWS.
func TestInvokeOverHTTP(t *testing.T) {
	t.Parallel()
	h := hostOf(t, function("echo"), function("panic"))
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	client := sdk.New(sdk.Options{
		Region: "us-east-1", BaseEndpoint: aws.String(server.URL), RetryMaxAttempts: 1,
		Credentials: credentials.NewStaticCredentialsProvider("AKIAEXAMPLE", "secret", ""),
	})
	for _, name := range []string{"echo", arn("echo")} {
		out, err := client.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: &name, Payload: []byte(`{"a":1}`)})
		if err != nil || out.StatusCode != http.StatusOK || out.FunctionError != nil || !strings.Contains(string(out.Payload), `"a":1`) || aws.ToString(out.ExecutedVersion) != "$LATEST" {
			t.Errorf("%s: %+v, %v", name, out, err)
		}
	}
	out, err := client.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("panic")})
	if err != nil || aws.ToString(out.FunctionError) != "Unhandled" || !strings.Contains(string(out.Payload), "errorMessage") {
		t.Errorf("a function that panics: %+v, %v", out, err)
	}
	event, err := client.Invoke(t.Context(), &sdk.InvokeInput{FunctionName: aws.String("echo"), InvocationType: types.InvocationTypeEvent})
	if err != nil || event.StatusCode != http.StatusAccepted {
		t.Errorf("asynchronous: %+v, %v", event, err)
	}

	for name, tc := range map[string]struct {
		in   sdk.InvokeInput
		want string
	}{
		"no such function": {sdk.InvokeInput{FunctionName: aws.String("nobody")}, "ResourceNotFoundException"},
		"no JSON":          {sdk.InvokeInput{FunctionName: aws.String("echo"), Payload: []byte("{")}, "InvalidRequestContentException"},
		"dry run":          {sdk.InvokeInput{FunctionName: aws.String("echo"), InvocationType: types.InvocationTypeDryRun}, "InvalidParameterValueException"},
	} {
		_, err := client.Invoke(t.Context(), &tc.in)
		var api smithy.APIError
		if !errors.As(err, &api) || api.ErrorCode() != tc.want {
			t.Errorf("%s: %v, want %s", name, err, tc.want)
		}
	}
	if _, err := client.GetFunction(t.Context(), &sdk.GetFunctionInput{FunctionName: aws.String("echo")}); err == nil || !strings.Contains(err.Error(), "Invoke") {
		t.Errorf("another operation: %v", err)
	}
}
