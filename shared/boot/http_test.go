package boot_test

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/sqs"

	"github.com/stowage-dev/stowage/shared/boot"
)

func TestConnectionsAreKept(t *testing.T) {
	t.Parallel()
	var connections, calls atomic.Int64
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls.Add(1)
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "application/x-amz-json-1.0")
		if _, err := io.WriteString(w, `{"QueueUrl":"`+strings.Repeat("x", 5000)+`"}`); err != nil {
			t.Error(err)
		}
	}))
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	t.Cleanup(server.Close)
	client := sqs.New(sqs.Options{
		Region: "eu-central-1", BaseEndpoint: aws.String(server.URL), HTTPClient: boot.HTTPClient(),
		Credentials: credentials.NewStaticCredentialsProvider("AKIA", "secret", ""),
	})
	const want = 1000
	for i := range want {
		if _, err := client.GetQueueUrl(t.Context(), &sqs.GetQueueUrlInput{QueueName: aws.String(strings.Repeat("n", i*20))}); err != nil {
			t.Fatal(err)
		}
	}
	if connections.Load() != 1 || calls.Load() != want {
		t.Errorf("%d calls over %d connections, want %d over 1", calls.Load(), connections.Load(), want)
	}
}
