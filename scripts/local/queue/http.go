package queue

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
)

const (
	targetPrefix = "AmazonSQS."
	contentType  = "application/x-amz-json-1.0"
	// maxRequestBytes leaves room for the largest batch with every character escaped.
	maxRequestBytes = 8 << 20
)

// operation serves one operation of the API: it decodes its input and returns its output.
type operation func(ctx context.Context, body []byte) (any, error)

// typed makes an operation of a function with an input type.
func typed[In any](serve func(context.Context, In) (any, error)) operation {
	return func(ctx context.Context, body []byte) (any, error) {
		var in In
		if err := json.Unmarshal(body, &in); err != nil {
			return nil, &Error{Code: "SerializationException", Message: err.Error()}
		}
		return serve(ctx, in)
	}
}

// operation finds an operation by its name.
func (b *Broker) operation(name string) operation {
	switch name {
	case "SendMessage":
		return typed(b.serveSend)
	case "SendMessageBatch":
		return typed(b.serveSendBatch)
	case "ReceiveMessage":
		return typed(b.serveReceive)
	case "DeleteMessage":
		return typed(b.serveDelete)
	case "DeleteMessageBatch":
		return typed(b.serveDeleteBatch)
	case "ChangeMessageVisibility":
		return typed(b.serveChangeVisibility)
	case "ChangeMessageVisibilityBatch":
		return typed(b.serveChangeVisibilityBatch)
	case "GetQueueAttributes":
		return typed(b.serveAttributes)
	case "GetQueueUrl":
		return typed(b.serveURL)
	case "ListQueues":
		return typed(b.serveList)
	case "ListDeadLetterSourceQueues":
		return typed(b.serveSources)
	case "PurgeQueue":
		return typed(b.servePurge)
	case "StartMessageMoveTask":
		return typed(b.serveStartMove)
	case "ListMessageMoveTasks":
		return typed(b.serveListMoves)
	case "CancelMessageMoveTask":
		return typed(b.serveCancelMove)
	default:
		return nil
	}
}

// ServeHTTP serves the AWS JSON 1.0 protocol of SQS. An operation that it does not know gets
// SQS's UnsupportedOperation, with the operation's name.
func (b *Broker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	output, err := b.serve(r)
	if err != nil {
		b.writeError(w, err)
		return
	}
	if output == nil {
		output = struct{}{}
	}
	body, err := json.Marshal(output)
	if err != nil {
		b.writeError(w, fmt.Errorf("encode answer: %w", err))
		return
	}
	b.write(w, http.StatusOK, body)
}

func (b *Broker) serve(r *http.Request) (any, error) {
	name, ok := strings.CutPrefix(r.Header.Get("X-Amz-Target"), targetPrefix)
	if r.Method != http.MethodPost || !ok {
		return nil, &Error{Code: "UnknownOperationException", Message: "only the JSON protocol is served: POST with X-Amz-Target: AmazonSQS.<operation>"}
	}
	serve := b.operation(name)
	if serve == nil {
		return nil, &Error{Code: "UnsupportedOperation", Message: "the local queues do not serve the operation " + name}
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxRequestBytes+1))
	switch {
	case err != nil:
		return nil, &Error{Code: "SerializationException", Message: "the request could not be read"}
	case len(body) > maxRequestBytes:
		return nil, &Error{Code: "BatchRequestTooLong", Message: fmt.Sprintf("the request is longer than %d bytes", maxRequestBytes)}
	case len(body) == 0:
		body = []byte("{}")
	}
	return serve(r.Context(), body)
}

func (b *Broker) writeError(w http.ResponseWriter, err error) {
	known := asError(err)
	body, err := json.Marshal(map[string]string{"__type": "com.amazonaws.sqs#" + known.Code, "message": known.Message})
	if err != nil {
		b.cfg.Logger.Error("error was not encoded", "error", err)
	}
	w.Header().Set("x-amzn-query-error", known.queryCode()+";"+known.fault())
	b.write(w, known.status(), body)
}

func (b *Broker) write(w http.ResponseWriter, status int, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("x-amzn-RequestId", b.cfg.NewID())
	w.WriteHeader(status)
	_, _ = w.Write(body) // the client is gone when this fails
}
