package queue

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

type attributesRequest struct {
	QueueURL string   `json:"QueueUrl"`
	Names    []string `json:"AttributeNames"`
}

func (b *Broker) serveAttributes(_ context.Context, in attributesRequest) (any, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, err := b.current(in.QueueURL)
	if err != nil {
		return nil, err
	}
	all := q.attributes(len(b.sourcesOf(q)) > 0)
	if slices.Contains(in.Names, "All") {
		in.Names = slices.Collect(maps.Keys(all))
	}
	chosen := map[string]string{}
	for _, name := range in.Names {
		value, ok := all[name]
		if !ok && !optionalAttributes[name] {
			return nil, &Error{Code: "InvalidAttributeName", Message: "Unknown Attribute " + name + "."}
		}
		if ok {
			chosen[name] = value
		}
	}
	return struct {
		Attributes map[string]string `json:"Attributes"`
	}{chosen}, nil
}

// optionalAttributes are those that not every queue has.
var optionalAttributes = map[string]bool{
	"RedrivePolicy": true, "RedriveAllowPolicy": true, "FifoQueue": true, "ContentBasedDeduplication": true,
	"DeduplicationScope": true, "FifoThroughputLimit": true, "Policy": true, "KmsMasterKeyId": true, "KmsDataKeyReusePeriodSeconds": true,
}

func (q *queueState) attributes(isDeadLetterQueue bool) map[string]string {
	wholeSeconds := func(d time.Duration) string { return strconv.Itoa(int(d.Seconds())) }
	all := map[string]string{
		"QueueArn":                              q.ARN,
		"ApproximateNumberOfMessages":           strconv.Itoa(q.counts[visible]),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(q.counts[inFlight]),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(q.counts[delayed]),
		"VisibilityTimeout":                     wholeSeconds(*q.VisibilityTimeout),
		"MessageRetentionPeriod":                wholeSeconds(q.Retention),
		"DelaySeconds":                          wholeSeconds(q.Delay),
		"ReceiveMessageWaitTimeSeconds":         wholeSeconds(q.ReceiveWait),
		"MaximumMessageSize":                    strconv.Itoa(q.MaxMessageBytes),
		"SqsManagedSseEnabled":                  "true",
	}
	if q.FIFO {
		all["FifoQueue"] = "true"
		all["ContentBasedDeduplication"] = strconv.FormatBool(q.ContentBasedDeduplication)
	}
	if q.RedriveTarget != "" {
		policy, err := json.Marshal(map[string]any{"deadLetterTargetArn": q.RedriveTarget, "maxReceiveCount": q.MaxReceiveCount})
		if err == nil { // two plain values always encode
			all["RedrivePolicy"] = string(policy)
		}
	}
	if isDeadLetterQueue {
		all["RedriveAllowPolicy"] = `{"redrivePermission":"allowAll"}`
	}
	return all
}

type urlRequest struct {
	Name string `json:"QueueName"`
}

func (b *Broker) serveURL(_ context.Context, in urlRequest) (any, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, err := b.find(in.Name)
	if err != nil {
		return nil, err
	}
	return struct {
		URL string `json:"QueueUrl"`
	}{q.URL}, nil
}

type listRequest struct {
	Prefix string `json:"QueueNamePrefix"`
}

func (b *Broker) serveList(_ context.Context, in listRequest) (any, error) {
	var urls []string
	for _, name := range b.order {
		if strings.HasPrefix(name, in.Prefix) {
			urls = append(urls, b.queues[name].URL)
		}
	}
	return struct {
		URLs []string `json:"QueueUrls"`
	}{urls}, nil
}

type queueRequest struct {
	QueueURL string `json:"QueueUrl"`
}

func (b *Broker) serveSources(_ context.Context, in queueRequest) (any, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q, err := b.find(in.QueueURL)
	if err != nil {
		return nil, err
	}
	urls := []string{}
	for _, source := range b.sourcesOf(q) {
		urls = append(urls, source.URL)
	}
	return struct {
		URLs []string `json:"queueUrls"` // in lower case, in this operation alone
	}{urls}, nil
}

func (b *Broker) servePurge(_ context.Context, in queueRequest) (any, error) {
	return nil, b.Purge(in.QueueURL)
}

type startMoveRequest struct {
	SourceARN      string `json:"SourceArn"`
	DestinationARN string `json:"DestinationArn"`
	Rate           int    `json:"MaxNumberOfMessagesPerSecond"`
}

func (b *Broker) serveStartMove(_ context.Context, in startMoveRequest) (any, error) {
	task, err := b.startMove(in.SourceARN, in.DestinationARN, in.Rate)
	if err != nil {
		return nil, err
	}
	return map[string]string{"TaskHandle": task.handle}, nil
}

type listMovesRequest struct {
	SourceARN string `json:"SourceArn"`
	Max       int    `json:"MaxResults"`
}

type moveResult struct {
	Handle      string `json:"TaskHandle,omitempty"` // of a running task only
	Status      string `json:"Status"`
	Source      string `json:"SourceArn"`
	Destination string `json:"DestinationArn,omitempty"`
	Rate        int    `json:"MaxNumberOfMessagesPerSecond,omitempty"`
	Moved       int    `json:"ApproximateNumberOfMessagesMoved"`
	Total       int    `json:"ApproximateNumberOfMessagesToMove"`
	Reason      string `json:"FailureReason,omitempty"`
	Started     int64  `json:"StartedTimestamp"`
}

// serveListMoves lists the tasks of a source, the latest first.
func (b *Broker) serveListMoves(_ context.Context, in listMovesRequest) (any, error) {
	setDefault(&in.Max, 1)
	if in.Max < 1 || in.Max > maxMoves {
		return nil, invalidParameter("Value %d for parameter MaxResults is invalid. Reason: Must be between 1 and %d.", in.Max, maxMoves)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	results := []moveResult{}
	for _, task := range slices.Backward(b.moves) {
		if task.source.ARN != in.SourceARN || len(results) == in.Max {
			continue
		}
		r := moveResult{
			Status: task.status, Source: in.SourceARN, Rate: task.rate, Moved: task.moved, Total: task.total,
			Reason: task.reason, Started: task.started.UnixMilli(),
		}
		if task.status == moveRunning {
			r.Handle = task.handle
		}
		if task.destination != nil {
			r.Destination = task.destination.ARN
		}
		results = append(results, r)
	}
	return struct {
		Results []moveResult `json:"Results"`
	}{results}, nil
}

type cancelMoveRequest struct {
	Handle string `json:"TaskHandle"`
}

func (b *Broker) serveCancelMove(_ context.Context, in cancelMoveRequest) (any, error) {
	moved, err := b.cancelMove(in.Handle)
	if err != nil {
		return nil, err
	}
	return map[string]int{"ApproximateNumberOfMessagesMoved": moved}, nil
}

// asError is err as an error of the API.
func asError(err error) *Error {
	var known *Error
	if errors.As(err, &known) {
		return known
	}
	return &Error{Code: codeInternal, Message: err.Error()}
}
