package queue

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

type sendRequest struct {
	QueueURL               string               `json:"QueueUrl"`
	MessageBody            string               `json:"MessageBody"`
	DelaySeconds           *int                 `json:"DelaySeconds"`
	Attributes             map[string]Attribute `json:"MessageAttributes"`
	SystemAttributes       map[string]Attribute `json:"MessageSystemAttributes"`
	MessageGroupID         string               `json:"MessageGroupId"`
	MessageDeduplicationID string               `json:"MessageDeduplicationId"`
}

func (r sendRequest) message() Message {
	return Message{
		Body: r.MessageBody, Attributes: r.Attributes, SystemAttributes: r.SystemAttributes,
		Delay: seconds(r.DelaySeconds), GroupID: r.MessageGroupID, DeduplicationID: r.MessageDeduplicationID,
	}
}

type sendResult struct {
	ID                    string `json:"Id,omitempty"` // of a batch entry
	MessageID             string `json:"MessageId"`
	MD5OfBody             string `json:"MD5OfMessageBody"`
	MD5OfAttributes       string `json:"MD5OfMessageAttributes,omitempty"`
	MD5OfSystemAttributes string `json:"MD5OfMessageSystemAttributes,omitempty"`
	SequenceNumber        string `json:"SequenceNumber,omitempty"`
}

func (b *Broker) serveSend(ctx context.Context, in sendRequest) (any, error) {
	sent, err := b.Send(ctx, in.QueueURL, in.message())
	if err != nil {
		return nil, err
	}
	return sendResult{"", sent.MessageID, sent.MD5OfBody, sent.MD5OfAttributes, sent.MD5OfSystemAttributes, sent.SequenceNumber}, nil
}

type sendBatchRequest struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []struct {
		ID string `json:"Id"`
		sendRequest
	} `json:"Entries"`
}

func (b *Broker) serveSendBatch(ctx context.Context, in sendBatchRequest) (any, error) {
	ids := make([]string, len(in.Entries))
	total := 0
	for i, e := range in.Entries {
		ids[i] = e.ID
		m := e.message()
		total += m.size()
	}
	if total > MaxMessageBytes {
		return nil, &Error{Code: "BatchRequestTooLong", Message: "Batch requests cannot be longer than " + strconv.Itoa(MaxMessageBytes) + " bytes. You have sent " + strconv.Itoa(total) + " bytes."}
	}
	return b.serveBatch(in.QueueURL, ids, func(i int) (any, error) {
		sent, err := b.Send(ctx, in.QueueURL, in.Entries[i].message())
		return sendResult{ids[i], sent.MessageID, sent.MD5OfBody, sent.MD5OfAttributes, sent.MD5OfSystemAttributes, sent.SequenceNumber}, err
	})
}

type receiveRequest struct {
	QueueURL              string   `json:"QueueUrl"`
	MaxMessages           *int     `json:"MaxNumberOfMessages"`
	VisibilityTimeout     *int     `json:"VisibilityTimeout"`
	WaitTimeSeconds       *int     `json:"WaitTimeSeconds"`
	AttributeNames        []string `json:"AttributeNames"` // the older name of the next one
	SystemAttributeNames  []string `json:"MessageSystemAttributeNames"`
	MessageAttributeNames []string `json:"MessageAttributeNames"`
}

type receivedMessage struct {
	MessageID         string               `json:"MessageId"`
	ReceiptHandle     string               `json:"ReceiptHandle"`
	Body              string               `json:"Body"`
	MD5OfBody         string               `json:"MD5OfBody"`
	MD5OfAttributes   string               `json:"MD5OfMessageAttributes,omitempty"`
	Attributes        map[string]string    `json:"Attributes,omitempty"`
	MessageAttributes map[string]Attribute `json:"MessageAttributes,omitempty"`
}

func (b *Broker) serveReceive(ctx context.Context, in receiveRequest) (any, error) {
	input := ReceiveInput{VisibilityTimeout: seconds(in.VisibilityTimeout), Wait: seconds(in.WaitTimeSeconds)}
	if in.MaxMessages != nil {
		if input.Max = *in.MaxMessages; input.Max == 0 {
			input.Max = -1 // zero is refused when it is said
		}
	}
	messages, err := b.Receive(ctx, in.QueueURL, input)
	if err != nil {
		return nil, err
	}
	wantSystem := slices.Concat(in.AttributeNames, in.SystemAttributeNames)
	out := make([]receivedMessage, len(messages))
	for i, m := range messages {
		attributes := pick(m.MessageAttributes, in.MessageAttributeNames)
		out[i] = receivedMessage{
			m.MessageID, m.ReceiptHandle, m.Body, m.MD5OfBody, md5OfAttributes(attributes), pick(m.Attributes, wantSystem), attributes,
		}
	}
	if len(out) == 0 {
		return struct{}{}, nil
	}
	return struct {
		Messages []receivedMessage `json:"Messages"`
	}{out}, nil
}

// pick keeps the attributes that are asked for: by name, by a prefix with .*, or all of them.
func pick[T any](attributes map[string]T, names []string) map[string]T {
	wanted := func(name string) bool {
		return slices.ContainsFunc(names, func(asked string) bool {
			prefix, isPrefix := strings.CutSuffix(asked, ".*")
			return asked == "All" || asked == name || isPrefix && strings.HasPrefix(name, prefix)
		})
	}
	picked := map[string]T{}
	for name, value := range attributes {
		if wanted(name) {
			picked[name] = value
		}
	}
	return picked
}

type handleRequest struct {
	QueueURL          string `json:"QueueUrl"`
	ReceiptHandle     string `json:"ReceiptHandle"`
	VisibilityTimeout *int   `json:"VisibilityTimeout"`
}

type handleBatchRequest struct {
	QueueURL string `json:"QueueUrl"`
	Entries  []struct {
		ID string `json:"Id"`
		handleRequest
	} `json:"Entries"`
}

func (r handleBatchRequest) ids() []string {
	ids := make([]string, len(r.Entries))
	for i, e := range r.Entries {
		ids[i] = e.ID
	}
	return ids
}

func (b *Broker) serveDelete(ctx context.Context, in handleRequest) (any, error) {
	return nil, b.Delete(ctx, in.QueueURL, in.ReceiptHandle)
}

func (b *Broker) serveDeleteBatch(ctx context.Context, in handleBatchRequest) (any, error) {
	return b.serveBatch(in.QueueURL, in.ids(), func(i int) (any, error) {
		return batchEntry{in.Entries[i].ID}, b.Delete(ctx, in.QueueURL, in.Entries[i].ReceiptHandle)
	})
}

func (b *Broker) serveChangeVisibility(ctx context.Context, in handleRequest) (any, error) {
	timeout := seconds(in.VisibilityTimeout)
	if timeout == nil {
		return nil, missingParameter("VisibilityTimeout")
	}
	return nil, b.ChangeVisibility(ctx, in.QueueURL, in.ReceiptHandle, *timeout)
}

func (b *Broker) serveChangeVisibilityBatch(ctx context.Context, in handleBatchRequest) (any, error) {
	return b.serveBatch(in.QueueURL, in.ids(), func(i int) (any, error) {
		entry := in.Entries[i].handleRequest
		entry.QueueURL = in.QueueURL
		_, err := b.serveChangeVisibility(ctx, entry)
		return batchEntry{in.Entries[i].ID}, err
	})
}

type batchEntry struct {
	ID string `json:"Id"`
}

type batchFailure struct {
	ID          string `json:"Id"`
	SenderFault bool   `json:"SenderFault"`
	Code        string `json:"Code"`
	Message     string `json:"Message"`
}

type batchResult struct {
	Successful []any          `json:"Successful"`
	Failed     []batchFailure `json:"Failed"`
}

var batchID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,80}$`)

// serveBatch serves each entry on its own: some may fail while the call succeeds.
func (b *Broker) serveBatch(queueURL string, ids []string, serve func(i int) (any, error)) (any, error) {
	if err := b.checkBatch(queueURL, ids); err != nil {
		return nil, err
	}
	result := batchResult{Successful: []any{}, Failed: []batchFailure{}}
	for i, id := range ids {
		done, err := serve(i)
		if err == nil {
			result.Successful = append(result.Successful, done)
			continue
		}
		failed := asError(err)
		result.Failed = append(result.Failed, batchFailure{id, failed.fault() == "Sender", failed.queryCode(), failed.Message})
	}
	return result, nil
}

func (b *Broker) checkBatch(queueURL string, ids []string) error {
	b.mu.Lock()
	_, err := b.find(queueURL)
	b.mu.Unlock()
	switch {
	case err != nil:
		return err
	case len(ids) == 0:
		return &Error{Code: "EmptyBatchRequest", Message: "There should be at least one entry in the request."}
	case len(ids) > MaxBatch:
		return &Error{Code: "TooManyEntriesInBatchRequest", Message: "Maximum number of entries per request are 10. You have sent " + strconv.Itoa(len(ids)) + "."}
	}
	seen := map[string]bool{}
	for _, id := range ids {
		if !batchID.MatchString(id) {
			return &Error{Code: "InvalidBatchEntryId", Message: "A batch entry id can only contain alphanumeric characters, hyphens and underscores. It can be at most 80 letters long."}
		}
		if seen[id] {
			return &Error{Code: "BatchEntryIdsNotDistinct", Message: "Id " + id + " repeated."}
		}
		seen[id] = true
	}
	return nil
}

func seconds(n *int) *time.Duration {
	if n == nil {
		return nil
	}
	d := time.Duration(*n) * time.Second
	return &d
}
