package lambda

import (
	"encoding/json"
	"fmt"
	"strings"
	"time"
)

const (
	codeThrottled   = "TooManyRequestsException"
	codeNotFound    = "ResourceNotFoundException"
	codeTooLarge    = "RequestTooLargeException"
	codeBadContent  = "InvalidRequestContentException"
	codeUnavailable = "ServiceException"
)

// ErrThrottled is what errors.Is finds in the error of an invocation that was
// refused because of a concurrency limit.
var ErrThrottled error = &Error{Code: codeThrottled}

// ErrNotFound is what errors.Is finds in the error of an invocation of a function that
// there is not.
var ErrNotFound error = &Error{Code: codeNotFound}

// Error is a refusal by the service, as opposed to an error of the function. It
// means that the handler did not run.
type Error struct {
	Code    string // the exception's name in Lambda's API
	Reason  string // of a throttle
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Is makes errors with the same code equal.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code
}

// Types of errors that Lambda itself gives to an invocation.
const (
	errorExit        = "Runtime.ExitError"
	errorTimeout     = "Sandbox.Timedout"
	errorTooLarge    = "Function.ResponseSizeTooLarge"
	errorEntrypoint  = "Runtime.InvalidEntrypoint"
	errorBuild       = "Function.BuildError"       // has no counterpart on AWS
	errorCredentials = "Function.CredentialsError" //nolint:gosec // the name of an error
	errorStopping    = "Sandbox.Stopping"          // the runtime is shutting down
)

// functionError is Lambda's payload for an invocation that failed.
func functionError(errorType, message string) []byte {
	payload, err := json.Marshal(struct {
		ErrorType    string `json:"errorType"`
		ErrorMessage string `json:"errorMessage"`
	}{errorType, message})
	if err != nil {
		return []byte(`{"errorType":"` + errorType + `"}`)
	}
	return payload
}

// maxErrorMessage is how much of an error's message a report has.
const maxErrorMessage = 2 << 10

// describeError reads the payload of a function error.
func describeError(payload []byte) (errorType, message string) {
	var failure struct {
		ErrorType    string `json:"errorType"`
		ErrorMessage string `json:"errorMessage"`
	}
	if err := json.Unmarshal(payload, &failure); err != nil {
		return "", ""
	}
	if len(failure.ErrorMessage) > maxErrorMessage {
		failure.ErrorMessage = failure.ErrorMessage[:maxErrorMessage]
	}
	return failure.ErrorType, failure.ErrorMessage
}

// errorTypeOf is the errorType in the payload of a function error.
func errorTypeOf(payload []byte) string {
	errorType, _ := describeError(payload)
	return errorType
}

func timeoutMessage(now time.Time, requestID string, timeout time.Duration) string {
	return fmt.Sprintf("%s %s Task timed out after %.2f seconds",
		now.UTC().Format("2006-01-02T15:04:05.000Z"), requestID, timeout.Seconds())
}

// unqualified is an ARN or a name without its version or alias.
func unqualified(nameOrARN string) string {
	if parts := strings.Split(nameOrARN, ":"); len(parts) == 8 || len(parts) == 2 {
		return strings.Join(parts[:len(parts)-1], ":")
	}
	return nameOrARN
}
