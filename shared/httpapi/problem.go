package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strconv"

	"github.com/stowage-dev/stowage/shared/fault"
)

const (
	// ProblemContentType is the media type of RFC 9457.
	ProblemContentType = "application/problem+json"
	problemTypeBase    = "https://stowage.dev/problems/"
)

// Codes of failures that only HTTP knows.
const (
	MethodNotAllowed     fault.Code = "method_not_allowed"
	UnsupportedMediaType fault.Code = "unsupported_media_type"
)

// Problem is an RFC 9457 answer. It is an error, too, that the HTTP layer answers as it is.
type Problem struct {
	Type     string         `json:"type" format:"uri" doc:"Identifies the kind of problem; stable." example:"https://stowage.dev/problems/not_found"`
	Title    string         `json:"title" doc:"The kind of problem in words." example:"Not found"`
	Status   int            `json:"status" doc:"The HTTP status." example:"404"`
	Detail   string         `json:"detail" doc:"What was wrong this time, and what to do." example:"object 01JB… does not exist"`
	Code     fault.Code     `json:"code" doc:"The kind of problem for programs; stable." example:"not_found"`
	Instance string         `json:"instance,omitempty" doc:"The id of the request: quote it when you ask for help."`
	Errors   []ProblemError `json:"errors,omitempty" nullable:"false" doc:"What was wrong, field by field."`
	Details  map[string]any `json:"details,omitempty" doc:"Figures that help, such as the limit that was met."`
	Headers  http.Header    `json:"-"`
}

// ProblemError says what was wrong with one part of the request.
type ProblemError struct {
	Message  string `json:"message" doc:"What is wrong with it."`
	Location string `json:"location,omitempty" doc:"Where it stands, for example body.size or query.limit."`
}

var _ error = (*Problem)(nil)

// kind gives each code its status and title.
func kind(code fault.Code) (status int, title string) {
	switch code {
	case fault.InvalidArgument:
		return http.StatusBadRequest, "Invalid argument"
	case fault.WorkspaceRequired:
		return http.StatusBadRequest, "Workspace required"
	case fault.Unauthenticated:
		return http.StatusUnauthorized, "Unauthenticated"
	case fault.QuotaExceeded:
		return http.StatusPaymentRequired, "Quota exceeded"
	case fault.Forbidden:
		return http.StatusForbidden, "Forbidden"
	case fault.NotFound:
		return http.StatusNotFound, "Not found"
	case MethodNotAllowed:
		return http.StatusMethodNotAllowed, "Method not allowed"
	case fault.PreconditionFailed:
		return http.StatusPreconditionFailed, "Precondition failed"
	case fault.TooLarge:
		return http.StatusRequestEntityTooLarge, "Too large"
	case UnsupportedMediaType:
		return http.StatusUnsupportedMediaType, "Unsupported media type"
	case fault.UnsupportedType:
		return http.StatusUnsupportedMediaType, "Unsupported content type"
	case fault.RateLimited:
		return http.StatusTooManyRequests, "Rate limited"
	case fault.Unavailable:
		return http.StatusServiceUnavailable, "Unavailable"
	default:
		return kindOfState(code)
	}
}

// kindOfState is kind for codes that tell of the state of what was asked for.
func kindOfState(code fault.Code) (status int, title string) {
	switch code {
	case fault.Conflict:
		return http.StatusConflict, "Conflict"
	case fault.PathTaken:
		return http.StatusConflict, "Path taken"
	case fault.UploadEnded:
		return http.StatusConflict, "Upload ended"
	case fault.NotAvailable:
		return http.StatusConflict, "Not available"
	case fault.PartsIncomplete:
		return http.StatusConflict, "Parts incomplete"
	case fault.QuotaInUse:
		return http.StatusConflict, "Quota in use"
	case fault.IdempotencyInProgress:
		return http.StatusConflict, "Request in progress"
	case fault.IdempotencyReused:
		return http.StatusUnprocessableEntity, "Idempotency key reused"
	case fault.ChecksumMismatch:
		return http.StatusUnprocessableEntity, "Checksum mismatch"
	case fault.SizeMismatch:
		return http.StatusUnprocessableEntity, "Size mismatch"
	default:
		return http.StatusInternalServerError, "Internal error"
	}
}

// NewProblem returns the problem of a code. The detail of an internal one is replaced.
func NewProblem(ctx context.Context, code fault.Code, detail string) *Problem {
	status, title := kind(code)
	if status == http.StatusInternalServerError {
		code, detail = fault.Internal, "something went wrong on our side; quote the instance when you ask for help"
	}
	Annotate(ctx, slog.String("code", string(code)))
	return &Problem{
		Type:     problemTypeBase + string(code),
		Title:    title,
		Status:   status,
		Detail:   detail,
		Code:     code,
		Instance: RequestID(ctx),
	}
}

// ProblemOf turns any error into the problem that a client may see: the message of a
// fault.Error, and nothing of an error without a code.
func ProblemOf(ctx context.Context, err error) *Problem {
	var p *Problem
	if errors.As(err, &p) {
		return p
	}
	code, detail := fault.CodeOf(err), "the service is busy: try again in a moment"
	var coded *fault.Error
	if errors.As(err, &coded) {
		detail = coded.Message
	}
	p = NewProblem(ctx, code, detail)
	if coded != nil && p.Status != http.StatusInternalServerError {
		p.Details = coded.Details
		for _, f := range coded.Fields {
			p.Errors = append(p.Errors, ProblemError{Message: f.Message, Location: f.Field})
		}
	}
	if p.Status >= http.StatusInternalServerError {
		Annotate(ctx, slog.String("error", err.Error()))
	}
	if code.Transient() {
		p.Headers = http.Header{"Retry-After": {strconv.Itoa(retryAfter(coded))}}
	}
	if code == fault.Unauthenticated {
		p.Headers = http.Header{"Www-Authenticate": {"Bearer"}} // RFC 9110, 15.5.2
	}
	return p
}

// retryAfter is in how many seconds a transient failure may have passed: what its detail
// retryAfter says, or soon.
func retryAfter(failure *fault.Error) int {
	if failure != nil {
		if seconds, ok := failure.Details["retryAfter"].(int); ok {
			return max(seconds, 1)
		}
	}
	return 1
}

// Error is the text for logs.
func (p *Problem) Error() string { return string(p.Code) + ": " + p.Detail }

// GetStatus makes the HTTP layer answer with the problem's status.
func (p *Problem) GetStatus() int { return p.Status }

// GetHeaders makes the HTTP layer answer with the problem's headers.
func (p *Problem) GetHeaders() http.Header { return p.Headers }

// ContentType makes the HTTP layer answer with the media type of problems.
func (p *Problem) ContentType(string) string { return ProblemContentType }

// Write answers with the problem.
func (p *Problem) Write(w http.ResponseWriter) {
	for name, values := range p.Headers {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", ProblemContentType)
	w.WriteHeader(p.Status)
	_ = json.NewEncoder(w).Encode(p) // the client is gone: nobody is left to tell
}
