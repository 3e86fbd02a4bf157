package lambda

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// ServeHTTP serves the one operation of Lambda's API that programs call at run time:
// Invoke, in its REST protocol. It verifies no signatures.
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html
func (h *Host) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	function, ok := invoked(r)
	if !ok {
		h.refuseHTTP(w, &Error{Code: "UnknownOperationException", Message: "the local runtime serves no other operation of Lambda than Invoke"})
		return
	}
	payload, err := io.ReadAll(io.LimitReader(r.Body, MaxSyncPayload+1))
	if err != nil {
		h.refuseHTTP(w, &Error{Code: codeBadContent, Message: "the request could not be read"})
		return
	}
	if len(payload) > 0 && !json.Valid(payload) {
		h.refuseHTTP(w, &Error{Code: codeBadContent, Message: "Could not parse request body into json"})
		return
	}
	switch kind := r.Header.Get("X-Amz-Invocation-Type"); kind {
	case "", "RequestResponse":
		h.serveInvoke(w, r, function, payload)
	case "Event":
		if err := h.InvokeAsync(r.Context(), function, payload); err != nil {
			h.refuseHTTP(w, err)
			return
		}
		w.WriteHeader(http.StatusAccepted)
	default:
		h.refuseHTTP(w, &Error{Code: "InvalidParameterValueException", Message: "the local runtime knows no invocation of type " + kind})
	}
}

// invoked is the function that a request names.
func invoked(r *http.Request) (string, bool) {
	rest, ok := strings.CutPrefix(r.URL.EscapedPath(), "/2015-03-31/functions/")
	escaped, ok2 := strings.CutSuffix(rest, "/invocations")
	function, err := url.PathUnescape(escaped)
	return function, ok && ok2 && err == nil && r.Method == http.MethodPost
}

func (h *Host) serveInvoke(w http.ResponseWriter, r *http.Request, function string, payload []byte) {
	out, err := h.Invoke(r.Context(), function, payload)
	if err != nil {
		h.refuseHTTP(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(out.Payload)))
	w.Header().Set("X-Amzn-Requestid", out.RequestID)
	w.Header().Set("X-Amz-Executed-Version", out.ExecutedVersion)
	if out.FunctionError != "" {
		w.Header().Set("X-Amz-Function-Error", out.FunctionError)
	}
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(out.Payload) // the client is gone when this fails
}

// refuseHTTP answers as Lambda's API does.
func (h *Host) refuseHTTP(w http.ResponseWriter, err error) {
	var known *Error
	if !errors.As(err, &known) {
		known = &Error{Code: codeUnavailable, Message: err.Error()}
	}
	fault := "User"
	if known.status() >= http.StatusInternalServerError {
		fault = "Service"
	}
	answer := map[string]string{"Type": fault, "Message": known.Message}
	if known.Reason != "" {
		answer["Reason"] = known.Reason
	}
	body, err := json.Marshal(answer)
	if err != nil {
		h.cfg.Logger.Error("error was not encoded", "error", fmt.Errorf("encode %s: %w", known.Code, err))
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Amzn-Errortype", known.Code)
	w.WriteHeader(known.status())
	_, _ = w.Write(body) // the client is gone when this fails
}

// status is the HTTP status of a refusal.
func (e *Error) status() int {
	switch e.Code {
	case codeThrottled:
		return http.StatusTooManyRequests
	case codeNotFound, "UnknownOperationException":
		return http.StatusNotFound
	case codeTooLarge:
		return http.StatusRequestEntityTooLarge
	case codeUnavailable:
		return http.StatusInternalServerError
	default:
		return http.StatusBadRequest
	}
}
