package ddbtest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
)

// Transport passes calls on to the engine, or answers them as DynamoDB would
// when it is busy, which the engine never is.
type Transport struct {
	// Intercept sees each call before the engine. What it returns, unless it is
	// nil, is the answer; the call then never reaches the engine.
	Intercept func(operation string, body []byte) *Answer
	// After sees the engine's answer to each call and may replace it, as a lost
	// connection would.
	After func(operation string) error

	next http.Transport
}

// Answer is an answer in DynamoDB's protocol.
type Answer struct {
	Status int
	Body   any
}

// RoundTrip implements http.RoundTripper.
func (t *Transport) RoundTrip(r *http.Request) (*http.Response, error) {
	_, operation, _ := strings.Cut(r.Header.Get("X-Amz-Target"), ".")
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read call: %w", err)
	}
	if t.Intercept != nil {
		if a := t.Intercept(operation, body); a != nil {
			return a.response(r)
		}
	}
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	res, err := t.next.RoundTrip(r)
	if err == nil && t.After != nil {
		if err = t.After(operation); err != nil {
			_ = res.Body.Close() // the answer is lost on purpose
			return nil, err
		}
	}
	return res, err
}

func (a *Answer) response(r *http.Request) (*http.Response, error) {
	body, err := json.Marshal(a.Body)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return &http.Response{
		StatusCode: a.Status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header:        http.Header{"Content-Type": {"application/x-amz-json-1.0"}},
		Body:          io.NopCloser(bytes.NewReader(body)),
		ContentLength: int64(len(body)),
		Request:       r,
	}, nil
}

// Error returns the answer that raises an exception of DynamoDB's.
func Error(exception string) *Answer {
	return &Answer{Status: http.StatusBadRequest, Body: map[string]any{
		"__type":  "com.amazonaws.dynamodb.v20120810#" + exception,
		"message": exception,
	}}
}

// Canceled returns the answer to a transaction of n actions that was cancelled
// with the given reason for its first one.
func Canceled(n int, code string) *Answer {
	reasons := make([]map[string]string, n)
	for i := range reasons {
		reasons[i] = map[string]string{"Code": "None"}
	}
	reasons[0] = map[string]string{"Code": code, "Message": code}
	a := Error("TransactionCanceledException")
	a.Body.(map[string]any)["CancellationReasons"] = reasons //nolint:forcetypeassert // made by Error
	return a
}

// Actions returns the items that a TransactWriteItems call touches, one string
// for each action.
func Actions(body []byte) ([]string, error) {
	var call struct {
		TransactItems []map[string]struct {
			TableName string
			Item, Key map[string]struct{ S string }
		}
	}
	if err := json.Unmarshal(body, &call); err != nil {
		return nil, fmt.Errorf("decode TransactWriteItems: %w", err)
	}
	var keys []string
	for _, action := range call.TransactItems {
		for _, a := range action {
			at := a.Key
			if at == nil {
				at = a.Item
			}
			keys = append(keys, strings.Join([]string{a.TableName, at["pk"].S, at["sk"].S}, " "))
		}
	}
	return keys, nil
}

// Conflicts cancels a transaction while another one that touches the same item
// is on its way, as DynamoDB does and the engine does not.
type Conflicts struct {
	next http.Transport

	mu       sync.Mutex
	busy     map[string]bool
	canceled int
}

// Count returns how many transactions were cancelled.
func (c *Conflicts) Count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.canceled
}

// RoundTrip implements http.RoundTripper.
func (c *Conflicts) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".TransactWriteItems") {
		return c.next.RoundTrip(r) //nolint:wrapcheck // a transport passes errors on as they are
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, fmt.Errorf("read call: %w", err)
	}
	keys, err := Actions(body)
	if err != nil {
		return nil, err
	}
	if !c.acquire(keys) {
		return Canceled(len(keys), "TransactionConflict").response(r)
	}
	defer c.release(keys)
	r = r.Clone(r.Context())
	r.Body = io.NopCloser(bytes.NewReader(body))
	return c.next.RoundTrip(r) //nolint:wrapcheck // a transport passes errors on as they are
}

func (c *Conflicts) acquire(keys []string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range keys {
		if c.busy[k] {
			c.canceled++
			return false
		}
	}
	if c.busy == nil {
		c.busy = map[string]bool{}
	}
	for _, k := range keys {
		c.busy[k] = true
	}
	return true
}

func (c *Conflicts) release(keys []string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, k := range keys {
		delete(c.busy, k)
	}
}
