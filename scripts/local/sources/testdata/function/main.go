// Command function is a Lambda function that answers when it got its event, in
// nanoseconds since 1970.
package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/aws/aws-lambda-go/lambda"
)

func main() {
	lambda.Start(func(context.Context, json.RawMessage) (int64, error) { return time.Now().UnixNano(), nil })
}
