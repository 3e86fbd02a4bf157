package queue

import (
	"fmt"
	"net/http"
)

// Error is an error of the SQS API.
type Error struct {
	Code    string // the shape's name, such as QueueDoesNotExist
	Message string
}

func (e *Error) Error() string { return e.Code + ": " + e.Message }

// Is makes errors with the same code equal.
func (e *Error) Is(target error) bool {
	other, ok := target.(*Error)
	return ok && other.Code == e.Code
}

// ErrNoQueue is what errors.Is finds when a queue does not exist.
var ErrNoQueue error = &Error{Code: codeNoQueue}

const (
	codeNoQueue          = "QueueDoesNotExist"
	codeInvalidParameter = "InvalidParameterValue"
	codeInternal         = "InternalFailure"
)

// queryCodes are the codes that the older query protocol had for a shape, where they differ from
// its name. They go into the x-amzn-query-error header, and SDKs show them.
var queryCodes = map[string]string{
	codeNoQueue:                    "AWS.SimpleQueueService.NonExistentQueue",
	"BatchEntryIdsNotDistinct":     "AWS.SimpleQueueService.BatchEntryIdsNotDistinct",
	"BatchRequestTooLong":          "AWS.SimpleQueueService.BatchRequestTooLong",
	"EmptyBatchRequest":            "AWS.SimpleQueueService.EmptyBatchRequest",
	"InvalidBatchEntryId":          "AWS.SimpleQueueService.InvalidBatchEntryId",
	"MessageNotInflight":           "AWS.SimpleQueueService.MessageNotInflight",
	"PurgeQueueInProgress":         "AWS.SimpleQueueService.PurgeQueueInProgress",
	"TooManyEntriesInBatchRequest": "AWS.SimpleQueueService.TooManyEntriesInBatchRequest",
	"UnsupportedOperation":         "AWS.SimpleQueueService.UnsupportedOperation",
}

func (e *Error) queryCode() string {
	if code, ok := queryCodes[e.Code]; ok {
		return code
	}
	return e.Code
}

func (e *Error) status() int {
	if e.Code == codeInternal {
		return http.StatusInternalServerError
	}
	return http.StatusBadRequest
}

// fault says whose error it is: the query protocol's Sender or Receiver.
func (e *Error) fault() string {
	if e.Code == codeInternal {
		return "Receiver"
	}
	return "Sender"
}

func invalidParameter(format string, args ...any) *Error {
	return &Error{Code: codeInvalidParameter, Message: fmt.Sprintf(format, args...)}
}

func missingParameter(name string) *Error {
	return &Error{Code: "MissingParameter", Message: "The request must contain the parameter " + name + "."}
}

func noQueue(name string) *Error {
	return &Error{Code: codeNoQueue, Message: "The specified queue does not exist: " + name}
}
