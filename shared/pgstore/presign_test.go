package pgstore_test

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// presignAt makes a token as auth.BuildAuthToken does, at another time.
func presignAt(ctx context.Context, credentials aws.CredentialsProvider, address, user string, at time.Time) (string, error) {
	query := url.Values{"Action": {"connect"}, "DBUser": {user}, "X-Amz-Expires": {"900"}}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+address+"/?"+query.Encode(), http.NoBody)
	if err != nil {
		return "", err
	}
	c, err := credentials.Retrieve(ctx)
	if err != nil {
		return "", err
	}
	const emptyHash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	signed, _, err := v4.NewSigner().PresignHTTP(ctx, c, r, emptyHash, "rds-db", testRegion, at)
	return strings.TrimPrefix(signed, "https://"), err
}
