package pgstore

import (
	"context"
	"fmt"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/feature/rds/auth"
)

// IAM makes a token for each new connection from the credentials of the moment. It calls
// nobody: a token is a signed request that is never sent. It is good for 15 minutes in
// which to connect, and the connection outlives it.
// https://docs.aws.amazon.com/AmazonRDS/latest/AuroraUserGuide/UsingWithRDS.IAMDBAuth.html
func IAM(cfg aws.Config) Passwords {
	return func(ctx context.Context, address, user string) (string, error) {
		token, err := auth.BuildAuthToken(ctx, address, cfg.Region, user, cfg.Credentials)
		if err != nil {
			return "", fmt.Errorf("sign an IAM token: %w", err)
		}
		return token, nil
	}
}
