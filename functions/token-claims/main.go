// Command token-claims is the Lambda function that Cognito calls before it issues a
// token: see package claims.
package main

import (
	"github.com/aws/aws-lambda-go/lambda"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"

	"github.com/stowage-dev/stowage/functions/internal/claims"
	"github.com/stowage-dev/stowage/shared/boot"
	"github.com/stowage-dev/stowage/shared/ddbstore"
)

func main() { boot.Start(build) }

func build(rt *boot.Runtime) (lambda.Handler, error) {
	cfg, err := claims.ParseConfig(rt.Settings)
	if err != nil {
		return nil, err
	}
	store := ddbstore.New(dynamodb.NewFromConfig(rt.AWS), ddbstore.Config{Table: cfg.Table, Now: rt.Now})
	return boot.JSON(claims.New(store, rt.Metrics, rt.Log).Handle), nil
}
