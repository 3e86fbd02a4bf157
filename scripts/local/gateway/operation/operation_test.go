package operation_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/stowage-dev/stowage/scripts/local/gateway/operation"
)

const (
	region  = "eu-west-1"
	account = "000000000000"
)

func newDeriver() *operation.Deriver {
	return operation.New(operation.Config{Region: region, Account: account, SecretARN: func(name string) string {
		if name == "known" {
			return "arn:aws:secretsmanager:eu-west-1:000000000000:secret:known-AbCdEf"
		}
		return ""
	}})
}

// captured derives the operation of the request that call sends with an SDK client to the given URL.
func captured(t *testing.T, service string, call func(ctx context.Context, endpoint *string)) operation.Operation {
	t.Helper()
	var got operation.Operation
	d := newDeriver()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var body []byte
		service := operation.Service(service, r)
		if d.NeedsBody(service, r) {
			body, _ = io.ReadAll(r.Body)
		}
		got = d.Derive(service, r, body)
		w.WriteHeader(http.StatusTeapot)
	}))
	defer server.Close()
	call(t.Context(), &server.URL)
	return got
}

func creds() aws.CredentialsProvider {
	return credentials.NewStaticCredentialsProvider("AKIDEXAMPLE", "secret", "")
}

// permissions is a line for each action: its name and its resource.
func permissions(op operation.Operation) string {
	var lines []string
	for _, a := range op.Actions {
		lines = append(lines, a.Name+" "+a.Resource)
	}
	return strings.Join(lines, "\n")
}

// check compares a derived operation.
func check(t *testing.T, got operation.Operation, name, resource string, actions ...string) {
	t.Helper()
	if got.Name != name {
		t.Errorf("operation %q, want %q", got.Name, name)
	}
	if got.Resource != resource {
		t.Errorf("resource %q, want %q", got.Resource, resource)
	}
	if want := strings.Join(actions, "\n"); permissions(got) != want {
		t.Errorf("actions\n%s\nwant\n%s", permissions(got), want)
	}
}
