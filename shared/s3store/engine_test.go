package s3store_test

import (
	"context"
	"crypto/rand"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/s3"

	enginepkg "github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
)

const (
	testRegion = "eu-central-1"
	testBucket = "content"
	testRole   = "arn:aws:iam::000000000000:role/Signer"
)

// TestMain is also the S3 engine: Start runs this binary again with its Command.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == enginepkg.Command {
		os.Exit(enginepkg.Main(os.Args, os.Stdin))
	}
	os.Exit(m.Run())
}

// engine is a real S3 server with one versioned bucket, and the means to get sessions.
type engine struct {
	endpoint string
	issuer   *identity.Issuer
}

func startEngine(t *testing.T) *engine {
	t.Helper()
	master := make([]byte, identity.MasterKeySize)
	if _, err := rand.Read(master); err != nil {
		t.Fatal(err)
	}
	issuer, err := identity.New(identity.Config{MasterKey: master})
	if err != nil {
		t.Fatal(err)
	}
	running, err := enginepkg.Start(t.Context(), enginepkg.Config{
		Dir:       t.TempDir(),
		Region:    testRegion,
		MasterKey: master,
		Buckets:   []enginepkg.Bucket{{Name: testBucket, Versioned: true}},
		OnEvent:   func(context.Context, enginepkg.Event) error { return nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := running.Close(); err != nil {
			t.Error(err)
		}
	})
	return &engine{endpoint: running.Endpoint(), issuer: issuer}
}

// session is credentials of a role, with a session token and an end, as STS gives them.
func (e *engine) session(t *testing.T, life time.Duration) aws.Credentials {
	t.Helper()
	got, _, err := e.issuer.IssueSession(identity.Session{RoleARN: testRole, Name: "test", Duration: life})
	if err != nil {
		t.Fatal(err)
	}
	return aws.Credentials{
		AccessKeyID: got.AccessKeyID, SecretAccessKey: got.SecretAccessKey, SessionToken: got.SessionToken,
		CanExpire: true, Expires: got.Expires,
	}
}

// client talks to the engine as the role.
func (e *engine) client(t *testing.T) *s3.Client {
	t.Helper()
	return newClient(e.endpoint, e.session(t, time.Hour))
}

// newClient addresses buckets by path where there is an endpoint.
func newClient(endpoint string, creds aws.Credentials) *s3.Client {
	opts := s3.Options{
		Region:                     testRegion,
		Credentials:                credentials.StaticCredentialsProvider{Value: creds},
		UsePathStyle:               endpoint != "",
		HTTPClient:                 http.DefaultClient,
		RequestChecksumCalculation: aws.RequestChecksumCalculationWhenSupported,
	}
	if endpoint != "" {
		opts.BaseEndpoint = aws.String(endpoint)
	}
	return s3.New(opts)
}
