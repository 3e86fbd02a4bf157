package client

import (
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// Problem is a refusal by the API, as RFC 9457 has it.
type Problem struct {
	Type     string `json:"type"`
	Title    string `json:"title"`
	Status   int    `json:"status"`
	Detail   string `json:"detail"`
	Code     string `json:"code"`     // stable and machine-readable, for example quota_exceeded
	Instance string `json:"instance"` // the request's id: quote it when you ask for help
	Errors   []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
}

// Error says what was refused and why.
func (p *Problem) Error() string {
	text := fmt.Sprintf("%d %s: %s", p.Status, p.Code, p.Detail)
	for _, e := range p.Errors {
		text += fmt.Sprintf("; %s: %s", e.Location, e.Message)
	}
	return text
}

// CodeOf returns the problem code in err's chain, or "" when it holds no Problem.
func CodeOf(err error) string {
	var p *Problem
	if errors.As(err, &p) {
		return p.Code
	}
	return ""
}

func problemOf(res *http.Response, body []byte) *Problem {
	p := &Problem{}
	if json.Unmarshal(body, p) != nil || p.Code == "" {
		// API Gateway itself answers {"message": "…"}, without a code.
		var gateway struct {
			Message string `json:"message"`
		}
		_ = json.Unmarshal(body, &gateway)
		p.Code, p.Detail = "gateway", gateway.Message
	}
	p.Status = res.StatusCode
	return p
}

// StorageError is a refusal by S3 of a presigned request.
type StorageError struct {
	Status  int
	Code    string // S3's error code, for example PreconditionFailed
	Message string
}

// Error says what S3 answered.
func (e *StorageError) Error() string {
	return fmt.Sprintf("storage answered %d %s: %s", e.Status, e.Code, e.Message)
}

// storageErrorOf reads why storage refused. The status alone says that it did: S3 may
// close the connection on a body that it does not want before the explanation is through.
func storageErrorOf(res *http.Response) *StorageError {
	body, _ := io.ReadAll(io.LimitReader(res.Body, 64<<10)) // as much as came
	var answer struct {
		Code    string `xml:"Code"`
		Message string `xml:"Message"`
	}
	if xml.Unmarshal(body, &answer) != nil || answer.Code == "" {
		answer.Code = http.StatusText(res.StatusCode)
	}
	return &StorageError{Status: res.StatusCode, Code: answer.Code, Message: answer.Message}
}
