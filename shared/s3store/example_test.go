package s3store_test

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"

	"github.com/stowage-dev/stowage/shared/s3store"
)

func ExamplePresigner() {
	now := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	session := aws.Credentials{
		AccessKeyID: "ASIAEXAMPLE", SecretAccessKey: "secret", SessionToken: "token",
		CanExpire: true, Expires: now.Add(40 * time.Minute),
	}
	signer, err := s3store.NewPresigner(s3store.PresignerConfig{
		Bucket: "content", Client: newClient("", session),
		Credentials: credentials.StaticCredentialsProvider{Value: session}, // a *Session in a function
		Now:         func() time.Time { return now },
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	put, err := signer.PresignPut(context.Background(), s3store.PutRequest{
		Key: "c/alpha/object/version", Size: 5, ContentType: "text/plain",
		SHA256: sha([]byte("hello")), Expires: time.Hour,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	signed, err := url.Parse(put.URL)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(put) // never shows the URL
	fmt.Println(signed.Host, signed.Path)
	fmt.Println(signed.Query().Get("X-Amz-SignedHeaders"))
	fmt.Println("ends", put.ExpiresAt.Format(time.TimeOnly), "- a minute before the session")
	// Output:
	// PUT (signed URL hidden)
	// content.s3.eu-central-1.amazonaws.com /c/alpha/object/version
	// content-length;content-type;host;if-none-match;x-amz-checksum-sha256
	// ends 10:39:00 - a minute before the session
}
