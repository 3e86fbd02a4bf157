// Package fault gives errors a stable, machine-readable code beside their
// human-readable message.
//
// The domain and the adapters return coded errors; only the edge (an HTTP
// handler, a batch processor) turns a code into a status or a retry. An error
// without a code is Internal: its text is for the log and never for a client.
package fault

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Code names a kind of failure. Codes are part of the public API: clients
// switch on them, so an existing one never changes its meaning.
type Code string

// The codes, by what the caller can do about them.
const (
	// The request is wrong and stays wrong.
	InvalidArgument    Code = "invalid_argument"
	Unauthenticated    Code = "unauthenticated"
	Forbidden          Code = "forbidden"
	NotFound           Code = "not_found"
	Conflict           Code = "conflict"
	PathTaken          Code = "path_taken"
	PreconditionFailed Code = "precondition_failed"
	UploadEnded        Code = "upload_ended"
	NotAvailable       Code = "not_available"
	PartsIncomplete    Code = "parts_incomplete"
	WorkspaceRequired  Code = "workspace_required"
	IdempotencyReused  Code = "idempotency_mismatch"

	// The request is beyond what the workspace may use.
	QuotaExceeded Code = "quota_exceeded"
	QuotaInUse    Code = "quota_in_use"
	TooLarge      Code = "too_large"

	// The bytes are not what was declared, or not allowed.
	UnsupportedType  Code = "unsupported_type"
	ChecksumMismatch Code = "checksum_mismatch"
	SizeMismatch     Code = "size_mismatch"
	MalwareFound     Code = "malware_found"
	// ScanInconclusive is a scanner having looked at bytes, or tried to, without
	// coming to a verdict.
	ScanInconclusive Code = "scan_inconclusive"

	// The same request may succeed later.
	IdempotencyInProgress Code = "idempotency_in_progress"
	RateLimited           Code = "rate_limited"
	Unavailable           Code = "unavailable"

	// Internal is everything that has no code of its own.
	Internal Code = "internal"
)

// Transient reports whether the same request may succeed later without any
// change to it.
func (c Code) Transient() bool {
	switch c {
	case IdempotencyInProgress, RateLimited, Unavailable:
		return true
	default:
		return false
	}
}

// Violation says what is wrong with one field of a request.
type Violation struct {
	Field   string
	Message string
}

// Error is a failure with a code. Message is safe to show to the client whose
// request failed; the wrapped error is not.
type Error struct {
	Code    Code
	Message string
	// Fields lists what was wrong, field by field, when several were.
	Fields []Violation
	// Details holds figures that help the client, such as the limit it met.
	Details map[string]any

	err error
}

// New returns an Error with the given code and a message for the client.
func New(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...)}
}

// Wrap returns an Error that gives err a code and a message for the client.
// The text of err appears in Error(), for logs, but not in Message.
func Wrap(code Code, err error, format string, args ...any) *Error {
	return &Error{Code: code, Message: fmt.Sprintf(format, args...), err: err}
}

// Invalid returns an InvalidArgument error about one field.
func Invalid(field, format string, args ...any) *Error {
	return blaming([]Violation{{Field: field, Message: fmt.Sprintf(format, args...)}})
}

// blaming returns an InvalidArgument error whose message is that of the first of fields,
// with its place.
func blaming(fields []Violation) *Error {
	message := strings.TrimPrefix(fields[0].Field+": "+fields[0].Message, ": ")
	if len(fields) > 1 {
		message = fmt.Sprintf("%s (and %d more)", message, len(fields)-1)
	}
	return &Error{Code: InvalidArgument, Message: message, Fields: fields}
}

// WithField returns a copy of e that also blames field.
func (e *Error) WithField(field, message string) *Error {
	c := *e
	c.Fields = append(append([]Violation(nil), e.Fields...), Violation{Field: field, Message: message})
	return &c
}

// With returns a copy of e that carries one more detail for the client.
func (e *Error) With(key string, value any) *Error {
	c := *e
	c.Details = maps.Clone(e.Details)
	if c.Details == nil {
		c.Details = make(map[string]any, 1)
	}
	c.Details[key] = value
	return &c
}

// Error returns the message with its cause, for logs.
func (e *Error) Error() string {
	if e.err == nil {
		return e.Message
	}
	return e.Message + ": " + e.err.Error()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.err }

// CodeOf returns the code of the outermost Error in err's chain. It is
// Unavailable for a context that ended, Internal for any other error without
// a code, and empty for nil.
func CodeOf(err error) Code {
	var e *Error
	switch {
	case err == nil:
		return ""
	case errors.As(err, &e):
		return e.Code
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return Unavailable
	default:
		return Internal
	}
}

// Is reports whether err's code is code.
func Is(err error, code Code) bool { return err != nil && CodeOf(err) == code }

// Transient reports whether the operation that returned err may succeed when
// it is simply repeated.
func Transient(err error) bool { return CodeOf(err).Transient() }

// Permanent reports whether repeating the operation is known to fail again: err
// carries a code, and the code is neither transient nor Internal. An error
// that is neither Transient nor Permanent is unknown: repeat it a bounded
// number of times.
func Permanent(err error) bool {
	c := CodeOf(err)
	return c != "" && c != Internal && !c.Transient()
}

// Join gathers InvalidArgument errors into one that lists every field. It
// returns nil when all of errs are nil, and the first error that is not
// InvalidArgument as it is.
func Join(errs ...error) error {
	var fields []Violation
	for _, err := range errs {
		if err == nil {
			continue
		}
		var e *Error
		if !errors.As(err, &e) || e.Code != InvalidArgument {
			return err
		}
		if len(e.Fields) == 0 {
			fields = append(fields, Violation{Message: e.Message})
		}
		fields = append(fields, e.Fields...)
	}
	if len(fields) == 0 {
		return nil
	}
	return blaming(fields)
}

// Inside puts a prefix, such as "body.", before the fields that err blames, in its message
// as well where that names the first of them.
func Inside(prefix string, err error) error {
	var coded *Error
	if !errors.As(err, &coded) || len(coded.Fields) == 0 {
		return err
	}
	located := *coded
	located.Fields = slices.Clone(coded.Fields)
	for i := range located.Fields {
		located.Fields[i].Field = prefix + located.Fields[i].Field
	}
	if coded.Message == blaming(coded.Fields).Message {
		located.Message = blaming(located.Fields).Message
	}
	return &located
}
