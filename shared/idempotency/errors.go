package idempotency

import (
	"context"
	"errors"
	"fmt"

	"github.com/aws/smithy-go"

	"github.com/stowage-dev/stowage/shared/fault"
)

// failure gives an error of DynamoDB its code: faults of the service, of the
// network and of a busy table are Unavailable, anything else is Internal.
func failure(err error, operation, key string) error {
	wrapped := fmt.Errorf("%s idempotency record %s: %w", operation, key, err)
	var api smithy.APIError
	switch {
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return wrapped
	case errors.As(err, &api) && api.ErrorFault() != smithy.FaultServer && !busy(api.ErrorCode()):
		return wrapped
	default:
		return fault.Wrap(fault.Unavailable, wrapped, "the idempotency records do not answer: try again")
	}
}

// busy reports whether code means that the same call may pass later.
// https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.Errors.html
func busy(code string) bool {
	switch code {
	case "ProvisionedThroughputExceededException", "RequestLimitExceeded", "ThrottlingException",
		"TransactionConflictException", "LimitExceededException", "ReplicatedWriteConflictException":
		return true
	default:
		return false
	}
}
