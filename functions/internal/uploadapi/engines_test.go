package uploadapi_test

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	s3engine "github.com/stowage-dev/stowage/scripts/local/engines/s3"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
	"github.com/stowage-dev/stowage/shared/ddbstore/ddbtest"
)

const (
	testRegion = "eu-central-1"
	testBucket = "content"
)

// storageEngine is the S3 server beside the tests, and who gives out sessions for it. Keys
// hold ids that never repeat, so that all tests can share it.
var storageEngine struct {
	endpoint string
	issuer   *identity.Issuer
}

// TestMain runs a DynamoDB and an S3 engine beside the tests, and is the S3 engine when it
// is started as that.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == s3engine.Command {
		os.Exit(s3engine.Main(os.Args, os.Stdin))
	}
	os.Exit(withStorage(m))
}

func withStorage(m *testing.M) int {
	dir, err := os.MkdirTemp("", "uploadapi-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	stop, err := startStorage(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, "start the S3 engine:", err)
		return 1
	}
	defer stop()
	return ddbtest.Main(m)
}

func startStorage(dir string) (stop func(), err error) {
	master := make([]byte, identity.MasterKeySize)
	if _, err := rand.Read(master); err != nil {
		return nil, err
	}
	if storageEngine.issuer, err = identity.New(identity.Config{MasterKey: master}); err != nil {
		return nil, err
	}
	engine, err := s3engine.Start(context.Background(), s3engine.Config{
		Dir: dir, Region: testRegion, MasterKey: master,
		Buckets: []s3engine.Bucket{{Name: testBucket, Versioned: true}},
		OnEvent: func(context.Context, s3engine.Event) error { return nil },
	})
	if err != nil {
		return nil, err
	}
	storageEngine.endpoint = engine.Endpoint()
	return func() {
		if err := engine.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "stop the S3 engine:", err)
		}
	}, nil
}

// session is credentials of a role, as STS gives them. What signs with them believes that
// they last for days, so that tests can move the clock on.
func session(tb testing.TB) aws.Credentials {
	tb.Helper()
	issued, _, err := storageEngine.issuer.IssueSession(identity.Session{
		RoleARN: "arn:aws:iam::000000000000:role/Signer", Name: "UploadApi", Duration: time.Hour,
	})
	if err != nil {
		tb.Fatal(err)
	}
	return aws.Credentials{
		AccessKeyID: issued.AccessKeyID, SecretAccessKey: issued.SecretAccessKey, SessionToken: issued.SessionToken,
		CanExpire: true, Expires: time.Now().Add(30 * 24 * time.Hour),
	}
}
