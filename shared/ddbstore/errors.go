package ddbstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/aws/smithy-go"
	smithyhttp "github.com/aws/smithy-go/transport/http"

	"github.com/stowage-dev/stowage/shared/fault"
)

// failure gives err, which DynamoDB or the way to it returned, its code. Faults
// of the service and of the network are Unavailable; what DynamoDB says is
// wrong with the request is Internal, because no client made that request.
func failure(err error, format string, args ...any) error {
	wrapped := fmt.Errorf(format+": %w", append(args, err)...)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return wrapped
	}
	var api smithy.APIError
	if errors.As(err, &api) && !ofService(err, api) && !throttled(api.ErrorCode()) {
		if api.ErrorCode() == "TransactionConflictException" {
			return fmt.Errorf("%w: %w", errLostRace, wrapped)
		}
		return wrapped
	}
	return fault.Wrap(fault.Unavailable, wrapped, "the catalog does not answer: try again")
}

// ofService reports whether the service itself failed. An error that it does not model, such
// as a load balancer's, says so by its status alone.
func ofService(err error, api smithy.APIError) bool {
	var answer *smithyhttp.ResponseError
	return api.ErrorFault() == smithy.FaultServer || errors.As(err, &answer) && answer.HTTPStatusCode() >= http.StatusInternalServerError
}

// throttled reports whether code means that the same request may pass later.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
func throttled(code string) bool {
	switch code {
	case "ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException",
		"TransactionInProgressException", "LimitExceededException", "ReplicatedWriteConflictException":
		return true
	default:
		return false
	}
}
