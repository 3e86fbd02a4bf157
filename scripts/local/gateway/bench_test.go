package gateway_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	awss3 "github.com/aws/aws-sdk-go-v2/service/s3"

	"github.com/stowage-dev/stowage/scripts/local/gateway"
	"github.com/stowage-dev/stowage/scripts/local/gateway/identity"
)

// BenchmarkS3 compares calls that go straight to the engine with the same calls through the gateway.
func BenchmarkS3(b *testing.B) {
	engine := startEngine(b)
	issuer, err := identity.New(identity.Config{MasterKey: make([]byte, identity.MasterKeySize)})
	if err != nil {
		b.Fatal(err)
	}
	creds, err := issuer.IssueFor(roleARN, "bench")
	if err != nil {
		b.Fatal(err)
	}
	proxy, err := gateway.NewProxy(engine.Endpoint())
	if err != nil {
		b.Fatal(err)
	}
	g, err := gateway.New(gateway.Config{Region: region, Account: account, Credentials: issuer, Services: map[string]http.Handler{gateway.S3: proxy}})
	if err != nil {
		b.Fatal(err)
	}
	if err := g.Start(b.Context()); err != nil {
		b.Fatal(err)
	}
	for name, endpoint := range map[string]string{"direct": engine.Endpoint(), "gateway": g.Endpoint()} {
		c := awss3.New(awss3.Options{BaseEndpoint: &endpoint, Region: region, UsePathStyle: true, Credentials: provider(creds)})
		b.Run("HEAD/"+name, func(b *testing.B) { benchmarkHead(b, c) })
		b.Run("PUT-256MiB/"+name, func(b *testing.B) { benchmarkLarge(b, c, http.MethodPut) })
		b.Run("GET-256MiB/"+name, func(b *testing.B) { benchmarkLarge(b, c, http.MethodGet) })
	}
}

func benchmarkHead(b *testing.B, c *awss3.Client) {
	b.Helper()
	if _, err := c.PutObject(b.Context(), &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("head"), Body: bytes.NewReader([]byte("x"))}); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		if _, err := c.HeadObject(b.Context(), &awss3.HeadObjectInput{Bucket: aws.String(bucket), Key: aws.String("head")}); err != nil {
			b.Fatal(err)
		}
	}
}

// benchmarkLarge moves 256 MiB with presigned requests, so that the client's hashing is not what is timed.
func benchmarkLarge(b *testing.B, c *awss3.Client, method string) {
	b.Helper()
	body := make([]byte, 256<<20)
	sign := awss3.NewPresignClient(c)
	put, err := sign.PresignPutObject(b.Context(), &awss3.PutObjectInput{Bucket: aws.String(bucket), Key: aws.String("large")})
	if err != nil {
		b.Fatal(err)
	}
	send(b, http.MethodPut, put.URL, body)
	get, err := sign.PresignGetObject(b.Context(), &awss3.GetObjectInput{Bucket: aws.String(bucket), Key: aws.String("large")})
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		if method == http.MethodPut {
			send(b, method, put.URL, body)
		} else {
			send(b, method, get.URL, nil)
		}
	}
}

func send(b *testing.B, method, url string, body []byte) {
	b.Helper()
	r, err := http.NewRequestWithContext(context.Background(), method, url, bytes.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	defer resp.Body.Close()
	buf := make([]byte, 1<<20)
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, resp.Body, buf)
	if err != nil || resp.StatusCode != http.StatusOK || method == http.MethodGet && n != 256<<20 {
		b.Fatalf("%s: %d, %d bytes, %v", method, resp.StatusCode, n, err)
	}
}
