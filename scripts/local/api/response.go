package api

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
)

// parseAnswer reads what a function returned: a response in format 2.0 when it has a statusCode,
// and otherwise any JSON, which becomes the body of a 200.
func parseAnswer(payload []byte) (answer, error) {
	payload = bytes.TrimSpace(payload)
	var object map[string]json.RawMessage
	if json.Unmarshal(payload, &object) == nil {
		if _, ok := object["statusCode"]; ok {
			return parseResponse(payload)
		}
	}
	if !json.Valid(payload) {
		return answer{}, errors.New("not JSON")
	}
	body := payload
	var text string
	if payload[0] == '"' && json.Unmarshal(payload, &text) == nil {
		body = []byte(text)
	}
	return answer{status: http.StatusOK, header: http.Header{"Content-Type": {"application/json"}}, body: body}, nil
}

// response is an answer in payload format 2.0.
type response struct {
	StatusCode      scalar            `json:"statusCode"`
	Headers         map[string]scalar `json:"headers"`
	Cookies         []string          `json:"cookies"`
	Body            string            `json:"body"`
	IsBase64Encoded bool              `json:"isBase64Encoded"`
}

func parseResponse(payload []byte) (answer, error) {
	var r response
	if err := json.Unmarshal(payload, &r); err != nil {
		return answer{}, fmt.Errorf("malformed response: %w", err)
	}
	status, err := strconv.Atoi(string(r.StatusCode))
	if err != nil || status < 200 || status > 599 {
		return answer{}, fmt.Errorf("statusCode %q is no HTTP status", r.StatusCode)
	}
	a := answer{status: status, header: http.Header{}, cookies: r.Cookies, body: []byte(r.Body)}
	if r.IsBase64Encoded {
		if a.body, err = base64.StdEncoding.DecodeString(r.Body); err != nil {
			return answer{}, fmt.Errorf("the body is not base64: %w", err)
		}
	}
	for name, value := range r.Headers {
		if !hopByHop(name) {
			a.header.Set(name, string(value))
		}
	}
	if a.header.Get("Content-Type") == "" && len(a.body) > 0 {
		a.header.Set("Content-Type", "text/plain;charset=UTF-8")
	}
	return a, nil
}

// hopByHop headers describe the connection, which is the gateway's.
func hopByHop(name string) bool {
	switch strings.ToLower(name) {
	case "connection", "content-length", "keep-alive", "transfer-encoding", "upgrade":
		return true
	}
	return false
}

// scalar is a string, number or boolean, read as text.
type scalar string

// UnmarshalJSON implements json.Unmarshaler.
func (s *scalar) UnmarshalJSON(raw []byte) error {
	switch raw[0] {
	case '"':
		return json.Unmarshal(raw, (*string)(s)) //nolint:wrapcheck // encoding/json adds the field
	case '{', '[':
		return fmt.Errorf("%s must be a string, number or boolean", raw)
	case 'n':
		*s = ""
	default:
		*s = scalar(raw)
	}
	return nil
}
